"""How a stop of an exit goes: what it waits for, and what it leaves without an order."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from stealer.model import decimal_text
from watchers.exit_task import ExitTask


class Settling:
    """A stop that was asked for waits within the task's bound until the last fills have an order.

    One look comes after the request, which `watchers stop` makes when the entry has ended. A signal
    does not wait: what sends it has a bound of its own.

    :param monotonic: the clock, in seconds.
    """

    def __init__(self, task: ExitTask, monotonic: Callable[[], float]) -> None:
        self._task, self._monotonic = task, monotonic
        self._until: float | None = None

    def goes_on(self, *, ending: bool, can_send: bool, open_units: Decimal) -> bool:
        """True while the watcher is to take another step.

        :param ending: its order is being canceled. :param can_send: an order could be sent now.
        :param open_units: units to sell that have no order.
        """
        if self._task.cancel_on_stop:
            return False
        if self._until is None:
            self._until = self._monotonic() + self._task.stop_seconds
            return True
        follows = self._task.qty is None  # else nothing more comes, and what has no order stays so
        return self._monotonic() < self._until and (
            ending or (follows and can_send and open_units > 0)
        )


def left_open(task: ExitTask, open_units: Decimal) -> str:
    """What is said of units that have no order; '' if there are none."""
    if open_units <= 0:
        return ""
    units = decimal_text(open_units)
    if task.qty is None:
        return f"; {units} filled units have no order"
    return f"; of the {decimal_text(task.qty)} units asked for, {units} have no order"
