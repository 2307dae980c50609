"""A small broker in memory: orders rest until a test fills, cancels or refuses them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NoReturn

from stealer.broker.interface import BrokerUnavailable, Guard
from stealer.evidence import (
    Asset,
    BrokerOrder,
    CancelResult,
    NewOrder,
    Outcome,
    Quote,
    SubmitResult,
)


class FakeBroker:
    """Confirms every order, unless told otherwise; a cancel is done at once."""

    def __init__(self) -> None:
        self.orders: dict[str, BrokerOrder] = {}
        self.posts = 0
        self.cancels: list[str] = []
        self.refuses = ""  #: a kind of refusal
        self.loses_answers = False  #: orders arrive, the answers do not
        self.is_down = False

    # ---- what a test does

    def live(self) -> list[BrokerOrder]:
        """Orders that can still fill."""
        return [order for order in self.orders.values() if not order.is_terminal]

    def only(self) -> BrokerOrder:
        """The one live order."""
        (order,) = self.live()
        return order

    def fill(self, qty: float | None = None) -> BrokerOrder:
        """Fill *qty* more units of the one live order, all of it by default."""
        order = self.only()
        filled = order.qty if qty is None else order.filled_qty + Decimal(str(qty))
        status = "filled" if filled >= order.qty else "partially_filled"
        return self._put(replace(order, filled_qty=filled, status=status))

    def end(self, status: str = "canceled") -> BrokerOrder:
        """Somebody, or the broker, ends the one live order."""
        return self._put(replace(self.only(), status=status))

    def _put(self, order: BrokerOrder) -> BrokerOrder:
        self.orders[order.client_order_id] = order
        return order

    # ---- what the system does

    def place(self, order: NewOrder) -> BrokerOrder:
        """The order as live at the broker from now on."""
        return self._put(
            BrokerOrder(
                f"id-{order.client_order_id}",
                order.client_order_id,
                order.symbol,
                order.side,
                order.qty,
                "new",
                limit_price=order.limit_price,
                is_crypto=order.is_crypto,
            )
        )

    def submit(self, order: NewOrder, guard: Guard | None = None) -> SubmitResult:
        if guard:
            with guard():
                self.posts += 1
        if self.refuses:
            return SubmitResult(Outcome.REJECTED, kind=self.refuses, message="refused by the test")
        made = self.place(order)
        if self.loses_answers:
            return SubmitResult(Outcome.UNRESOLVED, kind="timeout", message="no answer")
        return SubmitResult(Outcome.CONFIRMED, made)

    def cancel(self, order_id: str) -> CancelResult:
        self._answer()
        self.cancels.append(order_id)
        for order in self.live():
            if order.id == order_id:
                self._put(replace(order, status="canceled"))
                return CancelResult(Outcome.CONFIRMED)
        return CancelResult(Outcome.REJECTED, already_terminal=True)

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        self._answer()
        if self.loses_answers:
            raise BrokerUnavailable("no answer")
        return self.orders.get(client_order_id)

    def asset(self, symbol: str) -> Asset:
        self._answer()
        return Asset(symbol, symbol.endswith("USD"), True, True, True)

    def quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        return {}

    def _answer(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("the test has switched it off")

    def __getattr__(self, name: str) -> Any:
        def unexpected(*arguments: object) -> NoReturn:
            raise AssertionError(f"a watcher has no business with {name}")

        return unexpected
