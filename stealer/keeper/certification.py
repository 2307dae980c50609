"""Binding the ledger to the server it is on.

Every script compares the server's identity with the certificate in the ledger and denies when they
differ, so nothing is opened until this has run. A ledger that has never been certified, or that
finds itself on another server (restart, fail-over, flush), is first left alone for the quarantine,
so that whatever was in flight has arrived; what the broker then shows is mended by reconciliation.

Rebuilding claims from the broker's orders after a loss of memory belongs here; until it exists, an
order whose claim was lost is condemned and canceled by reconciliation, which is safe and costs the
order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stealer.broker.interface import Broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.order_ids import is_ours

log = logging.getLogger(__name__)


class Certifier:
    """Certifies after the quarantine, counted on this process's monotonic clock."""

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._monotonic = monotonic
        self._first_seen: float | None = None
        self._identity = ""

    def certified(self, term: int) -> bool:
        """True when the ledger is certified for this server, certifying it once that is due.

        :raises BrokerError: the broker cannot be read, so nothing may be certified.
        """
        identity, certified = self._coordinator.server_identity()
        if certified:
            self._first_seen = None
            return True
        if self._first_seen is None or identity != self._identity:
            self._first_seen, self._identity = self._monotonic(), identity
            log.warning(
                "not certified on this Redis server; waiting %g s for what may be in flight",
                self._coordinator.settings.quarantine_seconds,
            )
        waited = self._monotonic() - self._first_seen
        if waited < self._coordinator.settings.quarantine_seconds:
            return False
        epoch = self._coordinator.certify(term, self._no_steal_seconds())
        log.warning("certified epoch %s", epoch)
        self._first_seen = None
        return True

    def _no_steal_seconds(self) -> float:
        """One cooldown without steals when cooldowns may have been lost (DESIGN invariant 7).

        A ledger without claims is new, and nothing was lost, when the broker has no open order of
        ours either. A broker that cannot be read certifies nothing: the error goes on.
        """
        account = self._coordinator.settings.account
        orders = self._broker.open_orders()
        if self._coordinator.claim_ids() or not any(
            is_ours(order.client_order_id, account) for order in orders
        ):
            return 0.0
        return self._coordinator.settings.cooldown_seconds
