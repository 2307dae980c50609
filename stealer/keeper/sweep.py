"""What crashed or silent processes left behind, finished from the broker's evidence.

- reserved past its deadline: aborted; nothing was sent;
- launching past its deadline: looked up; found is confirmed or closed, and a 404 counts only when
  it has lasted the whole quarantine on this process's monotonic clock;
- evicting: the DELETE is repeated until the order is over;
- open with a silent owner: evicted with that cause.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stealer.broker.interface import Broker, BrokerError, BrokerRateLimited
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import Refused
from stealer.keeper.reconcile import Reconciler
from stealer.model import Claim, State

log = logging.getLogger(__name__)

#: Seconds an evicting order is left to its thief before the keeper sends the DELETE itself, and
#: between two DELETEs.
REPEAT_DELETE_SECONDS = 3.0


class Sweeper:
    """Finishes overdue work; safe to run by several processes at once."""

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        reconciler: Reconciler,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._reconciler = reconciler
        self._monotonic = monotonic
        self._absent_since: dict[str, float] = {}
        self._delete_at: dict[str, float] = {}

    def sweep(self, claims: dict[str, Claim], term: int) -> None:
        """One pass over *claims*.

        :raises BrokerError: a look-up failed, after all the others; nothing was concluded from it.
        """
        now_ms = self._coordinator.now_ms()
        failed: BrokerError | None = None
        for claim in claims.values():
            try:
                self._finish(claim, 0 < claim.deadline_ms < now_ms, term)
            except BrokerError as error:  # one order that cannot be read delays no other
                failed = error
        for claim_id in self._coordinator.silent_claims():
            self._orphan(claims.get(claim_id))
        for memory in (self._absent_since, self._delete_at):
            for gone in memory.keys() - claims.keys():
                del memory[gone]
        if failed:
            raise failed

    def _finish(self, claim: Claim, overdue: bool, term: int) -> None:
        """What one claim's state and deadline ask for."""
        if claim.state is State.RESERVED and overdue:
            if self._coordinator.abort_overdue(claim.id):
                log.warning("aborted %s %s: its deadline passed", claim.symbol, claim.id)
        elif claim.state is State.LAUNCHING and overdue:
            self._resolve_launch(claim, term)
        elif claim.state is State.EVICTING:
            self._repeat_delete(claim)

    def _resolve_launch(self, claim: Claim, term: int) -> None:
        """Freed only after a 404 that lasts longer than anything in flight can."""
        if self._reconciler.look_up(claim) is not None:
            self._absent_since.pop(claim.id, None)
            return
        since = self._absent_since.setdefault(claim.id, self._monotonic())
        if self._monotonic() - since >= self._coordinator.settings.quarantine_seconds:
            self._coordinator.unlaunch_as_keeper(claim.id, term, "absent for the whole quarantine")
            log.warning("freed %s %s: its order never arrived", claim.symbol, claim.id)

    def _repeat_delete(self, claim: Claim) -> None:
        """First seen evicting, the order is the thief's or owner's to cancel; then ours."""
        now = self._monotonic()
        due = self._delete_at.setdefault(claim.id, now + REPEAT_DELETE_SECONDS)
        if now < due:
            return
        self._delete_at[claim.id] = now + REPEAT_DELETE_SECONDS
        try:
            order = self._reconciler.look_up(claim)
        except BrokerRateLimited:
            if claim.order_id:  # a cancel waits for no budget; how the order ends shows later
                self._broker.cancel(claim.order_id)
            raise
        if order is not None and not order.is_terminal:
            self._broker.cancel(order.id)

    def _orphan(self, claim: Claim | None) -> None:
        """Nobody looks after this open order any more: its capacity is better used."""
        if claim is None or claim.state is not State.OPEN:
            return
        try:
            _, order_id = self._coordinator.evict(
                claim.id,
                "orphan",
                by="keeper",
                silent_seconds=self._coordinator.settings.orphan_seconds,
            )
        except Refused as error:
            log.debug("%s", error)
            return
        log.warning("evicting %s %s: its owner %s is silent", claim.symbol, claim.id, claim.owner)
        if order_id:
            self._broker.cancel(order_id)
