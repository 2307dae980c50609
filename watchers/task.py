"""What one entry watcher is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stealer.model import InvalidIntent, OrderIntent, decimal_text


@dataclass(frozen=True, slots=True)
class EntryTask:
    """One entry: the intent for its whole target, and how to pursue it.

    :param intent: its qty is the target; what is still missing is ordered.
    :param tolerance_pct: as a fraction of the limit; replaces the tolerance of the session and of
        the upper tiers. ``force_immediate`` and ``steal_only`` stay as they are.
    :param expiry_seconds: from the first start of the ticket.
    :param offers_forecast: publish the intent's PnL while running, unless somebody else publishes.
    :param ticket: names the task across restarts.
    :raises InvalidIntent: a time or tolerance that cannot be.
    """

    intent: OrderIntent
    tolerance_pct: float | None
    expiry_seconds: float
    poll_seconds: float
    ticket: str
    offers_forecast: bool = True
    stop_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.tolerance_pct is not None and not 0 <= self.tolerance_pct < 1:
            raise InvalidIntent(
                f"tolerance-pct: {self.tolerance_pct!r} must be a fraction from 0 to below 1 "
                "(0.0066 is 0.66 %)"
            )
        if not 0 < self.expiry_seconds <= 366 * 86400:
            raise InvalidIntent("expiry-minutes: must be above 0 and at most a year")
        if not 0.05 <= self.poll_seconds <= 3600:
            raise InvalidIntent("poll-seconds: must be from 0.05 to 3600")
        if not self.ticket or len(self.ticket) > 120 or not self.ticket.isprintable():
            raise InvalidIntent(f"ticket: {self.ticket!r} must be 1 to 120 printable characters")

    @property
    def target(self) -> Decimal:
        """Units wanted in all."""
        return self.intent.qty

    def record(self) -> dict[str, Any]:
        """As plain values for JSON; numbers that must stay exact are text."""
        intent = self.intent
        return {
            "symbol": intent.symbol,
            "side": intent.side,
            "limit_price": decimal_text(intent.limit_price),
            "target_qty": decimal_text(intent.qty),
            "forecast_pnl": intent.forecasted_pnl if self.offers_forecast else None,
            "strategy": intent.strategy,
            "mode": intent.mode,
            "tolerance_pct": self.tolerance_pct,
            "expiry_minutes": self.expiry_seconds / 60,
            "poll_seconds": self.poll_seconds,
            "force_immediate": intent.force_immediate,
            "time_in_force": intent.time_in_force or None,
            "extended_hours": intent.extended_hours,
            "ticket": self.ticket,
        }
