"""Entries with everything around them that a test moves: desk, broker and clock."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from stealer.entry import Ending, Entries, EntryResult
from stealer.model import Claim, OrderIntent
from tests.coordination.desk import AWAY, Desk
from tests.entry.scripted import ScriptedBroker
from tests.support import ManualClock

#: A victim of this size and a thief of that one do not fit the desk's 20,000 together.
VICTIM_USD = 15_000
THIEF_USD = 10_000


class Stage:
    """Waiting takes no time: each wait moves the clock and runs ``meanwhile``."""

    def __init__(self, desk: Desk, broker: ScriptedBroker, clock: ManualClock) -> None:
        self.desk, self.broker, self.clock = desk, broker, clock
        self.coordinator = desk.coordinator
        self.steps: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.is_woken = False
        self.entries = Entries(
            desk.coordinator,
            broker,
            on_step=self.steps.append,
            sleep=clock.advance,
            monotonic=clock.time,
        )

    def wait(self, slot: str, seconds: float, *others: str) -> bool:
        """In the place of ``Ledger.wait``."""
        self.clock.advance(seconds)
        self.meanwhile()
        return self.is_woken

    def open(
        self, symbol: str, pnl: float, usd: float, *, market_open: bool = True, limit: float = 100
    ) -> EntryResult:
        """One attempt, with the market at the limit."""
        self.desk.market(symbol, limit=limit)
        qty = Decimal(str(usd)) / Decimal(str(limit))
        intent = OrderIntent(symbol, "buy", qty, limit, "maxdiff", pnl)
        return self.entries.open(intent, market_open=market_open)

    def rest(self, symbol: str, pnl: float = 1.0, usd: float = VICTIM_USD) -> Claim:
        """An open order with the market far away: stealable."""
        result = self.open(symbol, pnl, usd)
        assert (result.ending, result.stolen_from) == (Ending.OPEN, ()), result
        assert result.claim
        self.desk.market(symbol, away=AWAY)
        return result.claim

    def steal(self, pnl: float = 10.0) -> EntryResult:
        """The attempt of a thief that needs room."""
        return self.open("AAPL", pnl, THIEF_USD)

    def claim_of(self, symbol: str) -> Claim | None:
        """The claim in the symbol's slot now."""
        return self.coordinator.claim_in_slot(symbol, "buy", "maxdiff")

    def assert_charged(self, usd: float) -> None:
        assert self.desk.charged() == Decimal(str(usd))

    def assert_nothing_left(self) -> None:
        """DESIGN invariant 5."""
        assert (self.desk.charged(), self.desk.charged("crypto")) == (0, 0)
        assert self.coordinator.claim_ids() == []
        assert self.broker.live() == []
