"""Small helpers for tests, free of fixtures."""

from __future__ import annotations

from datetime import UTC, datetime


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
