"""The exit that a plan pairs with an entry: a process of its own beside the entry's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stealer.model import Side
from watchers.exit_task import ExitTask, Position
from watchers.task import EntryTask

#: What the name of an exit has behind its entry's.
SUFFIX = ".exit"


@dataclass(frozen=True, slots=True)
class PlanExit:
    """The exit of one entry: its name in the fleet, its entry's name, and its task."""

    name: str
    entry: str
    task: ExitTask

    @property
    def slot(self) -> str:
        """What one process of a fleet at a time may hold: the ticket's exit."""
        return f"exit|{self.task.ticket}"


def paired_exit(values: Mapping[str, Any], name: str, entry: EntryTask) -> PlanExit | None:
    """The exit that the checked *values* of the entry *name* ask for, if any.

    :raises InvalidIntent: its price is on the wrong side of the entry's.
    """
    if values["exit_limit_price"] is None:
        return None
    intent = entry.intent
    task = ExitTask(
        intent.symbol,
        values["exit_limit_price"],
        entry.ticket,
        Position.LONG if intent.side == Side.BUY else Position.SHORT,
        intent.strategy,
        entry_target=entry.target,
        extended_hours=intent.extended_hours,
        poll_seconds=entry.poll_seconds,
    )
    task.check_against_entry(intent.limit_price)
    return PlanExit(name + SUFFIX, name, task)
