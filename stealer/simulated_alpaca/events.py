"""What happened to orders: events, the log of the latest, and who wants to hear of them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from .orders import Order


@dataclass(frozen=True)
class Execution:
    """A fill: USD a unit, units, and the signed holding after it."""

    price: Decimal
    qty: Decimal
    position_qty: Decimal


@dataclass(frozen=True)
class Event:
    """One step of an order's life. ``order`` is a copy made at the moment of the event."""

    sequence: int
    #: Unix seconds, in real and in market time.
    real: float
    market: float
    name: str
    order: Order
    execution: Execution | None = None


@dataclass
class EventLog:
    """The last ``size`` events, every execution, and the listeners, called at once."""

    size: int
    executions: list[Event] = field(default_factory=list)
    listeners: list[Callable[[Event], None]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.latest: deque[Event] = deque(maxlen=self.size)

    def record(
        self, real: float, market: float, name: str, order: Order, execution: Execution | None
    ) -> None:
        """Note an event and tell the listeners."""
        self._count += 1
        event = Event(self._count, real, market, name, copy.copy(order), execution)
        self.latest.append(event)
        if execution is not None:
            self.executions.append(event)
        for listener in self.listeners:
            listener(event)

    def after(self, sequence: int) -> list[Event]:
        """The kept events with a larger sequence number, oldest first."""
        return [event for event in self.latest if event.sequence > sequence]

    @property
    def oldest(self) -> int:
        """The sequence number of the oldest event kept, 0 without any."""
        return self.latest[0].sequence if self.latest else 0
