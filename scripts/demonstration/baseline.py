"""A simple baseline for intents, without look-ahead: only finished days and the present price.

For each symbol the median daily range R of the last finished days, as a fraction of the open:

- limit: the present price less a share of R (``DEPTHS``, a strategy each);
- target: the limit plus half of R;
- forecast PnL: what target - limit earns on the quantity, times the chance that the limit is
  reached: the share of those days whose low lay at least as far below the open as the limit lies
  below the present price. It changes with the price, so it is published again and again.

It is here to make watchers compete, not to make money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from statistics import median

#: Strategy -> how far below the present price it buys, as a share of the median daily range.
DEPTHS = {"near": 0.06, "mid": 0.11, "deep": 0.17, "duel": 0.06}

#: The profit sought, as a share of the median daily range.
TARGET_SHARE = 0.5

#: Finished days looked at.
DAYS = 14

#: Price steps in dollars that every broker takes: from one dollar up, and below.
_CENT, _HUNDREDTH_CENT = Decimal("0.01"), Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Day:
    """One finished daily bar, in dollars."""

    open: float
    high: float
    low: float


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a symbol: finished days, oldest first."""

    symbol: str
    is_crypto: bool
    days: tuple[Day, ...]

    @property
    def median_range(self) -> float:
        """Median of (high - low) / open."""
        return median((day.high - day.low) / day.open for day in self.days)

    def chance_of_falling(self, share: float) -> float:
        """How often a day's low lay at least *share* below its open; never quite 0 or 1."""
        hits = sum((day.open - day.low) / day.open >= share for day in self.days)
        return (hits + 0.5) / (len(self.days) + 1)


@dataclass(frozen=True, slots=True)
class Intent:
    """One watcher's wish. ``generation`` counts how often its limit was set anew."""

    symbol: str
    strategy: str
    is_crypto: bool
    limit: Decimal
    target: Decimal
    qty: Decimal
    generation: int

    @property
    def name(self) -> str:
        """Unique for each generation, so that a new one is a new task."""
        return f"{self.symbol.lower()}-{self.strategy}-{self.generation}"

    def pnl(self, history: History, price: float) -> float:
        """The forecast at the present *price*, in dollars."""
        gain = float((self.target - self.limit) * self.qty)
        away = max(1 - float(self.limit) / price, 0.0)
        return gain * history.chance_of_falling(away)

    def out_of_reach(self, history: History, price: float, patience: float = 1.0) -> bool:
        """The price has left the limit behind: set it anew."""
        depth = patience * DEPTHS[self.strategy] * history.median_range
        return not -0.5 * depth <= 1 - float(self.limit) / price <= depth + 0.012


def make_intent(
    history: History,
    strategy: str,
    price: float,
    dollars: float,
    generation: int,
    patience: float = 1.0,
) -> Intent:
    """The wish for about *dollars* of a symbol now; *patience* scales the limit's depth."""
    limit = _rounded(price * (1 - patience * DEPTHS[strategy] * history.median_range))
    target = _rounded(float(limit) * (1 + TARGET_SHARE * history.median_range))
    step = Decimal("0.0001") if history.is_crypto else Decimal(1)
    qty = max((Decimal(str(dollars)) / limit).quantize(step, ROUND_DOWN), step)
    return Intent(history.symbol, strategy, history.is_crypto, limit, target, qty, generation)


def _rounded(price: float) -> Decimal:
    exact = Decimal(str(price))
    return exact.quantize(_CENT if exact >= 1 else _HUNDREDTH_CENT, ROUND_DOWN)


def days_of(bars: Sequence[dict[str, float]]) -> tuple[Day, ...]:
    """The last finished days of Alpaca's daily bars."""
    return tuple(Day(bar["o"], bar["h"], bar["l"]) for bar in bars[-DAYS:])
