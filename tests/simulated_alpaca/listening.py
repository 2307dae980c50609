"""alpaca-py's own streams in a thread, and what they heard."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.trading.stream import TradingStream

from tests.simulated_alpaca.bench import eventually
from tests.simulated_alpaca.conftest import Server

HEARING_SECONDS = 10.0
JOIN_SECONDS = 15.0
Stream = TradingStream | CryptoDataStream | StockDataStream


@dataclass
class Ear:
    """What a stream's handler was given, in order."""

    heard: queue.Queue[Any] = field(default_factory=queue.Queue)

    async def handler(self, message: Any) -> None:
        self.heard.put(message)

    def next(self) -> Any:
        return self.heard.get(timeout=HEARING_SECONDS)

    def until(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Everything heard, up to the first that is ``wanted``."""
        found = [self.next()]
        while not wanted(found[-1]):
            found.append(self.next())
        return found

    def silent(self) -> bool:
        return self.heard.empty()


def connected(server: Server, path: str) -> list[dict[str, Any]]:
    """The connections to a path that hear something."""
    found = server.call("GET", "/sim/streams").json()["streams"]
    return [stream for stream in found if stream["path"] == path and stream["channels"]]


@contextlib.contextmanager
def running(server: Server, stream: Stream, path: str) -> Iterator[None]:
    """The stream in a thread, from the moment it hears until it has ended."""
    before = len(connected(server, path))
    stream._reconnect_min_backoff = stream._reconnect_max_backoff = 0.05
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: len(connected(server, path)) > before)
        yield
    finally:
        _end(stream, thread)


def _end(stream: Stream, thread: threading.Thread) -> None:
    async def end() -> None:
        await stream.stop_ws()
        # Its reader looks for a stop only every five seconds; a closed socket wakes it.
        await stream.close()

    loop: Any = stream._loop
    asyncio.run_coroutine_threadsafe(end(), loop).result(JOIN_SECONDS)
    thread.join(JOIN_SECONDS)
    assert not thread.is_alive()


def stream_url(server: Server, path: str) -> str:
    return server.url.replace("http", "ws", 1) + path


@contextlib.contextmanager
def trade_updates(server: Server, **more: Any) -> Iterator[Ear]:
    """A TradingStream that listens."""
    ear = Ear()
    stream = TradingStream("key", "secret", url_override=stream_url(server, "/stream"), **more)
    stream.subscribe_trade_updates(ear.handler)
    with running(server, stream, "/stream"):
        yield ear
