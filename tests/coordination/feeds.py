"""What a broker and a keeper bring into a random history, whatever the watchers do."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from stealer.evidence import BrokerOrder
from stealer.model import Decision
from tests.coordination.broker import Order
from tests.coordination.judged import Judged
from tests.coordination.words import Answer, Held

DOLLAR = 1_000_000
UNIT = 100 * DOLLAR
#: A short sale is charged 3 % above its limit.
SHORT_UNIT = 103 * DOLLAR

SLOTS = [
    ("AAPL", "buy", "s"),
    ("AAPL", "buy", "t"),
    ("MSFT", "buy", "s"),
    ("TSLA", "sell", "s"),
    ("BTCUSD", "buy", "s"),
    ("ETHUSD", "buy", "s"),
    ("ETHUSD", "buy", "t"),
    ("UNIUSD", "buy", "s"),
    ("NVDA", "buy", "s"),
]
SYMBOLS = sorted({symbol for symbol, _, _ in SLOTS})
PRICES = ["100", "99.5", "98", "100.3", "100.31", "99.7", "100.4", "99.6", "100.41", "102"]
PNLS = ["-5", "-4.5", "-1", "0", "0.5", "1", "1.1", "2", "2.21", "3", "5.5", "8", "13", "30"]
#: Odd steps, so that nothing expires in the very millisecond it is looked at.
STEPS = [1, 1_003, 4_007, 9_001, 31_013, 301_007, 1_801_003]
LIMITS = [800, 1_000, 1_200, 1_600]

picks = st.integers(0, 20)
pnls = st.sampled_from(PNLS).map(Fraction)
#: A narrow book has ties, and thieves that are worth two of its orders.
books = st.sampled_from(["1", "-1", "2", "1.1"]).map(Fraction)
thieves = st.sampled_from(["2.2", "2.31", "3.3", "5.5", "8", "30"]).map(Fraction)


class Feeds(Judged):
    """The broker and the keeper of two hosts."""

    #: How long positions may lag behind fills, in ms; 0 where time cannot be moved.
    lag = 0

    def clock(self) -> int:
        return self.hosts[0].now_ms()

    def set_clock(self) -> None:
        """Before the first step; overridden where time is injected."""

    def read_order(self) -> None:
        """Where time cannot be set, the server alone knows in which millisecond a claim became
        heirless, and so which is the oldest.
        """
        for claim_id, at in self.client.zrange(self.keys.heirless, 0, -1, withscores=True):
            self.oracle.claims[claim_id].evicted_at = int(at)

    # ---- helpers

    def pick(self, number: int, *states: str) -> Held | None:
        found = [c for c in self.oracle.claims.values() if c.state in states]
        return found[number % len(found)] if found else None

    def has(self, *states: str) -> bool:
        return any(c.state in states for c in self.oracle.claims.values())

    def order(self, number: int, *, live: bool) -> Order | None:
        found = [o for o in self.broker.orders.values() if o.live is live]
        return found[number % len(found)] if found else None

    @staticmethod
    def check(answer: Answer, decision: Decision) -> None:
        """What the ledger answered is what the oracle predicted, to the last victim."""
        said = (decision.outcome.value, decision.reason, [v.id for v in decision.victims])
        assert decision.outcome.value == answer.outcome, (said, answer)
        if answer.reasons:
            assert decision.reason in answer.reasons, (said, answer)
        assert sorted(v.id for v in decision.victims) == sorted(answer.victims), (said, answer)

    # ---- the broker, and what is heard of it

    @precondition(lambda self: self.order(0, live=True))
    @rule(number=picks, units=st.integers(1, 6))
    def fill(self, number: int, units: int) -> None:
        order = self.order(number, live=True)
        assert order
        self.broker.fill(order, units, self.oracle.now)

    @precondition(lambda self: self.has("evicting"))
    @rule(number=picks, told=st.booleans())
    def cancel(self, number: int, told: bool) -> None:
        """A cancel arrives; it is somebody's right only for a claim that is evicting."""
        held = self.pick(number, "evicting")
        assert held
        order = self.broker.orders[held.id]
        if order.live:
            order.status = "canceled"
        if told:
            self.close(order)

    @precondition(lambda self: self.order(0, live=True))
    @rule(number=picks)
    def sight(self, number: int) -> None:
        order = self.order(number, live=True)
        assert order
        self.sighted(order)

    def sighted(self, order: Order) -> None:
        filled = order.cost(order.filled)
        self.hosts[0].confirm(order.claim.id, self.broker.report(order))
        self.oracle.opened(order.claim, filled)

    @precondition(lambda self: self.order(0, live=False))
    @rule(number=picks)
    def hear_of_an_end(self, number: int) -> None:
        order = self.order(number, live=False)
        assert order
        self.close(order)

    @precondition(lambda self: self.strays < 3)
    @rule(units=st.integers(1, 4), filled=st.integers(0, 2), symbol=st.sampled_from(SYMBOLS))
    def stray(self, units: int, filled: int, symbol: str) -> None:
        """An order with our prefix and without a claim is found, and condemned at once."""
        self.strays += 1
        name = f"mx_paper_{self.strays:023x}_nn_p0.00_stray"
        held = Held(symbol, "buy", "stray", units, UNIT, Fraction(0), id=name)
        held.evicted_at = held.doomed_at = self.oracle.now
        held.state = "evicting"
        self.broker.submit(held)
        order = self.broker.orders[held.id]
        if filled:
            self.broker.fill(order, min(filled, max(units - 1, 1)), self.oracle.now)
        if not order.live:
            order.status = "canceled"
        report: BrokerOrder = self.broker.report(order)
        assert self.hosts[0].condemn(report, 0) == "condemned"
        held.filled, held.seen_at = order.cost(order.filled), self.oracle.now
        self.oracle.claims[held.id] = held

    @precondition(lambda self: self.broker.orders)
    @rule(number=picks)
    def exit_position(self, number: int) -> None:
        orders = [o for o in self.broker.orders.values() if o.filled > o.exited]
        if orders:
            orders[number % len(orders)].exited += 1

    # ---- what a keeper publishes

    @rule()
    def begin_snapshot(self) -> None:
        self.begun = self.hosts[0].begin_snapshot(lag_ms=self.lag)
        self.oracle.begin(self.begun, self.lag)

    @precondition(lambda self: self.order(0, live=True))
    @rule(number=picks, before=st.integers(1, 3), after=st.integers(1, 3))
    def snapshot_across_a_fill(self, number: int, before: int, after: int) -> None:
        """Fills that are known and settled, a snapshot, and a fill while it is being read."""
        order = self.order(number, live=True)
        assert order
        self.broker.fill(order, before, self.oracle.now)
        self.sighted(order)
        self.let_fills_settle()
        self.begin_snapshot()
        if order.live:
            self.broker.fill(order, after, self.oracle.now)
            self.sighted(order)
        self.publish_snapshot(1_000, 100, False)

    def let_fills_settle(self) -> None:
        """Time for positions to follow fills; overridden where time is injected."""

    @precondition(lambda self: self.begun)
    @rule(limit=st.sampled_from(LIMITS), cash=st.sampled_from([0, 60, 100]), prompt=st.booleans())
    def publish_snapshot(self, limit: int, cash: int, prompt: bool) -> None:
        held = self.broker.positions(self.oracle.now, self.lag, prompt)
        limits = {"total": limit * DOLLAR, "crypto": limit * DOLLAR * cash // 100}
        self.publish(limits, held)

    @rule(limit=st.sampled_from(LIMITS), cash=st.sampled_from([60, 100]), prompt=st.booleans())
    def snapshot(self, limit: int, cash: int, prompt: bool) -> None:
        self.begin_snapshot()
        self.publish_snapshot(limit, cash, prompt)

    @rule(symbol=st.sampled_from(SYMBOLS), price=st.sampled_from(PRICES))
    def quote(self, symbol: str, price: str) -> None:
        self.hosts[0].publish_quote(symbol, price, price)
        self.oracle.quotes[symbol] = (Fraction(price), self.oracle.now)

    @rule(slot=st.sampled_from(SLOTS), pnl=st.none() | pnls)
    def forecast(self, slot: tuple[str, str, str], pnl: Fraction | None) -> None:
        symbol, _, strategy = slot
        self.hosts[0].publish_forecast(symbol, strategy, None if pnl is None else float(pnl))
        self.oracle.forecast(symbol, strategy, pnl)

    @rule(is_open=st.booleans(), left=st.sampled_from([0, 60]))
    def session(self, is_open: bool, left: int) -> None:
        self.hosts[0].publish_session(is_open, left)
        self.oracle.session = (is_open, self.oracle.now + left * 1000 if left else 0)

    @rule(reason=st.sampled_from(["", "", "lunch"]))
    def halt(self, reason: str) -> None:
        self.hosts[1].halt(reason, "alice")
        self.oracle.halted = bool(reason)
