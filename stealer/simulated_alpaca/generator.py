"""A made-up market: seeded, deterministic, the same whatever is asked first.

Three scales. Day closes are a mean-reverting walk in log price with a regime (calm, normal, stormy)
that persists for days. A session is cut into half-hour blocks, whose increments are drawn from the
seed, the symbol and the session, sometimes with a jump, and are bridged to the day's close. A block
is a path on a 5 second grid, bridged again; between grid points the price is interpolated. Crypto's
session is the UTC day; a stock trades in NYSE hours, gaps at the open and is frozen otherwise.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate

from . import nyse
from .prices import Span

GRID_SECONDS = 5
BLOCK_SECONDS = 1800
BLOCK_STEPS = BLOCK_SECONDS // GRID_SECONDS
DAY_SECONDS = 86400
FIRST_MOMENT = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
#: Pull of the daily walk toward its base level, a day.
REVERSION = 0.01
#: Chance that a half-hour block holds a jump, and the jump's size in block volatilities.
JUMP_PROBABILITY = 0.01
JUMP_SCALE = 4.0
REGIMES = {"calm": 0.55, "normal": 1.0, "stormy": 2.2}
REGIME_STAY = 0.9
NOISE_SIZE = 1 << 16
#: Cached half-hour blocks: 12 symbols for four weeks.
CACHED_BLOCKS = 16_384


@dataclass(frozen=True)
class Profile:
    """A symbol's base level in USD, volatility a day (log) and typical volume a day in units."""

    level: float
    volatility: float
    volume: float


PROFILES = {
    "BTC/USD": Profile(43_000.0, 0.028, 2_000.0),
    "ETH/USD": Profile(2_300.0, 0.034, 20_000.0),
    "UNI/USD": Profile(6.8, 0.050, 400_000.0),
    "SOL/USD": Profile(98.0, 0.050, 300_000.0),
    "LINK/USD": Profile(15.0, 0.046, 300_000.0),
    "AVAX/USD": Profile(37.0, 0.050, 200_000.0),
    "AAPL": Profile(185.0, 0.015, 55e6),
    "NVDA": Profile(490.0, 0.028, 45e6),
    "TSLA": Profile(240.0, 0.032, 110e6),
    "MSFT": Profile(372.0, 0.014, 25e6),
    "AMD": Profile(140.0, 0.029, 60e6),
    "META": Profile(350.0, 0.020, 18e6),
}


@dataclass(frozen=True)
class Block:
    """Half an hour of grid prices, both ends included, starting at ``start``."""

    start: float
    prices: tuple[float, ...]
    volume: float

    def price(self, when: float) -> float:
        """The interpolated price inside the block."""
        position = (when - self.start) / GRID_SECONDS
        index = min(max(int(position), 0), len(self.prices) - 2)
        part = min(max(position - index, 0.0), 1.0)
        return self.prices[index] * (1 - part) + self.prices[index + 1] * part


@dataclass(frozen=True)
class Day:
    """One session: its hours and the prices at its block borders, one more than blocks."""

    start: float
    end: float
    borders: tuple[float, ...]
    block_volatility: float


class GeneratedMarket:
    """The seeded market. Raises ValueError for a symbol it has no profile of."""

    def __init__(self, seed: int, symbols: tuple[str, ...] = tuple(PROFILES)) -> None:
        unknown = [symbol for symbol in symbols if symbol not in PROFILES]
        if unknown:
            raise ValueError(
                f"no generated market for {', '.join(unknown)}; "
                f"there is one for {', '.join(PROFILES)}"
            )
        self.seed = seed
        self._symbols = symbols
        noise = random.Random(f"{seed}:noise")
        self._noise = [noise.gauss(0.0, 1.0) for _ in range(NOISE_SIZE + BLOCK_STEPS)]
        self._starts: dict[str, list[float]] = {}
        self._closes: dict[str, list[tuple[float, float, float]]] = {}
        self._ends: dict[str, list[float]] = {}
        self._day = lru_cache(maxsize=4096)(self._make_day)
        self._block = lru_cache(maxsize=CACHED_BLOCKS)(self._make_block)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Canonical symbols, in order."""
        return self._symbols

    def first(self, symbol: str) -> float:
        """See `MarketSource.first`."""
        self._extend(symbol, FIRST_MOMENT)
        return self._starts[symbol][0]

    def price(self, symbol: str, when: float) -> float | None:
        """The mid at ``when`` in USD; frozen between sessions; None before 2015."""
        index = self._day_index(symbol, when)
        if index < 0:
            return None
        day = self._day(symbol, index)
        if when >= day.end:
            return day.borders[-1]
        number = int((when - day.start) // BLOCK_SECONDS)
        return self._block(symbol, index, number).price(when)

    def span(self, symbol: str, start: float, end: float) -> Span | None:
        """Open, high, low, close and volume in [start, end), or None when it did not trade."""
        opened: float | None = None
        closed, low, volume = 0.0, math.inf, 0.0
        high = 0.0
        index = max(self._day_index(symbol, start), 0)
        while index <= self._day_index(symbol, end - 1e-6):
            day = self._day(symbol, index)
            left, right = max(start, day.start), min(end, day.end)
            while left < right:
                number = int((left - day.start) // BLOCK_SECONDS)
                block = self._block(symbol, index, number)
                until = min(right, block.start + (len(block.prices) - 1) * GRID_SECONDS)
                inside = block.prices[
                    math.ceil((left - block.start) / GRID_SECONDS) : int(
                        (until - block.start) // GRID_SECONDS
                    )
                    + 1
                ]
                closed = block.price(until)
                first = block.price(left)
                opened = first if opened is None else opened
                high = max(high, first, closed, *inside)
                low = min(low, first, closed, *inside)
                volume += block.volume * (until - left) / BLOCK_SECONDS
                left = until
            index += 1
        return None if opened is None else Span(opened, high, low, closed, volume)

    def _day_index(self, symbol: str, when: float) -> int:
        if when < FIRST_MOMENT:
            return -1
        self._extend(symbol, when)
        return bisect_right(self._starts[symbol], when) - 1

    def _extend(self, symbol: str, when: float) -> None:
        """Walk the day closes of a symbol until they cover ``when``. Always in the same order."""
        starts = self._starts.setdefault(symbol, [])
        ends = self._ends.setdefault(symbol, [])
        closes = self._closes.setdefault(symbol, [])
        while not starts or ends[-1] <= when:
            hours = self._hours(symbol, ends[-1] if ends else None)
            if starts and hours[0] > when and ends[-1] <= when and "/" not in symbol:
                break
            starts.append(hours[0])
            ends.append(hours[1])
            closes.append(self._next_close(symbol, closes))

    @staticmethod
    def _hours(symbol: str, previous_end: float | None) -> tuple[float, float]:
        if "/" in symbol:
            start = FIRST_MOMENT if previous_end is None else previous_end
            return start, start + DAY_SECONDS
        session = nyse.next_session(FIRST_MOMENT if previous_end is None else previous_end)
        return session.open, session.close

    def _next_close(
        self, symbol: str, closes: list[tuple[float, float, float]]
    ) -> tuple[float, float, float]:
        """(log open, log close, volatility of the day) after the days in ``closes``."""
        profile = PROFILES[symbol]
        draw = random.Random(f"{self.seed}:{symbol}:day:{len(closes)}")
        base = math.log(profile.level)
        before = closes[-1][1] if closes else base
        last = closes[-1][2] if closes else profile.volatility
        stay = closes and draw.random() < REGIME_STAY
        factor = draw.choice(list(REGIMES.values()))
        volatility = last if stay else profile.volatility * factor
        gap = 0.0 if "/" in symbol else draw.gauss(0.0, volatility * 0.4)
        move = draw.gauss(0.0, volatility) + REVERSION * (base - before)
        return before + gap, before + gap + move, volatility

    def _make_day(self, symbol: str, index: int) -> Day:
        start, end = self._starts[symbol][index], self._ends[symbol][index]
        opened, closed, volatility = self._closes[symbol][index]
        blocks = math.ceil((end - start) / BLOCK_SECONDS)
        draw = random.Random(f"{self.seed}:{symbol}:blocks:{index}")
        scale = volatility / math.sqrt(blocks)
        moves = []
        for _ in range(blocks):
            jump = draw.gauss(0.0, JUMP_SCALE) if draw.random() < JUMP_PROBABILITY else 0.0
            moves.append(scale * (draw.gauss(0.0, 1.0) + jump))
        correction = (closed - opened - sum(moves)) / blocks
        logs = accumulate((move + correction for move in moves), initial=opened)
        return Day(start, end, tuple(math.exp(value) for value in logs), scale)

    def _make_block(self, symbol: str, index: int, number: int) -> Block:
        day = self._day(symbol, index)
        start = day.start + number * BLOCK_SECONDS
        steps = int(min(BLOCK_SECONDS, day.end - start) // GRID_SECONDS)
        draw = random.Random(f"{self.seed}:{symbol}:block:{index}:{number}")
        offset = draw.randrange(NOISE_SIZE)
        first, last = day.borders[number], day.borders[number + 1]
        walk = list(accumulate(self._noise[offset : offset + steps], initial=0.0))
        scale = day.block_volatility / math.sqrt(BLOCK_STEPS)
        jump_at = draw.randrange(steps)
        # A big move happens at once rather than as a drift.
        total = math.log(last / first)
        jump = total if abs(total) > 3 * day.block_volatility else 0.0
        drift = (total - jump - walk[-1] * scale) / steps
        prices = [
            first * math.exp(value * scale + drift * step + (jump if step > jump_at else 0.0))
            for step, value in enumerate(walk)
        ]
        prices[-1] = last
        share = BLOCK_SECONDS / (day.end - day.start)
        volume = PROFILES[symbol].volume * share * draw.lognormvariate(0.0, 0.4)
        return Block(start, tuple(prices), volume)
