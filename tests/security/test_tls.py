"""TLS with an authority of our own. The embedded server's binary has none, so a proxy ends it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stealer.connect import connect
from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.errors import LedgerUnavailable
from stealer.settings import Settings

pytestmark = pytest.mark.real_server

DAYS = ("-days", "2")


@dataclass(frozen=True)
class Certificates:
    """Two authorities, and a server's certificate for localhost by the first."""

    ca: Path
    stranger: Path
    server: Path
    key: Path


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("openssl is needed")
        pytest.skip("there is no openssl command")
    at = tmp_path_factory.mktemp("certificates")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    for name in ("ca", "stranger"):
        files: list[str | Path] = ["-keyout", at / f"{name}.key", "-out", at / f"{name}.crt"]
        openssl("req", "-x509", *new, *files, *DAYS, "-subj", f"/CN={name}", *authority)
    openssl(
        "req", *new, "-keyout", at / "server.key", "-out", at / "server.csr", "-subj", "/CN=server"
    )
    (at / "names").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    signed: list[str | Path] = [
        "-CA",
        at / "ca.crt",
        "-CAkey",
        at / "ca.key",
        "-CAcreateserial",
        *DAYS,
    ]
    openssl(
        *("x509", "-req", "-in", at / "server.csr", "-out", at / "server.crt"),
        *signed,
        *("-extfile", at / "names"),
    )
    return Certificates(
        *(at / name for name in ("ca.crt", "stranger.crt", "server.crt", "server.key"))
    )


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls_port(certificates: Certificates, redis_server: EmbeddedServer) -> Iterator[int]:
    """A port that speaks TLS to its clients and plainly to the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.key)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    ends: list[socket.socket] = []

    def serve(plain: socket.socket) -> None:
        try:
            client = context.wrap_socket(plain, server_side=True)
        except OSError:  # a client that does not trust us
            plain.close()
            return
        server = socket.create_connection(("127.0.0.1", redis_server.port))
        ends.extend((client, server))
        back = threading.Thread(target=pump, args=(server, client))
        back.start()
        pump(client, server)
        back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                thread = threading.Thread(target=serve, args=(plain,))
                thread.start()
                threads.append(thread)

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for end in ends:
        end.close()


def identity(port: int, ca: Path, host: str = "localhost") -> str:
    settings = Settings(redis_url=f"rediss://{host}:{port}/0", redis_ca_file=str(ca))
    with connect(settings) as client:
        return WorkStealingCoordinator(client, settings).server().identity


def test_the_servers_certificate_is_verified(tls_port: int, certificates: Certificates) -> None:
    assert len(identity(tls_port, certificates.ca)) > 40
    with pytest.raises(LedgerUnavailable, match=r"(?i)certificate verify failed"):
        identity(tls_port, certificates.stranger)
    with pytest.raises(LedgerUnavailable, match=r"(?i)(match|mismatch|not valid for)"):
        identity(tls_port, certificates.ca, host="127.0.0.1")


def test_a_plain_connection_to_a_tls_port_is_a_sentence(tls_port: int) -> None:
    settings = Settings(redis_url=f"redis://localhost:{tls_port}/0")
    with connect(settings) as client, pytest.raises(LedgerUnavailable, match="cannot be reached"):
        WorkStealingCoordinator(client, settings).server()
