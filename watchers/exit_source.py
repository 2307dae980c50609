"""What there is to sell: the fills of the entry that an exit follows, and whether more may come."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from stealer.exit_records import ExitRecords
from watchers.exit_task import ExitTask

#: Seconds for which nobody must have reported on an entry before it counts as over. A watcher
#: reports every 5 s; one that crashed is started again within a minute.
SILENT_SECONDS = 60.0

#: Seconds between two looks at who reports.
ASK_SECONDS = 5.0


class ExitSource:
    """The fills of one ticket, each claim by the most it was ever seen with: a ledger that forgets
    some takes nothing back.

    :param monotonic: the clock, in seconds.
    """

    def __init__(
        self, task: ExitTask, symbol: str, records: ExitRecords, monotonic: Callable[[], float]
    ) -> None:
        self._task, self._symbol, self._records = task, symbol, records
        self._monotonic = monotonic
        self._fills: dict[str, Decimal] = {}
        self._ask_at = float("-inf")
        self._silent_since: float | None = None
        self.told = task.qty or Decimal(0)  #: units, by the ledger or the task
        self.over = task.qty is not None  #: no more will come
        self.changed_at = monotonic()

    def look(self) -> None:
        """Read what the ledger tells now.

        :raises LedgerUnavailable: what was known stays.
        """
        task = self._task
        if task.qty is not None:
            return
        found = self._records.ticket_fills(
            task.ticket, self._symbol, task.entry_side, task.strategy
        )
        for claim, units in found.by_claim.items():
            self._fills[claim] = max(units, self._fills.get(claim, units))
        told = sum(self._fills.values(), Decimal(0))
        if told > self.told:
            self.told, self.changed_at = told, self._monotonic()
        if task.entry_target is not None and told >= task.entry_target:
            self.over = True
        elif found.holds or not found.known:
            self.over, self._silent_since = False, None
        else:
            self.over = self._is_silent()

    def _is_silent(self) -> bool:
        now = self._monotonic()
        if now >= self._ask_at:
            self._ask_at = now + ASK_SECONDS
            if self._records.is_watched(self._task.ticket):
                self._silent_since = None
            elif self._silent_since is None:
                self._silent_since = now
        return self._silent_since is not None and now - self._silent_since >= SILENT_SECONDS
