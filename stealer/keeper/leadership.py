"""The keeper's lease: who leads, and until when this process may act on it.

The lease is a TTL key; each new holder gets a higher term, and the scripts refuse a lower one. So a
keeper that was paused past its lease can still read, but none of its writes is taken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stealer.coordinator import WorkStealingCoordinator

log = logging.getLogger(__name__)


class Leadership:
    """This process's view of the lease.

    :param ttl_seconds: how long the lease lasts without renewal; a standby takes over after it.
    """

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        ttl_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coordinator = coordinator
        self._ttl = ttl_seconds
        self._monotonic = monotonic
        self._held_until = float("-inf")
        self.term: int | None = None
        self.holder = ""

    def renew(self) -> bool:
        """Take or renew the lease; True while this process leads.

        :raises LedgerUnavailable: the lease may still be held, but cannot be relied on.
        """
        asked_at = self._monotonic()
        held, what = self._coordinator.lease(self._ttl)
        if not held:
            if self.term is not None:
                log.warning("the keeper's lease went to %s", what)
            elif self.holder != what:
                log.info("standing by: %s keeps this account", what)
            self.term, self.holder = None, str(what)
            return False
        if self.term != what:
            log.info("keeping account %s, term %s", self._coordinator.settings.account, what)
        self.term, self.holder = int(what), self._coordinator.owner
        self._held_until = asked_at + self._ttl
        return True

    def holds(self) -> bool:
        """True while the lease, counted from before it was asked for, has not run out."""
        return self.term is not None and self._monotonic() < self._held_until

    def release(self) -> None:
        """Give the lease up."""
        self._coordinator.release_lease()
        self.term = None
