"""Two ends of an order that its own status does not tell: replaced by hand, and vanished.

Both wait until nothing can be counted too little. What a replaced order held is its successor's
now, so the claim is closed only once a published account counts that one. An order that was seen
live and that the broker knows no more (an account that was reset) is given up only after the
quarantine and several looks, by both of its ids.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from stealer.broker.interface import Broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import VANISHED, BrokerOrder
from stealer.model import Claim

log = logging.getLogger(__name__)

#: Replacements of one order that are followed; a person makes a few.
LONGEST_CHAIN = 20

#: Looks, at least, before an order counts as vanished.
VANISHED_LOOKS = 5

#: Times in force of orders that the broker cancels by itself.
ENDS_BY_ITSELF = frozenset({"ioc", "fok"})


def unasked(order: BrokerOrder) -> str:
    """What the audit is to say of *order*'s end in case that we have not asked for it."""
    if order.status != "canceled" or order.time_in_force in ENDS_BY_ITSELF:
        return ""
    return "canceled without an eviction: by a person or the broker, or by us while Redis was away"


class Endings:
    """What one keeper has seen of such orders, on its monotonic clock."""

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._monotonic = monotonic
        #: The end of each replaced order's chain: its id, is it over, since when it is seen so.
        self._chain_ends: dict[str, tuple[str, bool, float]] = {}
        self._absent: dict[str, tuple[float, int]] = {}  # since when, looks
        self._counted: frozenset[str] = frozenset()
        self._counted_at = float("-inf")

    def published(self, orders: Iterable[BrokerOrder], began_at: float) -> None:
        """An account was published that counts *orders*; it began to be read at *began_at*."""
        self._counted = frozenset(order.id for order in orders)
        self._counted_at = began_at

    def forget_but(self, claims: Iterable[str]) -> None:
        """Claims that are gone need not be remembered."""
        kept = set(claims)
        self._chain_ends = {i: end for i, end in self._chain_ends.items() if i in kept}
        self._absent = {i: seen for i, seen in self._absent.items() if i in kept}

    def seen(self, claim: Claim) -> None:
        """The broker knows the order."""
        self._absent.pop(claim.id, None)

    def replaced(self, claim: Claim, order: BrokerOrder) -> bool:
        """Close the claim of a replaced order if its successor is counted; False: not yet.

        :raises BrokerError: the successor cannot be looked up.
        """
        if claim.id not in self._chain_ends:
            self._chain_ends[claim.id] = ("", False, self._monotonic())
            log.warning(
                "%s %s was replaced by hand; its new order counts as foreign",
                claim.symbol,
                claim.id,
            )
        last = self._last_of(order)
        if last is None:
            return False
        # What it filled is in the positions of an account that begins later than it was seen to be
        # over, and in no earlier one, if that did not list it: then the wait begins anew.
        if self._chain_ends[claim.id][:2] != (last.id, last.is_terminal):
            self._chain_ends[claim.id] = (last.id, last.is_terminal, self._monotonic())
        if not (last.is_terminal or last.id in self._counted):
            return False
        lag = self._coordinator.settings.position_lag_seconds
        if self._counted_at - self._chain_ends[claim.id][2] < lag:
            return False
        self._coordinator.close(claim.id, order, f"replaced by hand by order {last.id}")
        return True

    def _last_of(self, order: BrokerOrder) -> BrokerOrder | None:
        """The order that a chain of replacements ended in; None when it cannot be told."""
        last: BrokerOrder | None = order
        for _ in range(LONGEST_CHAIN):
            if last is None or last.status != "replaced":
                return last
            last = self._broker.order_by_id(last.replaced_by) if last.replaced_by else None
        return None

    def absent(self, claim: Claim) -> bool:
        """The broker does not know the order of this open claim; True once that has closed it.

        :raises BrokerError: the look-up by the broker's own id failed.
        """
        since, looks = self._absent.get(claim.id, (self._monotonic(), 0))
        if not looks:
            log.error("%s claim %s: the broker knows no such order", claim.state, claim.id)
        # Only an order that was seen live may vanish; one that never was may still arrive.
        if not claim.order_id or self._broker.order_by_id(claim.order_id) is not None:
            self._absent[claim.id] = (self._monotonic(), max(looks, 1))
            return False
        looks += 1
        self._absent[claim.id] = (since, looks)
        quarantine = self._coordinator.settings.quarantine_seconds
        if looks < VANISHED_LOOKS or self._monotonic() - since < quarantine:
            return False
        if self._counted_at < since + quarantine:  # no account was read since
            return False
        gone = BrokerOrder(
            id=claim.order_id,
            client_order_id=claim.id,
            symbol=claim.symbol,
            side=claim.side,
            qty=claim.qty,
            status=VANISHED,
            filled_qty=claim.filled_qty,
        )
        why = f"unknown to the broker for {quarantine:g} s and {looks} looks, by both ids"
        self._coordinator.close(claim, gone, why)
        log.error("%s %s has vanished from the broker: %s", claim.symbol, claim.id, why)
        return True
