"""Random lives of one ticket's exits: fills, crashes at every call, lost replies, late POSTs, two
watchers, lost memory. The broker in memory judges each order as it arrives.
"""

from __future__ import annotations

import os
from decimal import Decimal

import fakeredis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stealer.broker.interface import BrokerUnavailable
from stealer.model import decimal_text
from tests.coordination.desk import Desk
from tests.support import ManualClock
from tests.watchers.exit_bench import ExitBench
from tests.watchers.exit_broker import ExitBroker
from watchers.exit_watcher import ExitWatcher

#: Lives that are tried; more with the environment's EXIT_EXAMPLES.
EXAMPLES = int(os.environ.get("EXIT_EXAMPLES", "20"))

WATCHERS = st.integers(0, 1)
UNITS = st.sampled_from(["0.4", "1", "2", "3.5"])
FAULTS = st.sampled_from(["crash before", "crash after", "lost before", "lost after"])
CALLS = st.sampled_from(["submit", "submit", "cancel", "look_up", "open_orders", "positions"])


class Crash(BaseException):
    """The process is killed here."""


class Exits(RuleBasedStateMachine):
    """Two watchers of one ticket, each of which may be dead."""

    def __init__(self) -> None:
        super().__init__()
        self.client = fakeredis.FakeRedis()
        desk = Desk(self.client).open_shop()
        self.bench = ExitBench(desk, ExitBroker(), ManualClock(1_700_000_000.0))
        self.broker = self.bench.broker
        self.broker.around = self._around
        self.running: dict[int, ExitWatcher] = {}
        self.fault: tuple[str, str, str] | None = None
        self.claims = 0
        self.remembered: dict[str, Decimal] = {}

    @initialize(others=st.sampled_from([0, 50]))
    def the_entry_begins(self, others: int) -> None:
        """Beside *others* of the same symbol, so that the position alone bounds nothing."""
        self.broker.held += others
        self.bench.entry_runs()

    def _around(self, call: str, when: str) -> None:
        if self.fault and self.fault[1:] == (call, when):
            kind, self.fault = self.fault[0], None
            raise Crash if kind == "crash" else BrokerUnavailable("lost, the test wants it so")

    # ---- the entry and the market

    @rule(units=UNITS, anew=st.booleans())
    def the_entry_fills(self, units: str, anew: bool) -> None:
        self.claims += anew or not self.claims
        claim = f"mx_{self.claims}"
        self.broker.buy(units)
        qty = self.remembered.get(claim, Decimal(0)) + Decimal(units)
        self.remembered[claim] = qty
        self.bench.tell(claim, qty)

    @rule(units=UNITS)
    def the_exit_fills(self, units: str) -> None:
        if self.broker.exits():
            self.broker.fill(min(Decimal(units), self.broker.only().remaining_qty))

    @rule(status=st.sampled_from(["canceled", "expired", "rejected"]))
    def the_order_ends(self, status: str) -> None:
        if self.broker.exits():
            self.broker.end(status)

    @rule(slow=st.booleans())
    def cancels_take_their_time(self, slow: bool) -> None:
        self.broker.cancels_end = not slow

    @rule(units=UNITS)
    def somebody_sells(self, units: str) -> None:
        free = self.broker.held - sum(o.remaining_qty for o in self.broker.live())
        self.broker.held -= min(Decimal(units), max(free, Decimal(0)))

    # ---- trouble

    @rule(call=CALLS, fault=FAULTS)
    def a_fault_is_near(self, call: str, fault: str) -> None:
        kind, when = fault.split()
        self.fault = (kind, call, when)

    @rule(slow=st.booleans())
    def posts_are_delayed(self, slow: bool) -> None:
        self.broker.delays_posts = slow

    @rule()
    def late_posts_arrive(self) -> None:
        self.broker.deliver_late()

    @rule(told_again=st.booleans())
    def redis_forgets(self, told_again: bool) -> None:
        self.client.flushall()
        self.bench.desk.open_shop()
        self.bench.entry_runs()
        if told_again:
            self._tell_again()

    def _tell_again(self) -> None:
        for claim, qty in self.remembered.items():
            self.bench.tell(claim, qty)

    @rule()
    def the_keeper_lists(self) -> None:
        self.bench.keeper_lists()

    @rule(which=WATCHERS)
    def a_watcher_is_killed(self, which: int) -> None:
        self.running.pop(which, None)

    # ---- the watchers

    @rule(which=WATCHERS, seconds=st.sampled_from([0, 1, 5, 40]))
    def a_watcher_steps(self, which: int, seconds: int) -> None:
        self._step(which)
        self.bench.clock.advance(seconds)

    @rule(which=WATCHERS, times=st.integers(2, 8))
    def a_watcher_runs(self, which: int, times: int) -> None:
        for _ in range(times):
            self._step(which)
            self.bench.clock.advance(6)

    def _step(self, which: int) -> None:
        try:
            if which not in self.running:
                self.running[which] = self.bench.watcher()
            if self.running[which].step() is not None:
                del self.running[which]
        except Crash:
            self.running.pop(which, None)

    # ---- what holds

    @invariant()
    def the_broker_saw_nothing_wrong(self) -> None:
        assert self.broker.wrongs == []

    @invariant()
    def never_more_sold_and_offered_than_filled(self) -> None:
        live = self.broker.exits()
        assert len(live) <= 1
        offered = sum((o.remaining_qty for o in live), Decimal(0))
        assert self.broker.sold() + offered <= self.broker.bought
        assert self.broker.held >= offered

    def teardown(self) -> None:
        """Trouble ends: what was filled and is still there is covered, then sold, and no more."""
        self.fault = None
        self.broker.delays_posts = False
        self.broker.deliver_late()
        self.broker.cancels_end = True
        for order in self.broker.exits():
            if order.status == "pending_cancel":
                self.broker.end()
        self._tell_again()
        self._settle(40)
        orders = dict(self.broker.orders)
        self._settle(5)
        assert self.broker.orders == orders, "at rest nothing moves"
        for _ in range(2):
            if self.broker.exits():
                self.broker.fill()
            self._settle(10)
        assert self.broker.exits() == []
        self.client.close()

    def _settle(self, turns: int) -> None:
        """Both watchers and the keeper go on; then all that can be sold is offered."""
        for _ in range(turns):
            self.bench.keeper_lists()
            self._step(0)
            self._step(1)
            self.bench.clock.advance(12)
        self.the_broker_saw_nothing_wrong()
        self.never_more_sold_and_offered_than_filled()
        offered = sum((o.remaining_qty for o in self.broker.exits()), Decimal(0))
        left = min(self.broker.bought - self.broker.sold(), self.broker.held)
        # Less than one dollar is no order; the limit is 110.
        assert abs(left - offered) * 110 < 1, (
            f"{decimal_text(offered)} offered, {decimal_text(left)} left: "
            f"{[w.status.sentence() for w in self.running.values()]}"
        )


TestExits = Exits.TestCase
TestExits.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
