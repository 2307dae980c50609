"""Small helpers for tests, free of fixtures."""

from __future__ import annotations

from datetime import UTC, datetime

from stealer.broker.interface import BrokerBudgetSpent, BrokerNotFound
from stealer.evidence import Asset, BrokerOrder


def unknown_asset(symbol: str) -> Asset:
    """In the place of ``Broker.asset``: the broker has no such symbol."""
    raise BrokerNotFound(f"read asset {symbol}", 404, 40410000, "asset not found")


def budget_spent(client_order_id: str) -> BrokerOrder | None:
    """In the place of ``Broker.order_by_client_id``: the API budget has no look-up left."""
    raise BrokerBudgetSpent(f"look up order {client_order_id}", 30)


class ManualClock:
    """Unix seconds that move only by `advance`. Pass `clock.time` where a clock is injected."""

    def __init__(self, now: float) -> None:
        self._now = now

    def time(self) -> float:
        """Unix seconds."""
        return self._now

    def now(self) -> datetime:
        """The same as an aware datetime in UTC."""
        return datetime.fromtimestamp(self._now, UTC)

    def advance(self, seconds: float) -> None:
        """Move forward. Also usable as an injected `sleep`, which then takes no time."""
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards, asked for {seconds} s")
        self._now += seconds
