"""The market clock: market time as a linear function of real time.

Text form ``ISO@UNIX*SPEED``: at unix time ``UNIX`` the market time was ``ISO``, and market time
runs ``SPEED`` times as fast as real time. ``system`` means that market time is real time. Every
process that is given the same text agrees on the market time without talking to the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


def utc(seconds: float) -> datetime:
    """Unix seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def parse_instant(text: str) -> float:
    """An ISO 8601 instant as unix seconds; without an offset it is UTC. Raises ValueError."""
    when = datetime.fromisoformat(text.strip())
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return when.timestamp()


def format_instant(seconds: float) -> str:
    """Unix seconds as RFC 3339 UTC with six decimals and ``Z``."""
    return utc(seconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class MarketClock:
    """Market time from real time. ``anchor_*`` are unix seconds, ``speed`` market s a real s."""

    anchor_market: float = 0.0
    anchor_real: float = 0.0
    speed: float = 1.0
    read: Callable[[], float] = field(default=time.time, compare=False)

    @classmethod
    def parse(cls, text: str, read: Callable[[], float] = time.time) -> MarketClock:
        """The clock that ``text`` describes. Raises ValueError that says what is wrong."""
        if text.strip() == "system":
            return cls(read=read)
        try:
            instant, rest = text.strip().split("@")
            anchor, speed_text = rest.split("*")
            market, real, speed = parse_instant(instant), float(anchor), float(speed_text)
        except ValueError as error:
            raise ValueError(
                f"market clock {text!r}: expected 'system' or ISO@UNIX*SPEED, "
                "for example 2024-01-05T20:00:00Z@1795373549.5*600"
            ) from error
        if not (math.isfinite(real) and math.isfinite(speed) and speed > 0):
            raise ValueError(f"market clock {text!r}: the speed must be a finite number above 0")
        return cls(market, real, speed, read)

    @classmethod
    def starting(
        cls,
        market: float,
        speed: float = 1.0,
        real: float | None = None,
        read: Callable[[], float] = time.time,
    ) -> MarketClock:
        """A clock that shows ``market`` at ``real`` (default: now) and runs at ``speed``."""
        return cls(market, read() if real is None else real, speed, read)

    def at(self, real: float) -> float:
        """Market time in unix seconds at the real unix time ``real``."""
        return self.anchor_market + (real - self.anchor_real) * self.speed

    def real_at(self, market: float) -> float:
        """The real unix time at which the market time is ``market``."""
        return self.anchor_real + (market - self.anchor_market) / self.speed

    def now(self) -> datetime:
        """The market time now, aware, UTC."""
        return utc(self.at(self.read()))

    def __str__(self) -> str:
        if (self.anchor_market, self.anchor_real, self.speed) == (0.0, 0.0, 1.0):
            return "system"
        return f"{format_instant(self.anchor_market)}@{self.anchor_real!r}*{self.speed:g}"
