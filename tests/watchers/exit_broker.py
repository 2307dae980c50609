"""A broker in memory with a position, which takes each client id once, and judges exits.

What must never happen is recorded in ``wrongs`` when an order arrives: two live exit orders of one
ticket, more sold than was filled, an order beyond the position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from stealer.broker.interface import BrokerUnavailable, Guard
from stealer.evidence import (
    Asset,
    BrokerOrder,
    BrokerPosition,
    CancelResult,
    NewOrder,
    Outcome,
    SubmitResult,
)

ZERO = Decimal(0)


class ExitBroker:
    """One symbol's orders and position. ``around`` is called before and after every call with its
    name and "before" or "after"; what it raises ends the call there.
    """

    def __init__(self, symbol: str = "AAPL", *, crypto: bool = False) -> None:
        self.symbol, self.crypto = symbol, crypto
        self.orders: dict[str, BrokerOrder] = {}
        self.held = ZERO
        self.bought = ZERO  #: by the entry, in all
        self.tradable = True
        self.increment = Decimal("0.01")
        self.refuses = ""
        self.is_down = False
        self.cancels_end = True  #: at once; else a cancel is pending until the test ends it
        self.late: list[NewOrder] = []  #: POSTs on their way
        self.delays_posts = False
        self.calls: list[str] = []
        self.wrongs: list[str] = []
        self.around: Callable[[str, str], None] = lambda call, when: None

    # ---- what a test does

    def buy(self, qty: Decimal | float | str) -> None:
        """The entry fills: the position has it at once."""
        units = Decimal(str(qty))
        self.bought += units
        self.held += units

    def live(self) -> list[BrokerOrder]:
        return [order for order in self.orders.values() if not order.is_terminal]

    def exits(self) -> list[BrokerOrder]:
        """Live orders of exits."""
        return [order for order in self.live() if order.client_order_id.startswith("x_")]

    def only(self) -> BrokerOrder:
        (order,) = self.exits()
        return order

    def sold(self) -> Decimal:
        """Units that exits sold."""
        found = (o for o in self.orders.values() if o.client_order_id.startswith("x_"))
        return sum((order.filled_qty for order in found), ZERO)

    def fill(self, qty: float | Decimal | None = None) -> BrokerOrder:
        """The market takes *qty* more of the one live exit order, all by default."""
        order = self.only()
        units = order.remaining_qty if qty is None else min(Decimal(str(qty)), order.remaining_qty)
        self.held += units if order.side == "buy" else -units
        filled = order.filled_qty + units
        status = order.status if filled < order.qty else "filled"
        return self.put(replace(order, filled_qty=filled, status=status))

    def end(self, status: str = "canceled") -> BrokerOrder:
        return self.put(replace(self.only(), status=status))

    def put(self, order: BrokerOrder) -> BrokerOrder:
        self.orders[order.client_order_id] = order
        return order

    def deliver_late(self) -> None:
        """POSTs that were on their way arrive; nobody hears the answers."""
        late, self.late = self.late, []
        for order in late:
            if order.client_order_id in self.orders or order.qty > self._free(order.side):
                continue  # refused: the id was seen, or there is no such position any more
            self._arrive(order)

    # ---- what the system does

    def submit(self, order: NewOrder, guard: Guard | None = None) -> SubmitResult:
        self._enter("submit")
        if guard is not None:
            try:
                with guard():
                    pass
            except Exception as error:
                return SubmitResult(Outcome.DENIED, kind="not_sent", message=str(error))
        if self.delays_posts:
            self.late.append(order)
            return SubmitResult(Outcome.UNRESOLVED, kind="timeout", message="no answer")
        if order.client_order_id in self.orders:
            found = self.orders[order.client_order_id]
            self._leave("submit")
            return SubmitResult(Outcome.CONFIRMED, found, "duplicate_id")
        if self.refuses:
            return SubmitResult(Outcome.REJECTED, kind=self.refuses, message="refused by the test")
        made = self._arrive(order)
        self._leave("submit")
        return SubmitResult(Outcome.CONFIRMED, made)

    def _arrive(self, order: NewOrder) -> BrokerOrder:
        if self.exits():
            self.wrongs.append(f"two live orders: {order.client_order_id}")
        if self.sold() + order.qty > self.bought:
            self.wrongs.append(f"sells {order.qty} after {self.sold()} of {self.bought}")
        if order.qty > self._free(order.side):
            self.wrongs.append(f"sells {order.qty}, the position is {self.held}")
        return self.put(
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

    def _free(self, side: str) -> Decimal:
        closing = sum((o.remaining_qty for o in self.live() if o.side == side), ZERO)
        return (self.held if side == "sell" else -self.held) - closing

    def cancel(self, order_id: str) -> CancelResult:
        self._enter("cancel")
        for order in self.live():
            if order.id == order_id:
                status = "canceled" if self.cancels_end else "pending_cancel"
                self.put(replace(order, status=status))
                self._leave("cancel")
                return CancelResult(Outcome.CONFIRMED)
        return CancelResult(Outcome.REJECTED, already_terminal=True)

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        self._enter("look_up")
        return self.orders.get(client_order_id)

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        self._enter("open_orders")
        return tuple(self.live())

    def positions(self) -> tuple[BrokerPosition, ...]:
        self._enter("positions")
        if not self.held:
            return ()
        return (BrokerPosition(self.symbol, self.held, self.held * 100, self.crypto),)

    def asset(self, symbol: str) -> Asset:
        self._enter("asset")
        step = Decimal("0.000000001") if self.crypto else None
        return Asset(symbol, self.crypto, self.tradable, True, False, None, step, self.increment)

    def _enter(self, call: str) -> None:
        if self.is_down:
            raise BrokerUnavailable("the test has switched it off")
        self.around(call, "before")
        self.calls.append(call)

    def _leave(self, call: str) -> None:
        self.around(call, "after")

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"an exit watcher has no business with {name}")
