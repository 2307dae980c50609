"""The orders of one exit at the broker, one after the other (docs/exits.md, "The chain").

Order n + 1 is sent only when the broker has shown that order n is over. Ids follow from the ticket
and n alone, so whoever else works on the ticket meets the same orders, and the broker takes each
id once. Nothing here trusts memory for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from decimal import Decimal

from stealer import fence as os_fence
from stealer.broker.interface import Broker
from stealer.evidence import BrokerOrder, CancelResult, NewOrder, Outcome, SubmitResult
from stealer.exit_ids import exit_id
from stealer.exit_records import Heard, Progress

#: Arms the fence for so many seconds.
Fence = Callable[[float], AbstractContextManager[object]]


class ChainBroken(Exception):
    """The chain cannot go on: what was found, in a sentence. ``by_hand``: a person replaced an
    order, which is theirs now.
    """

    def __init__(self, sentence: str, *, by_hand: bool = False) -> None:
        super().__init__(sentence)
        self.by_hand = by_hand


class TooLate(Exception):
    """The figures that the order was made of are too old to send it."""


class ExitChain:
    """One ticket's chain, as far as this process has seen it.

    :param symbol, side: of its orders; an order of the chain about something else breaks it.
    :param known: how far it had come by somebody's records; those about other orders are left
        out, and the chain is walked from its beginning.
    """

    def __init__(
        self,
        broker: Broker,
        account: str,
        ticket: str,
        symbol: str,
        side: str,
        known: Progress,
        *,
        monotonic: Callable[[], float] = os_fence.seconds,
        fence: Fence | None = None,
    ) -> None:
        self._broker, self._account, self._ticket = broker, account, ticket
        self._symbol, self._side = symbol, side
        self._of = f"{side} {symbol}"
        if known.of != self._of:
            known = Progress()
        self._monotonic = monotonic
        own = os_fence.armed if monotonic is os_fence.seconds else os_fence.unarmed
        self._fence: Fence = fence or own
        self.number, self.sold, self.proven = known.number, known.sold, known.proven
        self.order: BrokerOrder | None = None  #: order *number* as last seen, never a terminal one
        self.ended: BrokerOrder | None = None  #: the order before it, if its end was seen here

    @property
    def id(self) -> str:
        """Of the order that is out or comes next."""
        return exit_id(self._account, self._ticket, self.number)

    @property
    def sold_in_all(self) -> Decimal:
        """Units that all orders so far sold, by what was seen last."""
        return self.sold + (self.order.filled_qty if self.order else Decimal(0))

    def look(self) -> BrokerOrder | None:
        """Walk to the first order that is not over: it, or None when the broker knows none yet.

        :raises BrokerError: no trustworthy answer; what was seen before it counts.
        :raises ChainBroken: an order of the chain is another's, or was replaced by hand.
        """
        while True:
            found = self._broker.order_by_client_id(self.id)
            if found is None:
                self.order = None
                return None
            if not self._take(found):
                return self.order

    def _take(self, order: BrokerOrder) -> bool:
        """Note what order *number* is; True when it is over and the chain has moved on."""
        if (order.symbol, order.side) != (self._symbol, self._side):
            raise ChainBroken(
                f"ticket {self._ticket}: its exit has an order to {order.side} {order.symbol}; "
                f"to {self._side} {self._symbol}, give another ticket"
            )
        if order.status == "replaced":
            raise ChainBroken(
                f"a person replaced its order {order.client_order_id}; the new one is theirs",
                by_hand=True,
            )
        # It was sized when at least so much was filled and not yet sold.
        self.proven = max(self.proven, self.sold + order.qty)
        if not order.is_terminal:
            self.order = order
            return False
        self.sold += order.filled_qty
        self.number += 1
        self.order, self.ended = None, order
        return True

    def hear(self, news: Heard) -> None:
        """The keeper's word on the order that is out; its end counts only when looked up."""
        if self.order is not None and news.filled_qty > self.order.filled_qty:
            self.order = replace(self.order, filled_qty=min(news.filled_qty, self.order.qty))

    def cancel(self) -> CancelResult:
        """Ask for the end of the order that is out; only a look shows it."""
        assert self.order is not None
        return self._broker.cancel(self.order.id)

    def send(
        self,
        qty: Decimal,
        limit_price: Decimal,
        *,
        is_crypto: bool,
        time_in_force: str,
        extended_hours: bool,
        until: float,
    ) -> SubmitResult:
        """Send order *number*, which the last look did not find.

        :param until: on the monotonic clock; a process that is stopped past it does not send.
        """
        order = NewOrder(
            self.id,
            self._symbol,
            self._side,
            qty,
            limit_price,
            is_crypto,
            time_in_force,
            extended_hours,
        )

        @contextmanager
        def guard() -> Iterator[None]:
            left = until - self._monotonic()
            if left <= 0:
                raise TooLate("the position was read too long ago")
            with self._fence(left):
                yield

        result = self._broker.submit(order, guard)
        if result.outcome is Outcome.CONFIRMED and result.order is not None:
            self._take(result.order)
        return result

    def progress(self, began_ms: int | None) -> Progress:
        """How far it has come, to be kept."""
        return Progress(self.number, self.sold, self.proven, began_ms, self._of)
