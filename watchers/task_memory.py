"""What is known of one task: by the ledger, and by the process itself should the ledger forget."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal

from stealer.ledger import Ledger
from stealer.replies import Task
from watchers.task import EntryTask

log = logging.getLogger(__name__)

#: Seconds for which a task is remembered after its expiry; until then its ticket begins nothing.
KEEP_SECONDS = 7 * 86400.0

#: Seconds by which a task may be older here than in the ledger before that means lost memory.
CLOCKS_DIFFER_SECONDS = 5.0


class TaskMemory:
    """Start and fills of a task, over restarts of the watcher (ledger) and of Redis (process).

    :param monotonic: the clock, in seconds.
    """

    def __init__(self, task: EntryTask, ledger: Ledger, monotonic: Callable[[], float]) -> None:
        self._task, self._ledger, self._monotonic = task, ledger, monotonic
        self._fills: dict[str, Decimal] = {}  # by claim, of those that ended
        self._began_at: float | None = None  # on the monotonic clock

    def filled(self, claim_id: str, qty: Decimal) -> None:
        """A claim of the task has ended, and filled that much; the ledger may not know it."""
        if qty:
            self._fills[claim_id] = qty

    @property
    def filled_qty(self) -> Decimal:
        """What all ended claims filled, as far as it is known without asking."""
        return sum(self._fills.values(), Decimal(0))

    @property
    def life_seconds(self) -> float:
        """For which the ledger is to remember the task from its start."""
        return self._task.expiry_seconds + KEEP_SECONDS

    def recall(self) -> Task:
        """Start and fills now."""
        return self.heard(self._ledger.task(self._task.ticket, self.life_seconds))

    def heard(self, task: Task) -> Task:
        """Start and fills as the ledger has just told them; one that knows less is told."""
        now = self._monotonic()
        age = 0.0 if self._began_at is None else now - self._began_at
        if self._fills.keys() - task.fills.keys() or age > task.age_seconds + CLOCKS_DIFFER_SECONDS:
            known = Task(age, self._fills)
            task = self._ledger.task(self._task.ticket, self.life_seconds, known=known)
            log.warning("task %s: the ledger had forgotten it, and was told", self._task.ticket)
        self._fills.update(task.fills)
        self._began_at = now - max(age, task.age_seconds)
        return task
