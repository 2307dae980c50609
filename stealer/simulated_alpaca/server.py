"""Running the server: in this process until a signal, or in a thread for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

import uvicorn

from .app import build_app
from .clock import MarketClock, parse_instant
from .exchange import Exchange, ExchangeConfig
from .generator import GeneratedMarket
from .prices import MarketSource
from .settings import ServerConfig
from .world import World

START_DEADLINE_SECONDS = 20.0
#: A Friday afternoon: stocks are open for an hour, then a weekend begins.
DEFAULT_START = "2024-01-05T20:00:00Z"


def steady_clock() -> Callable[[], float]:
    """Real unix seconds that never jump back: the wall clock now, then the monotonic one."""
    wall, started = time.time(), time.monotonic()
    return lambda: wall + (time.monotonic() - started)


def make_world(
    source: MarketSource | None = None,
    config: ExchangeConfig | None = None,
    clock: MarketClock | None = None,
    now: Callable[[], float] | None = None,
) -> World:
    """An engine with defaults: generated market, `DEFAULT_START`, real time's speed.

    For a virtual clock give ``now`` and a clock, call the exchange's methods directly, and never
    start a server.
    """
    config = config or ExchangeConfig()
    now = now or steady_clock()
    started = now()
    clock = clock or MarketClock.starting(parse_instant(DEFAULT_START), real=started)
    source = source or GeneratedMarket(config.seed)
    return World(Exchange(config, source, clock, started), now)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 picks a free one. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


class Server(uvicorn.Server):
    """Uvicorn that leaves signals to its caller; it would raise them again after its shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield

    def stop(self) -> None:
        """End soon, with open requests given a second."""
        self.should_exit = True


def make_server(world: World, config: ServerConfig) -> Server:
    """A quiet server around the world."""
    return Server(
        uvicorn.Config(
            build_app(world, config),
            log_level="warning",
            access_log=False,
            lifespan="on",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
        )
    )


class ServerThread:
    """The server in a thread of this process: ``with ServerThread() as server: server.url``.

    The engine belongs to the server's thread: reach it through HTTP, /sim included.
    """

    def __init__(self, world: World | None = None, config: ServerConfig | None = None) -> None:
        self.world = world or make_world()
        self.config = config or ServerConfig()
        self.url = ""
        self._server = make_server(self.world, self.config)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ServerThread:
        listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [listener]},
            daemon=True,
            name="simulated-alpaca",
        )
        self._thread.start()
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the simulated Alpaca did not start")
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        if self._thread is not None:
            self._thread.join(START_DEADLINE_SECONDS)
