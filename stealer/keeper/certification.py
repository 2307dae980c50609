"""Binding the ledger to the server it is on, rebuilt from the broker's orders if need be.

Every script compares the server's identity with the certificate in the ledger and denies when they
differ, so nothing is opened until this has run. A ledger that has never been certified, or that
finds itself on another server (restart, fail-over, flush), is first left alone for the quarantine,
so that whatever was in flight has arrived. Then the broker is asked what there is, and one script
writes a claim for each of our orders that has none, and the certificate after them (PROTOCOL,
"Certification and rebuild").
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from stealer.broker.interface import Broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import BrokerOrder
from stealer.listed import ListedOrder
from stealer.model import State
from stealer.order_ids import is_ours
from stealer.replies import Server

log = logging.getLogger(__name__)

#: Orders that one certification gives claims to, so that its script stays short: these take a few
#: tenths of a second (0.11 to 0.35 s were measured), in which Redis does nothing else, and nobody
#: may do anything yet. What is beyond is condemned by reconciliation, like every order without a
#: claim.
REBUILT_AT_MOST = 1_000


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
        #: The server as it was when it was last seen certified.
        self._known: Server | None = None
        #: Survivors that were looked up during this wait: True when the broker knows the order,
        #: and it is over; False when it knows none. Neither changes any more.
        self._looked_up: dict[str, bool] = {}

    def certified(self, term: int) -> bool:
        """True when the ledger is certified for this server, certifying it once that is due.

        :raises BrokerError: the broker cannot be read, so nothing may be certified.
        :raises ServerMoved: it is another server by now; the wait begins anew.
        """
        server = self.look()
        if server.certified:
            self._first_seen = None
            return True
        if self._first_seen is None or server.identity != self._identity:
            self._first_seen, self._identity = self._monotonic(), server.identity
            self._looked_up = {}
            log.warning(
                "not certified on this Redis server; waiting %g s for what may be in flight",
                self._coordinator.settings.quarantine_seconds,
            )
        waited = self._monotonic() - self._first_seen
        if waited < self._coordinator.settings.quarantine_seconds:
            return False
        self._certify(server, term)
        self._first_seen = None
        return True

    def look(self) -> Server:
        """The server as it is; a standby looks too, so that it knows what a leader would have."""
        server = self._coordinator.server()
        if server.certified:
            self._known = server
        return server

    def _keep_halted(self, server: Server) -> None:
        """A kill switch that was lost with Redis' memory is set again before anything is certified,
        unless an operator has said something since it was seen.
        """
        known = self._known
        if known and known.halted and not server.halted and server.halted_ms <= known.halted_ms:
            log.warning("halted again: Redis had lost that it was (%s)", known.halted)
            self._coordinator.halt(known.halted, "keeper, after Redis had lost it")

    def _certify(self, server: Server, term: int) -> None:
        """Ask the broker what there is, and write it and the certificate in one step."""
        self._keep_halted(server)
        account = self._coordinator.settings.account
        ours = [o for o in self._broker.open_orders() if is_ours(o.client_order_id, account)]
        ended = self._ended_survivors({order.client_order_id for order in ours})
        no_steal = self._no_steal_seconds(server, bool(ours))
        rebuilt = self._coordinator.certify(
            term, no_steal, seen=server, orders=self._rows(ours), ended=ended
        )
        log.warning(
            "certified epoch %s: %s orders of ours, claims made for %s of them, %s reservations "
            "dropped, no steals for %g s",
            rebuilt.epoch,
            len(ours),
            rebuilt.adopted,
            rebuilt.dropped,
            no_steal,
        )

    def _ended_survivors(self, listed: set[str]) -> list[str]:
        """Reserved claims whose orders the broker knows although it lists them no more.

        Their launch was lost with the server's last writes. Any other claim keeps its charge and
        is looked up by reconciliation; these would be dropped as never sent.
        """
        for claim in self._coordinator.claims(readable=True).values():
            if claim.state is not State.RESERVED or claim.id in listed | self._looked_up.keys():
                continue
            self._looked_up[claim.id] = self._broker.order_by_client_id(claim.id) is not None
        return [claim_id for claim_id, known in self._looked_up.items() if known]

    def _rows(self, orders: Iterable[BrokerOrder]) -> list[ListedOrder]:
        """What the ledger takes up of *orders*: those with a claim first, then the youngest.

        Of several orders in one slot the script gives one a claim; the others are condemned before
        the account is published. Only the script knows which claims are fit to stay.
        """
        now_ms = self._coordinator.now_ms()
        known = set(self._coordinator.claim_ids())
        rows = [self._coordinator.listed(order, now_ms) for order in orders]
        rows.sort(key=lambda row: (row.id in known, row.created_ms))
        if len(rows) > REBUILT_AT_MOST:
            log.error("%s orders of ours; the ledger takes up %s", len(rows), REBUILT_AT_MOST)
        return rows[-REBUILT_AT_MOST:]

    def _no_steal_seconds(self, server: Server, has_orders: bool) -> float:
        """One cooldown without steals when cooldowns may have been lost (DESIGN invariant 7).

        A ledger on another server than the one it was certified for may lack that one's last
        writes, unless the operator says that the server never loses any. No ledger at all is a
        first start, and lost nothing, only if the broker knows no order of ours, open or over.
        """
        settings = self._coordinator.settings
        if server.has_ledger:
            return 0.0 if settings.redis_durable else settings.cooldown_seconds
        if has_orders or any(
            is_ours(name, settings.account) for name in self._broker.latest_client_ids()
        ):
            return settings.cooldown_seconds
        return 0.0
