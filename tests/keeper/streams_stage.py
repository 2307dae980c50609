"""A keeper with streams that a test connects, drops and speaks through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from stealer.broker.streams import CRYPTO, STOCKS, TRADES, StreamState
from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import Quote
from stealer.keeper.keeper import Keeper
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

#: Staleness less the positions' lag and what is spare: 15 - 2 - 2.
CALM = 11.0


class FakeStreams:
    """Streams that a test connects, drops, and speaks through."""

    def __init__(self, clock: ManualClock, handlers: tuple[Callable[..., object], ...]) -> None:
        self._clock = clock
        self.quotes, self.order, self.connected = handlers
        self.wanted: set[str] = set()
        self.now: dict[str, StreamState] = {}
        self.restarted: list[str] = []
        self.stopped = False

    def connect(self, *names: str) -> None:
        for name in names or (TRADES, CRYPTO, STOCKS):
            self.now[name] = StreamState(self._clock.time(), None, 1)
            self.connected(name)

    def drop(self, name: str) -> None:
        self.now[name] = StreamState(None, None, 1)

    def want(self, symbols: Iterable[str]) -> None:
        self.wanted = set(symbols)

    def states(self) -> dict[str, StreamState]:
        return self.now

    def restart(self, name: str) -> None:
        self.restarted.append(name)

    def stop(self) -> None:
        self.stopped = True


class CountingBroker(AccountBroker):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def _read(self, what: str) -> None:
        self.reads.append(what)
        super()._read(what)


class Stage:
    """A keeper with streams, whose passes and broker a test counts."""

    def __init__(self, desk: Desk, broker: CountingBroker, clock: ManualClock) -> None:
        self.desk, self.broker, self.clock = desk, broker, clock
        self.opened: list[FakeStreams] = []
        self.keeper = Keeper(
            WorkStealingCoordinator(desk.client, desk.settings, owner="keeper-a"),
            broker,
            lease_seconds=3000,
            sleep=lambda _: None,
            pause=lambda _: None,
            monotonic=clock.time,
            open_streams=self._open,
        )

    def _open(self, *handlers: Callable[..., object]) -> FakeStreams:
        self.opened.append(FakeStreams(self.clock, handlers))
        return self.opened[-1]

    @property
    def streams(self) -> FakeStreams:
        return self.opened[-1]

    def passes(self, seconds: float = 0.0) -> int:
        """Let time go by, make a pass; how often the account was read in it."""
        self.clock.advance(seconds)
        before = self.broker.reads.count("account")
        assert self.keeper.run_once()
        return self.broker.reads.count("account") - before

    def hear(self, *symbols: str, at: float = 4e9) -> None:
        self.streams.quotes([Quote(s, Decimal(100), Decimal(101), at) for s in symbols])
