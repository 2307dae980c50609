"""A property: whatever is asked of the exchange, money and coins are conserved."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stealer.simulated_alpaca.errors import ApiError
from stealer.simulated_alpaca.events import Event
from stealer.simulated_alpaca.faults import EXCHANGE_KINDS
from stealer.simulated_alpaca.orders import TERMINAL, Order
from tests.simulated_alpaca.bench import Bench

LEVELS = {"AAPL": 200.0, "BTC/USD": 50_000.0, "ETH/USD": 2_000.0, "TSLA": 100.0}
FEE = Decimal("0.0025")
SMALLEST = Decimal("0.000000001")
symbols = st.sampled_from(sorted(LEVELS))


class Conservation(RuleBasedStateMachine):
    """Random orders, cancels, replacements, prices and waits, against a ledger of the fills."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(
            speed=600.0,
            partial_probability=0.5,
            accept_latency=0.1,
            cancel_latency=0.3,
            release_latency=0.1,
            spread_bps=Decimal(4),
        )
        self.cash = self.bench.exchange.account.cash
        self.units: dict[str, Decimal] = {}
        self.executed: dict[str, Decimal] = {}
        self.ended: dict[str, str] = {}
        self.bench.exchange.events.listeners.append(self.hear)

    def hear(self, event: Event) -> None:
        order = event.order
        assert order.id not in self.ended, f"{event.name} after {self.ended[order.id]}"
        if order.status in TERMINAL:
            self.ended[order.id] = order.status
        if event.execution is None:
            return
        qty, price = event.execution.qty, event.execution.price
        sign = 1 if order.side == "buy" else -1
        self.executed[order.id] = self.executed.get(order.id, Decimal(0)) + qty
        limit = order.limit_price
        assert limit is None or (limit - price) * sign >= 0
        cash, units = -sign * qty * price, sign * qty
        if order.asset.is_crypto and sign > 0:
            units = (qty * (1 - FEE)).quantize(SMALLEST, "ROUND_DOWN")
        elif order.asset.is_crypto:
            cash *= 1 - FEE
        self.cash += cash
        self.units[order.symbol] = self.units.get(order.symbol, Decimal(0)) + units

    @rule(
        symbol=symbols,
        side=st.sampled_from(["buy", "sell"]),
        size=st.integers(1, 40),
        offset=st.integers(-20, 20),
        market=st.booleans(),
    )
    def order(self, symbol: str, side: str, size: int, offset: int, market: bool) -> None:
        price = round(self.bench.market.prices[symbol] * (1 + offset / 1000), 2)
        qty = Decimal(size * 1000) / Decimal(str(LEVELS[symbol]))
        if "/" not in symbol:
            qty = qty.to_integral_value()
        with suppress(ApiError):
            self.bench.submit(symbol, side, qty, None if market else price)

    def some_order(self, data: st.DataObject) -> Order | None:
        orders = sorted(self.bench.exchange.orders.values(), key=lambda order: order.sequence)
        return data.draw(st.sampled_from(orders[-8:])) if orders else None

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order = self.some_order(data)
        if order is None:
            return
        try:
            self.bench.exchange.cancel(self.bench.real, order.id)
        except ApiError:
            assert not order.live

    @rule(data=st.data(), offset=st.integers(-20, 20))
    def replace(self, data: st.DataObject, offset: int) -> None:
        order = self.some_order(data)
        if order is None:
            return
        price = round(self.bench.market.prices[order.symbol] * (1 + offset / 1000), 2)
        with suppress(ApiError):
            self.bench.exchange.replace(self.bench.real, order.id, {"limit_price": str(price)})

    @rule(symbol=symbols, change=st.integers(-30, 30))
    def move(self, symbol: str, change: int) -> None:
        self.bench.market.prices[symbol] = LEVELS[symbol] * (1 + change / 1000)

    @rule(seconds=st.sampled_from([0.05, 0.2, 1.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.bench.wait(seconds)

    @rule(kind=st.sampled_from(sorted(EXCHANGE_KINDS)))
    def fault(self, kind: str) -> None:
        state = {"state": "suspended"} if kind == "rare_status" else {}
        self.bench.exchange.faults.add({"kind": kind, "seconds": 0.2} | state)

    @invariant()
    def cash_and_units_equal_the_fills(self) -> None:
        account = self.bench.exchange.account
        assert account.cash == self.cash
        held = {symbol: position.qty for symbol, position in account.positions.items()}
        assert held == {symbol: units for symbol, units in self.units.items() if units}

    @invariant()
    def no_order_overfills(self) -> None:
        for order in self.bench.exchange.orders.values():
            assert order.filled_qty == self.executed.get(order.id, Decimal(0)) <= order.qty
            assert (order.status == "filled") == (order.filled_qty == order.qty)

    @invariant()
    def terminal_states_are_terminal_and_the_rest_is_live(self) -> None:
        exchange = self.bench.exchange
        for order_id, status in self.ended.items():
            assert exchange.orders[order_id].status == status
        assert set(exchange.live) == set(exchange.orders) - set(self.ended)

    @invariant()
    def crypto_is_never_short(self) -> None:
        for symbol, units in self.units.items():
            assert units >= 0 or "/" not in symbol


Conservation.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestConservation = Conservation.TestCase
