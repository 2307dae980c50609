"""What an exit watcher says of itself: in its log, to its fleet, and in Redis for people."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable

from stealer.errors import LedgerUnavailable
from stealer.ledger import Ledger
from stealer.model import decimal_text
from watchers.exit_task import ExitTask
from watchers.status import Phase, Status

log = logging.getLogger(__name__)

#: Seconds between two writings of an unchanged status.
REPORT_SECONDS = 5.0


class Telling:
    """One exit's status, told at each change and refreshed while it lives.

    :param monotonic: the clock, in seconds; :param now: unix seconds, for people only.
    :param on_move: told each change of phase or reason.
    """

    def __init__(
        self,
        task: ExitTask,
        symbol: str,
        ledger: Ledger,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        on_move: Callable[[Phase, str], object],
    ) -> None:
        self._ledger, self._monotonic, self._now = ledger, monotonic, now
        self._on_move = on_move
        self._report_at = float("-inf")
        self.status = Status(
            symbol,
            task.side,
            task.strategy,
            "0",
            decimal_text(task.limit_price),
            ticket=task.ticket,
            pid=os.getpid(),
            host=socket.gethostname(),
            kind="exit",
        )

    def enter(self, phase: Phase, reason: str, detail: str) -> None:
        """Note the phase; log a transition once; keep the shared status fresh."""
        status = self.status
        moved = (status.phase, status.reason) != (phase, reason)
        status.detail = detail
        if moved:
            status.phase, status.reason, status.since = phase, reason, self._now()
            log.info("exit %s", status.sentence())
            self._on_move(phase, reason)
        if not moved and self._monotonic() < self._report_at:
            return
        status.seen = self._now()
        self._report_at = self._monotonic() + REPORT_SECONDS
        try:
            self._ledger.report(status.record())
        except LedgerUnavailable as error:
            log.debug("status not written: %s", error)

    def withdraw(self) -> None:
        """The watcher ends: its status is taken away."""
        try:
            self._ledger.forget_report()
        except LedgerUnavailable as error:
            log.debug("status not taken away: %s", error)
