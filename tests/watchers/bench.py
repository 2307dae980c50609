"""Makes entry watchers on one desk, with a small broker and a clock that moves when told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Entries
from stealer.model import OrderIntent
from tests.coordination.desk import Desk
from tests.support import ManualClock
from tests.watchers.fake_broker import FakeBroker
from watchers.entry_watcher import ADOPT_SECONDS, EntryWatcher
from watchers.status import Phase
from watchers.task import EntryTask

#: Real seconds after which something that must happen has not happened.
DEADLINE = 10.0


class Bench:
    """Makes watchers of one desk; all of them share a clock."""

    def __init__(self, desk: Desk, broker: FakeBroker, clock: ManualClock) -> None:
        self.desk, self.broker, self.clock = desk, broker, clock

    def watcher(
        self,
        symbol: str = "AAPL",
        *,
        qty: float = 10,
        limit: float = 100,
        pnl: float | None = 1.0,
        side: str = "buy",
        mode: str = "normal",
        force: bool = False,
        tolerance: float | None = None,
        expiry: float = 3600.0,
        ticket: str = "",
        stop_seconds: float = 15.0,
        should_stop: Callable[[], bool] = lambda: False,
        real_time: bool = False,
        **more: Any,
    ) -> EntryWatcher:
        intent = OrderIntent(symbol, side, qty, limit, "maxdiff", pnl or 0.0, mode, force)
        task = EntryTask(
            intent, tolerance, expiry, 0.05, ticket or f"t-{symbol}", pnl is not None, stop_seconds
        )
        coordinator = WorkStealingCoordinator(self.desk.client, self.desk.settings)
        clock: dict[str, Any] = {"sleep": self.clock.advance, "monotonic": self.clock.time}
        clock = {} if real_time else clock
        entries = Entries(coordinator, self.broker, **clock)
        return EntryWatcher(
            task,
            coordinator,
            entries,
            should_stop=should_stop,
            **clock,
            **more,
        )

    def open(self, symbol: str = "AAPL", **options: Any) -> EntryWatcher:
        """A watcher whose order is open, with the market 2 % away afterwards."""
        self.desk.market(symbol)
        watcher = self.watcher(symbol, **options)
        watcher.step()
        assert watcher.status.phase is Phase.OPEN, watcher.status.sentence()
        self.desk.market(symbol, away=0.02)
        return watcher

    def silent(self, watcher: EntryWatcher, seconds: float = ADOPT_SECONDS + 1) -> None:
        """Let it be *seconds* since the owner of the watcher's claim gave a sign of life."""
        assert watcher.claim
        then = self.desk.coordinator.now_ms() - int(seconds * 1000)
        self.desk.client.zadd(self.desk.keys.beats, {watcher.claim.id: then})


def until_ended(watcher: EntryWatcher) -> Phase | None:
    """Step in real time, as a watcher that polls does, until it ends."""
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up:
        ended = watcher.step()
        if ended:
            return ended
        watcher.coordinator.wait(watcher.slot, 0.05)
    return None
