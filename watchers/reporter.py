"""Telling where a watcher stands: in the log, in Redis, and in a file if one was asked for.

A change of phase or reason is said once, in each of them, at once; an unchanged status is refreshed
now and then, so that a reader can tell a living watcher from a dead one. The answer to a report is
whether somebody wants the watcher to stop, so that to ask for it costs no round trip of its own.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import LedgerUnavailable
from watchers.status import ENDED, REPORT_SECONDS, Phase, Status, for_programs
from watchers.status_file import StatusFile

log = logging.getLogger(__name__)

#: Transitions that are kept for the stream while Redis is away; of more, the latest.
UNSENT_KEPT = 50


class Reporter:
    """Keeps one watcher's *status* known.

    :param file: written as well, if given.
    :param monotonic, now: the clock; *now* in unix seconds, for people only.
    :param on_move: told each change of phase or reason.
    """

    def __init__(
        self,
        status: Status,
        coordinator: WorkStealingCoordinator,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        on_move: Callable[[Phase, str], object] = lambda phase, reason: None,
        file: StatusFile | None = None,
    ) -> None:
        self.status = status
        self.stop_asked_by = ""  #: who wants this watcher to stop
        self._coordinator = coordinator
        self._monotonic, self._now, self._on_move = monotonic, now, on_move
        self._file = file
        self._report_at = float("-inf")
        self._moved_at = monotonic()
        self._unsent: deque[dict[str, str]] = deque(maxlen=UNSENT_KEPT)

    def enter(self, phase: Phase, reason: str, detail: str) -> None:
        """The watcher is in *phase* because of *reason*; *detail* says it in words."""
        status, moved_from = self.status, self.status.phase
        moved = (status.phase, status.reason) != (phase, reason)
        status.detail = detail
        if moved:
            status.phase, status.reason, status.since = phase, reason, self._now()
            self._tell(moved_from)
        if moved or self._monotonic() >= self._report_at:
            self._report()

    def ended_badly(self, what: str) -> None:
        """It could not go on, and no phase says so: for the file, whose reader sees no log."""
        if self._file:
            self._file.write(self.status.record(), what)

    def _tell(self, was: Phase) -> None:
        now = self._monotonic()
        transition = self.status.transition(was, now - self._moved_at)
        self._moved_at = now
        self._unsent.append(transition)
        log.info("%s", self.status.sentence(), extra={"fields": for_programs(transition)})
        self._on_move(self.status.phase, self.status.reason)

    def _report(self) -> None:
        status = self.status
        status.seen = self._now()
        self._report_at = self._monotonic() + REPORT_SECONDS
        if self._file:
            self._file.write(status.record(), status.phase.value if status.phase in ENDED else "")
        try:
            asked_by = self._coordinator.report(status.record(), status.tier, self._unsent)
        except LedgerUnavailable as error:
            log.debug("status not written: %s", error)
        else:
            self._unsent.clear()
            # Once asked it stops, also when the request expires while it takes its order back.
            self.stop_asked_by = self.stop_asked_by or asked_by
