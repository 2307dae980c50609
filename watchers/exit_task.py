"""What one exit watcher is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from stealer.model import InvalidIntent, Side, TimeInForce, decimal_text


class Position(StrEnum):
    """Which way round the position is that is to be closed."""

    LONG = "long"
    SHORT = "short"


def valid_ticket(name: str, value: str) -> str:
    """*value* if it can be a ticket; *name* is what it was given as.

    :raises InvalidIntent: it cannot.
    """
    if not 0 < len(value) <= 120 or not value.isprintable():
        raise InvalidIntent(f"{name}: {value!r} must be 1 to 120 printable characters")
    return value


@dataclass(frozen=True, slots=True)
class ExitTask:
    """One take-profit order, kept until all of its ticket is sold.

    :param symbol: canonical, as is checked when it runs. :param limit_price: in dollars.
    :param ticket: names the exit across restarts and hosts; without *qty* also the entry's task,
        whose fills are sold.
    :param qty: units to close of a position that is there; None: what the entry fills.
    :param entry_target: units that the entry wants in all, if known: with them it is over.
    :param expiry_seconds: from the first start of the ticket's exit; None: never.
    :param cancel_on_stop: take the order back when stopped, instead of leaving it at the broker.
    :raises InvalidIntent: values that cannot be.
    """

    symbol: str
    limit_price: Decimal
    ticket: str
    position: Position = Position.LONG
    strategy: str = "maxdiff"
    qty: Decimal | None = None
    entry_target: Decimal | None = None
    time_in_force: str = ""
    extended_hours: bool = False
    poll_seconds: float = 2.0
    expiry_seconds: float | None = None
    cancel_on_stop: bool = False
    stop_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.expiry_seconds is not None and not 0 < self.expiry_seconds <= 366 * 86400:
            raise InvalidIntent("expiry-minutes: must be above 0 and at most a year")
        if not 0.05 <= self.poll_seconds <= 3600:
            raise InvalidIntent("poll-seconds: must be from 0.05 to 3600")
        valid_ticket("ticket", self.ticket)
        if self.time_in_force == TimeInForce.IOC:
            raise InvalidIntent("time-in-force: a take-profit order rests: day or gtc, not ioc")

    @property
    def side(self) -> Side:
        """Of the exit's own orders."""
        return Side.SELL if self.position is Position.LONG else Side.BUY

    @property
    def entry_side(self) -> Side:
        """Of the entry that made the position."""
        return Side.BUY if self.position is Position.LONG else Side.SELL

    def record(self) -> dict[str, Any]:
        """As plain values for JSON; numbers that must stay exact are text."""
        return {
            "symbol": self.symbol,
            "position": self.position.value,
            "limit_price": decimal_text(self.limit_price),
            "qty": None if self.qty is None else decimal_text(self.qty),
            "strategy": self.strategy,
            "time_in_force": self.time_in_force or None,
            "extended_hours": self.extended_hours,
            "expiry_minutes": None if self.expiry_seconds is None else self.expiry_seconds / 60,
            "poll_seconds": self.poll_seconds,
            "cancel_on_stop": self.cancel_on_stop,
            "ticket": self.ticket,
        }

    def check_against_entry(self, entry_limit: Decimal) -> None:
        """A take-profit is on the profitable side of its entry's limit.

        :raises InvalidIntent: it is not.
        """
        above = self.limit_price > entry_limit
        if above if self.position is Position.LONG else self.limit_price < entry_limit:
            return
        kinds = {Position.LONG: ("buy", "above"), Position.SHORT: ("sell", "below")}
        name, where = kinds[self.position]
        raise InvalidIntent(
            f"exit_limit_price = {decimal_text(self.limit_price)} is not allowed: the exit of a "
            f"{name} at {decimal_text(entry_limit)} must be {where} that"
        )
