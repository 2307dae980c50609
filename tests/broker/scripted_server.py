"""A tiny HTTP server that answers what a test scripted, well or badly, and remembers what came."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: Where a hanging answer ends at the latest, seconds: longer than any timeout in a test.
HANG = 5.0


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; ``query`` has the first value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Reply:
    """One answer. ``drop``: close after reading; ``hang``: say nothing; ``cut``: half a body."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: bool = False
    cut: bool = False

    @property
    def raw(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Answer = Reply | Callable[[Seen], Reply]


class ScriptedServer:
    """Answers ``METHOD /path`` from its script; the last answer of a script repeats for ever."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._scripts: dict[str, list[Answer]] = defaultdict(list)
        outer = self

        class Handler(_Handler):
            script = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.open: set[socket.socket] = set()
        # Every thread has ended when a test has: tests of forking need a process without any.
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def on(self, route: str, *answers: Answer) -> None:
        """Answer *route* ("GET /v2/account") with *answers*, in turn."""
        self._scripts[route] = list(answers)

    def count(self, route: str) -> int:
        """How many requests to *route* arrived."""
        method, path = route.split(" ")
        return sum(seen.method == method and seen.path == path for seen in self.seen)

    def answer(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        script = self._scripts.get(f"{seen.method} {seen.path}")
        if not script:
            return Reply(404, {"message": f"not scripted: {seen.method} {seen.path}"})
        answer = script.pop(0) if len(script) > 1 else script[0]
        return answer if isinstance(answer, Reply) else answer(seen)

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        for connection in self.open.copy():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    script: ScriptedServer
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait 40 ms for the delayed ACK of the first.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.script.open.add(self.connection)

    def finish(self) -> None:
        self.script.open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.script.answer(Seen(self.command, parts.path, query, headers, body))
        if reply.hang:
            self.script.closing.wait(HANG)
        if reply.hang or reply.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.raw)))
        self.end_headers()
        self.wfile.write(reply.raw[: len(reply.raw) // 2] if reply.cut else reply.raw)
        if reply.cut:
            self.close_connection = True

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet: the test says what went wrong."""


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    """Poll *condition*; False if it did not hold within *seconds*."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()
