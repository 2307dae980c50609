"""Ledger and broker, compared after every snapshot, each difference mended by rule.

Orders are the truth. Before any verdict there is one targeted query, because a list is already old
when it is compared. What is repaired here (PROTOCOL, "Transitions"):

- an order with our prefix and no claim is condemned: counted in full, then canceled; before the
  snapshot is published, since foreign exposure does not count it either;
- a claim whose order is of another quantity or limit than it says is corrected, also before that;
- a claim whose order the list does not show, and could have shown, is looked up, and closed if the
  order is over;
- a claim whose order shows new fills, or shows at all while launching, is confirmed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable

from stealer.broker.interface import Broker, BrokerError
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import ClaimGone, WrongState
from stealer.evidence import BrokerOrder
from stealer.keeper.endings import Endings, unasked
from stealer.model import Claim, State
from stealer.order_ids import is_ours

log = logging.getLogger(__name__)

#: Look-ups in one pass; the rest waits for the next pass, so that a flood cannot eat the budget.
LOOKUPS_A_PASS = 20

#: States whose order should be at the broker.
AT_BROKER = frozenset({State.OPEN, State.EVICTING})


class Reconciler:
    """Carries what the broker shows into the ledger.

    :param on_end: told each order whose end only a look-up has shown.
    """

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        on_end: Callable[[BrokerOrder], object] = lambda order: None,
    ) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._on_end = on_end
        self.endings = Endings(coordinator, broker, monotonic)
        #: When each absent claim was last looked up, counted in look-ups: all have their turn.
        self._looked_up: dict[str, int] = {}
        self._count = 0

    def listable(self) -> frozenset[str]:
        """Ids of claims whose orders a list that is read from now on shows, unless they end."""
        return frozenset(c.id for c in self._coordinator.claims().values() if c.state in AT_BROKER)

    def condemn_strays(
        self, orders: Iterable[BrokerOrder], claims: dict[str, Claim], term: int
    ) -> bool:
        """Condemn each listed order of ours that no claim in *claims* stands for, and correct each
        claim that stands for another order than is listed.

        False when one has filled since the list: positions read meanwhile may not show it, so
        they must not be published.

        :raises BrokerError: a look-up failed; the same holds.
        """
        known = True
        for order in self._ours(orders).values():
            claim = claims.get(order.client_order_id)
            if claim is None or claim.state in (State.CLOSED, State.RESERVED):
                known = self._condemn(order, term) and known
            elif order.limit_price and (order.qty, order.limit_price) != (
                claim.qty,
                claim.limit_price,
            ):
                self._correct(claim, order, term)
        return known

    def _correct(self, claim: Claim, order: BrokerOrder, term: int) -> None:
        """The order is the truth: the claim says what it says, and is charged for the larger."""
        try:
            if self._coordinator.mend(order, term):
                log.error(
                    "%s %s: the claim said %s at %s, the order is %s at %s",
                    *(claim.symbol, claim.id, claim.qty, claim.limit_price),
                    *(order.qty, order.limit_price),
                )
        except (ClaimGone, WrongState) as error:  # it ended meanwhile
            log.debug("%s", error)

    def mend(
        self,
        orders: Iterable[BrokerOrder],
        claims: dict[str, Claim],
        *,
        listable: Collection[str],
    ) -> bool:
        """Compare the listed open *orders* with *claims*, which were read after the list.

        False when there were more to look up than one pass may.

        :param listable: the ids of claims whose orders were at the broker before the list was
            read. That another is not listed says nothing, and costs no look-up.

        :raises BrokerError: a look-up failed; the next pass goes on.
        """
        listed = self._ours(orders)
        for order in listed.values():
            claim = claims.get(order.client_order_id)
            if claim is None or claim.state in (State.CLOSED, State.RESERVED):
                continue
            self.endings.seen(claim)
            if claim.state is State.LAUNCHING or order.filled_qty > claim.filled_qty:
                self._confirm(claim, order)
        absent = [
            c
            for c in claims.values()
            if c.state in AT_BROKER and c.id in listable and c.id not in listed
        ]
        self._looked_up = {i: n for i, n in self._looked_up.items() if i in claims}
        self.endings.forget_but(claims)
        absent.sort(key=lambda claim: self._looked_up.get(claim.id, 0))
        failed: BrokerError | None = None
        for claim in absent[:LOOKUPS_A_PASS]:
            self._count += 1
            self._looked_up[claim.id] = self._count
            try:
                self.look_up(claim)
            except BrokerError as error:  # one order that cannot be read delays no other
                failed = error
        if failed:
            raise failed
        return len(absent) <= LOOKUPS_A_PASS

    def _ours(self, orders: Iterable[BrokerOrder]) -> dict[str, BrokerOrder]:
        account = self._coordinator.settings.account
        return {o.client_order_id: o for o in orders if is_ours(o.client_order_id, account)}

    def look_up(self, claim: Claim) -> BrokerOrder | None:
        """One targeted query; close or confirm by what it says, give up what has vanished.

        :raises BrokerError: no trustworthy answer; nothing was concluded.
        """
        order = self._broker.order_by_client_id(claim.id)
        if order is None:
            if claim.state in AT_BROKER:
                self.endings.absent(claim)
            return None
        self.endings.seen(claim)
        if order.status == "replaced":
            self.endings.replaced(claim, order)
        elif order.is_terminal:
            self._coordinator.close(claim.id, order, unasked(order))
            log.info("%s %s is over: %s", claim.symbol, claim.id, order.status)
            self._on_end(order)
        else:
            self._confirm(claim, order)
        return order

    def _confirm(self, claim: Claim, order: BrokerOrder) -> None:
        try:
            self._coordinator.confirm(claim, order)
        except ClaimGone:
            log.debug("%s was closed meanwhile", claim.id)

    def _condemn(self, listed: BrokerOrder, term: int) -> bool:
        """An order of ours without a claim, if it is still live and still without one.

        False when it has filled and nothing in the ledger counts that.
        """
        order = self._broker.order_by_client_id(listed.client_order_id)
        if order is None:
            return True
        claim = self._coordinator.claim(order.client_order_id)
        if claim and claim.id not in self._coordinator.claim_ids():
            claim = None  # its hash was left behind: no charge is counted for it
        if order.is_terminal:
            return claim is not None or order.filled_qty <= listed.filled_qty
        if claim and claim.state is State.RESERVED:
            return False  # a write was lost; the sweep aborts the claim, then this is a stray
        if claim and claim.state is not State.CLOSED:
            return True
        self._coordinator.condemn(order, term)
        log.error("condemned %s %s: an order without a claim", order.symbol, order.client_order_id)
        self._broker.cancel(order.id)
        return True
