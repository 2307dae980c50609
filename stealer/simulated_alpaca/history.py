"""The account's equity through time, a sample for each minute of market time, and its report."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

MINUTE = 60
DAY = 86400
#: Window lengths in seconds by Alpaca's names.
TIMEFRAMES = {"1Min": MINUTE, "5Min": 5 * MINUTE, "15Min": 15 * MINUTE, "1H": 3600, "1D": DAY}
_PERIOD = re.compile(r"^(\d{1,4})([DWMA])$")
_UNITS = {"D": DAY, "W": 7 * DAY, "M": 30 * DAY, "A": 365 * DAY}
#: Above these periods, in days, the default window is longer.
_MINUTES_UNDER, _QUARTERS_UNDER = 7 * DAY, 30 * DAY


@dataclass
class EquityHistory:
    """Equity in USD by the minute of market time (its start in unix seconds)."""

    samples: dict[int, Decimal] = field(default_factory=dict)

    def note(self, market_time: float, equity: Decimal) -> None:
        """Take a minute's sample."""
        self.samples[int(market_time // MINUTE) * MINUTE] = equity

    def report(self, start: float, end: float, timeframe: str) -> dict[str, Any]:
        """Alpaca's portfolio history of [start, end], windows labelled by their start."""
        seconds = TIMEFRAMES[timeframe]
        windows: dict[int, Decimal] = {}
        for when, equity in self.samples.items():
            if start <= when <= end:
                windows[when // seconds * seconds] = equity
        base = next(iter(windows.values()), Decimal(0))
        gains = [equity - base for equity in windows.values()]
        return {
            "timestamp": list(windows),
            "equity": [float(round(equity, 2)) for equity in windows.values()],
            "profit_loss": [float(round(gain, 2)) for gain in gains],
            "profit_loss_pct": [float(round(gain / base, 8)) if base else 0.0 for gain in gains],
            "base_value": float(round(base, 2)),
            "timeframe": timeframe,
            "cashflow": {},
        }


def parse_period(text: str) -> int:
    """Seconds of ``1D``, ``2W``, ``3M``, ``1A``. Raises ValueError."""
    match = _PERIOD.match(text)
    if match is None or match[1] == "0":
        raise ValueError(f"invalid period: {text}")
    return int(match[1]) * _UNITS[match[2]]


def default_timeframe(period: float) -> str:
    """Alpaca's window for a period of so many seconds."""
    if period < _MINUTES_UNDER:
        return "1Min"
    return "15Min" if period < _QUARTERS_UNDER else "1D"
