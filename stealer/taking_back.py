"""Taking an own entry back: cancel its order and wait until that is certain.

What a stop, an expiry or an edited plan asks for. Whatever is interrupted here is finished by the
keeper.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stealer.broker.interface import BrokerError, BrokerRateLimited
from stealer.errors import ClaimGone, Refused, Uncertified, WrongState
from stealer.model import Claim

if TYPE_CHECKING:
    from stealer.entry import Entries

log = logging.getLogger(__name__)

#: Seconds between two looks at an order whose cancel was requested: first and longest.
FIRST_LOOK_SECONDS = 0.2
LONGEST_LOOK_SECONDS = 1.0

#: Seconds after which a DELETE that had no effect is sent again.
REPEAT_CANCEL_SECONDS = 3.0


class TakingBack:
    """One attempt to take back what *entries* opened."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def run(self, claim: Claim, cause: str, bound_seconds: float) -> bool:
        """Cancel the own entry and wait until that is certain; True when its capacity is back.

        False when the bound passed first: the keeper finishes it.

        :raises LedgerUnavailable: the ledger cannot be told now.
        """
        stop_at = self._entries.monotonic() + bound_seconds
        back = self._aborted(claim, cause)
        if back is not None:
            return back
        pause, evicted, asked_at = FIRST_LOOK_SECONDS, False, float("-inf")
        while True:
            try:
                order = self._entries.settle(claim.id)
                if self._entries.refusals.believed(claim, order):
                    return True
                if order is not None and order.is_terminal:
                    return True
                if order is not None:
                    if not evicted:
                        self._entries.coordinator.evict(claim, cause, by="owner")
                        evicted = True
                    if self._entries.monotonic() - asked_at >= REPEAT_CANCEL_SECONDS:
                        asked_at = self._entries.monotonic()
                        self._entries.broker.cancel(order.id)
            except ClaimGone:
                return True
            except (BrokerError, Refused) as error:
                log.warning("taking back %s: %s", claim.symbol, error)
                asked_at = self._cancel_unseen(claim, cause, error, asked_at)
            if self._entries.monotonic() >= stop_at:
                return False
            self._entries.sleep(pause)
            pause = min(pause * 2, LONGEST_LOOK_SECONDS)

    def _aborted(self, claim: Claim, cause: str) -> bool | None:
        """Give up what is reserved only; None when a POST may be out, else as ``run``."""
        try:
            self._entries.coordinator.abort(claim, cause)
            return True
        except WrongState:
            return None
        except Uncertified as error:
            log.warning("%s; its order is canceled, the keeper tells the ledger", error)
            self._cancel_unheard(claim)
            return False
        except Refused as error:
            log.warning("%s", error)
            return False

    def _cancel_unseen(self, claim: Claim, cause: str, error: Exception, asked_at: float) -> float:
        """Cancel the own order while the API budget allows no look-up: a cancel waits for none.

        When a cancel was last asked for, as *asked_at*.
        """
        now = self._entries.monotonic()
        limited = isinstance(error, BrokerRateLimited)
        if not limited or now - asked_at < REPEAT_CANCEL_SECONDS:
            return asked_at
        try:
            _, order_id = self._entries.coordinator.evict(claim, cause, by="owner")
        except Refused as error:
            log.warning("%s", error)
            return asked_at
        if order_id:
            self._entries.broker.cancel(order_id)
        return now

    def _cancel_unheard(self, claim: Claim) -> None:
        """Cancel the own order while the ledger cannot be told."""
        try:
            order = self._entries.broker.order_by_client_id(claim.id)
            if order is not None and not order.is_terminal:
                self._entries.broker.cancel(order.id)
        except BrokerError as error:
            log.warning("canceling %s: %s", claim.symbol, error)
