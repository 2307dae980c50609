"""Ledger and broker, compared after every snapshot, each difference mended by rule.

Orders are the truth. Before any verdict there is one targeted query, because a list is already old
when it is compared. What is repaired here (PROTOCOL, "Transitions"):

- an order with our prefix and no claim is condemned: counted in full, then canceled;
- a claim whose order the list does not show is looked up, and closed if the order is over;
- a claim whose order shows new fills, or shows at all while launching, is confirmed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from stealer.broker.interface import Broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import ClaimGone
from stealer.evidence import BrokerOrder
from stealer.model import Claim, State
from stealer.order_ids import decode, is_ours

log = logging.getLogger(__name__)

#: Look-ups in one pass; the rest waits for the next pass, so that a flood cannot eat the budget.
LOOKUPS_A_PASS = 20

#: States whose order should be at the broker.
AT_BROKER = frozenset({State.OPEN, State.EVICTING})


class Reconciler:
    """Carries what the broker shows into the ledger."""

    def __init__(self, coordinator: WorkStealingCoordinator, broker: Broker) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._missing: set[str] = set()

    def mend(self, orders: Iterable[BrokerOrder], claims: dict[str, Claim], term: int) -> None:
        """Compare the listed open *orders* with *claims*, which were read after the list.

        :raises BrokerError: a look-up failed; the next pass goes on.
        """
        account = self._coordinator.settings.account
        listed = {o.client_order_id: o for o in orders if is_ours(o.client_order_id, account)}
        for order in listed.values():
            claim = claims.get(order.client_order_id)
            if claim is None or claim.state in (State.CLOSED, State.RESERVED):
                self._condemn(order, term)
            elif claim.state is State.LAUNCHING or order.filled_qty > claim.filled_qty:
                self._confirm(claim, order)
        absent = [c for c in claims.values() if c.state in AT_BROKER and c.id not in listed]
        for claim in absent[:LOOKUPS_A_PASS]:
            self.look_up(claim)

    def look_up(self, claim: Claim) -> BrokerOrder | None:
        """One targeted query; close, confirm, or report an open claim without any order."""
        order = self._broker.order_by_client_id(claim.id)
        if order is None:
            if claim.state in AT_BROKER and claim.id not in self._missing:
                self._missing.add(claim.id)
                log.error("%s claim %s: the broker knows no such order", claim.state, claim.id)
            return None
        if order.is_terminal:
            self._coordinator.close(claim.id, order)
            log.info("%s %s is over: %s", claim.symbol, claim.id, order.status)
        else:
            self._confirm(claim, order)
        return order

    def _confirm(self, claim: Claim, order: BrokerOrder) -> None:
        try:
            self._coordinator.confirm(claim, order)
        except ClaimGone:
            log.debug("%s was closed meanwhile", claim.id)

    def _condemn(self, listed: BrokerOrder, term: int) -> None:
        """An order of ours without a claim, if it is still live and still without one."""
        order = self._broker.order_by_client_id(listed.client_order_id)
        if order is None or order.is_terminal:
            return
        claim = self._coordinator.claim(order.client_order_id)
        if claim and claim.state not in (State.CLOSED, State.RESERVED):
            return
        parts = decode(order.client_order_id)
        self._coordinator.condemn(order, term, parts.strategy if parts else "unknown")
        log.error("condemned %s %s: an order without a claim", order.symbol, order.client_order_id)
        self._broker.cancel(order.id)
