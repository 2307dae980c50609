"""A broker with an account: the scripted one, plus what only a keeper reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from stealer.broker.interface import BrokerUnavailable
from stealer.evidence import AccountSnapshot, BrokerAccount, BrokerOrder, BrokerPosition, Quote
from stealer.model import Claim
from tests.coordination.desk import Desk
from tests.entry.scripted import ScriptedBroker

PRICE = Decimal(100)


class AccountBroker(ScriptedBroker):
    """10,000 dollars of equity and cash; positions are what a test says, or what orders filled."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Decimal] = {}
        self.equity = self.cash = Decimal(10_000)
        self.market: dict[str, Decimal] = {}
        self.quoted_at = 4e9  # the future counts as now
        self.quote_calls: list[list[str]] = []
        self.lookups: list[str] = []
        #: Names of the reads that fail.
        self.fails: set[str] = set()
        #: Run between reading the orders and reading the positions, and after both.
        self.after_orders: Callable[[], object] = lambda: None
        self.after_positions: Callable[[], object] = lambda: None
        #: What listings show instead of the present, None for the present.
        self.old_list: tuple[BrokerOrder, ...] | None = None

    def put(self, client_order_id: str, symbol: str = "AAPL", **changes: object) -> BrokerOrder:
        """An order at the broker, 10 at 100 dollars unless told otherwise."""
        order = BrokerOrder(
            f"id-{client_order_id}", client_order_id, symbol, "buy", Decimal(10), "new"
        )
        fields: dict[str, Any] = {"limit_price": PRICE} | changes
        return self._put(replace(order, **fields))

    def match(self, claim: Claim) -> BrokerOrder:
        """The order of *claim* rests at the broker."""
        return self.put(
            claim.id,
            claim.symbol,
            id=f"broker-{claim.id}",
            qty=claim.qty,
            is_crypto=claim.is_crypto,
        )

    def execute(self, client_order_id: str, qty: float | None = None) -> BrokerOrder:
        """Fill one order, all of it by default; the position follows at once."""
        order = self.orders[client_order_id]
        units = order.remaining_qty if qty is None else Decimal(str(qty))
        filled = order.filled_qty + units
        status = "filled" if filled >= order.qty else "partially_filled"
        sign = 1 if order.side == "buy" else -1
        self.held[order.symbol] = self.held.get(order.symbol, Decimal(0)) + sign * units
        return self._put(replace(order, filled_qty=filled, status=status))

    # ---- what a keeper reads

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        self._read("orders")
        return tuple(self.live()) if self.old_list is None else self.old_list

    def latest_client_ids(self) -> tuple[str, ...]:
        self._read("latest")
        return tuple(reversed(self.orders))

    def positions(self) -> tuple[BrokerPosition, ...]:
        self._read("positions")
        return tuple(
            BrokerPosition(symbol, qty, qty * PRICE, symbol.endswith("USD"))
            for symbol, qty in self.held.items()
            if qty
        )

    def account(self) -> BrokerAccount:
        self._read("account")
        plenty = Decimal(4_000_000_000)
        return BrokerAccount(self.equity, self.equity, self.cash, plenty, plenty, Decimal(4))

    def snapshot(self, between: Callable[[], None] = lambda: None) -> AccountSnapshot:
        orders = self.open_orders()
        between()
        self.after_orders()
        positions = self.positions()
        self.after_positions()
        return AccountSnapshot(orders, positions, self.account())

    def quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        self._read("quotes")
        names = list(symbols)
        self.quote_calls.append(names)
        return {
            name: Quote(name, self.market[name], self.market[name], self.quoted_at)
            for name in names
            if name in self.market
        }

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        self.lookups.append(client_order_id)
        self._read("lookup")
        return super().order_by_client_id(client_order_id)

    def order_by_id(self, order_id: str) -> BrokerOrder | None:
        self._read("lookup")
        return next((o for o in self.orders.values() if o.id == order_id), None)

    def _read(self, what: str) -> None:
        self._answer()
        if what in self.fails:
            raise BrokerUnavailable(f"{what}: the test's will")


def opened(desk: Desk, broker: AccountBroker, symbol: str = "AAPL", usd: float = 1_000) -> Claim:
    """A claim with its order live at *broker*."""
    claim = desk.open(symbol, usd=usd)
    broker.match(claim)
    return claim


def launched(desk: Desk, symbol: str = "AAPL") -> Claim:
    """A claim whose order may be on its way."""
    claim = desk.reserve(symbol, usd=1_000)
    desk.coordinator.launch(claim)
    return claim


def held(desk: Desk) -> float:
    """All that the ledger counts."""
    return float(desk.charged() + desk.figure("positions_total") + desk.figure("foreign_total"))
