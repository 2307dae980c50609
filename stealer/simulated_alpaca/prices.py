"""The market source interface, quotes from mids, and bars from a price path.

Times are market time in unix seconds, prices USD. A source knows the future of its own path; only
`bars` and `mid` are shown to clients, and they never reach past the present that they are given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Protocol

from .assets import Asset, asset_for
from .nyse import NEW_YORK

#: One basis point.
BPS = Decimal("0.0001")
_UNITS = {"min": 60, "t": 60, "hour": 3600, "h": 3600, "day": 86400, "d": 86400}
_TIMEFRAME = re.compile(r"^(\d+)([A-Za-z]+)$")


@dataclass(frozen=True)
class Span:
    """What the price did in an interval: open, high, low, close in USD, volume in units."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Bar(Span):
    """A span with the time of its start."""

    start: float


@dataclass(frozen=True)
class Quote:
    """Best bid and ask at a moment."""

    symbol: str
    when: float
    mid: Decimal
    bid: Decimal
    ask: Decimal


class MarketSource(Protocol):
    """A market to play: deterministic, independent of when and in which order it is asked."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Canonical symbols, in order."""

    def first(self, symbol: str) -> float:
        """When the symbol's path begins. Unknown symbol: KeyError."""

    def price(self, symbol: str, when: float) -> float | None:
        """The mid at ``when``, or None before the first price. Unknown symbol: KeyError."""

    def span(self, symbol: str, start: float, end: float) -> Span | None:
        """What the path did in [start, end), or None where the symbol did not trade."""


def mid_price(asset: Asset, price: float) -> Decimal:
    """A path's price as a Decimal, to a tenth of the asset's tick."""
    exact = Decimal(repr(price))
    tick = asset.tick(exact)
    return exact.quantize(tick / 10 if tick > Decimal("1e-9") else tick)


def quote_around(symbol: str, when: float, mid: Decimal, spread_bps: Decimal) -> Quote:
    """Bid and ask on the tick grid, ``spread_bps`` apart around ``mid``, rounded outward."""
    asset = asset_for(symbol)
    tick = asset.tick(mid)
    half = mid * spread_bps * BPS / 2
    bid = ((mid - half) / tick).to_integral_value(ROUND_FLOOR) * tick
    ask = ((mid + half) / tick).to_integral_value(ROUND_CEILING) * tick
    return Quote(symbol, when, mid, max(bid, tick), ask)


def parse_timeframe(text: str) -> int:
    """Seconds of ``1Min``, ``15T``, ``1Hour``, ``1Day`` and the like. Raises ValueError."""
    match = _TIMEFRAME.match(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or not 1 <= int(match[1]) <= 59:
        raise ValueError(f"invalid timeframe: {text}")
    if unit == _UNITS["day"] and match[1] != "1":
        raise ValueError(f"invalid timeframe: {text}")
    return int(match[1]) * unit


def _bucket_start(asset: Asset, when: float, seconds: int) -> float:
    # Daily stock bars start at midnight in New York, everything else on the UTC grid.
    if seconds == _UNITS["day"] and not asset.is_crypto:
        local = datetime.fromtimestamp(when, NEW_YORK)
        return local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    return when // seconds * seconds


def _next_bucket(asset: Asset, start: float, seconds: int) -> float:
    if seconds == _UNITS["day"] and not asset.is_crypto:
        local = datetime.fromtimestamp(start, NEW_YORK) + timedelta(days=1)
        return local.timestamp()
    return start + seconds


def bars(
    source: MarketSource,
    symbol: str,
    start: float,
    end: float,
    seconds: int,
    present: float,
    limit: int,
) -> list[Bar]:
    """At most ``limit`` bars starting in [start, end], oldest first, none that has not ended.

    A bar is shown only once ``present`` has reached its end: no look-ahead, and no half bars.
    """
    asset = asset_for(symbol)
    # Nobody walks from 1970 through empty bars.
    start = max(start, source.first(symbol) - seconds)
    bucket = _bucket_start(asset, start, seconds)
    if bucket < start:
        bucket = _next_bucket(asset, bucket, seconds)
    found: list[Bar] = []
    while bucket <= end and len(found) < limit:
        after = _next_bucket(asset, bucket, seconds)
        if after > present:
            break
        span = source.span(symbol, bucket, after)
        if span is not None:
            found.append(Bar(span.open, span.high, span.low, span.close, span.volume, bucket))
        bucket = after
    return found
