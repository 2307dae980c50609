"""Real bars from CSV files, played as a price path.

A file has a header with ``timestamp`` (UTC, the bar's start), ``symbol``, ``high``, ``low``,
``close`` and perhaps ``open`` and ``volume``; other columns are ignored; ``.gz`` is unpacked.
Inside a bar the path runs open -> low -> high -> close or open -> high -> low -> close. Which one,
and when, comes from a hash of the symbol and the bar's start, never from its close, so that the
order of the extremes gives nothing away. Between bars, and after the last, the price stands still.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from . import nyse
from .assets import canonical_symbol
from .clock import parse_instant
from .prices import Span

REQUIRED = ("timestamp", "symbol", "high", "low", "close")
DEFAULT_BAR_SECONDS = 3600.0


class BarsError(ValueError):
    """A file that cannot be played: which file, which line, what is wrong."""

    def __init__(self, path: Path | str, line: int | None, problem: str) -> None:
        place = f"{path}, line {line}" if line else str(path)
        super().__init__(f"{place}: {problem}")


class Series:
    """One symbol's bars in time order, in columns; ``seconds`` is the usual bar length."""

    def __init__(self, symbol: str, rows: list[tuple[float, float, float, float, float, float]]):
        rows.sort()
        self.symbol = symbol
        columns = list(zip(*rows, strict=True))
        (self.starts, self.opens, self.highs, self.lows, self.closes, self.volumes) = (
            array("d", column) for column in columns
        )
        steps = Counter(later - earlier for earlier, later in pairwise(self.starts))
        self.seconds: float = steps.most_common(1)[0][0] if steps else DEFAULT_BAR_SECONDS
        self._fill_opens()

    def _fill_opens(self) -> None:
        """A bar without an open starts at the close before it, kept inside its own range."""
        for index, opened in enumerate(self.opens):
            if math.isnan(opened):
                before = self.closes[index - 1] if index else self.closes[0]
                self.opens[index] = min(max(before, self.lows[index]), self.highs[index])

    def end(self, index: int) -> float:
        """When a bar ends: its usual length, cut by the next bar and a stock's close."""
        start = float(self.starts[index])
        end = start + self.seconds
        if index + 1 < len(self.starts):
            end = min(end, float(self.starts[index + 1]))
        if "/" not in self.symbol:
            session = nyse.current_session(start)
            end = min(end, session.close) if session else end
        return end

    def vertices(self, index: int) -> tuple[tuple[float, float], ...]:
        """The corners of the path inside a bar as (time, price)."""
        start, end = self.starts[index], self.end(index)
        luck = zlib.crc32(f"{self.symbol}:{start:.0f}".encode())
        middle = (self.lows[index], self.highs[index])
        if luck & 1:
            middle = (middle[1], middle[0])
        first = 0.15 + 0.3 * ((luck >> 8) & 0xFF) / 255
        second = 0.55 + 0.3 * ((luck >> 16) & 0xFF) / 255
        return (
            (start, self.opens[index]),
            (start + first * (end - start), middle[0]),
            (start + second * (end - start), middle[1]),
            (end, self.closes[index]),
        )

    def price(self, when: float) -> float | None:
        """The path's price, None before the first bar."""
        index = bisect_right(self.starts, when) - 1
        if index < 0:
            return None
        corners = self.vertices(index)
        for (t0, p0), (t1, p1) in pairwise(corners):
            if when < t1:
                return p0 + (p1 - p0) * (when - t0) / (t1 - t0)
        return float(self.closes[index])

    def span(self, start: float, end: float) -> Span | None:
        """What the path did in [start, end)."""
        index = max(bisect_right(self.starts, start) - 1, 0)
        prices: list[float] = []
        volume = 0.0
        while index < len(self.starts) and self.starts[index] < end:
            left, right = max(start, self.starts[index]), min(end, self.end(index))
            if left < right:
                corners = self.vertices(index)
                edges = (_on(corners, left), _on(corners, right))
                inside = [price for when, price in corners if left < when < right]
                prices += [edges[0], *inside, edges[1]]
                volume += self.volumes[index] * (right - left) / (corners[-1][0] - corners[0][0])
            index += 1
        if not prices:
            return None
        return Span(prices[0], max(prices), min(prices), prices[-1], volume)


def _on(corners: Sequence[tuple[float, float]], when: float) -> float:
    """The price on a path at a time inside it; at its end the last corner."""
    for (t0, p0), (t1, p1) in pairwise(corners):
        if when < t1:
            return p0 + (p1 - p0) * (when - t0) / (t1 - t0)
    return corners[-1][1]


class ReplayedMarket:
    """Bars from files as a market source."""

    def __init__(self, series: dict[str, Series]) -> None:
        self.series = series

    @classmethod
    def load(
        cls, paths: Iterable[Path | str], symbols: Iterable[str] | None = None
    ) -> ReplayedMarket:
        """Read the files, of ``symbols`` only if given. Raises BarsError."""
        rows: dict[str, list[tuple[float, float, float, float, float, float]]] = {}
        seen: set[tuple[str, float]] = set()
        wanted = None if symbols is None else {canonical_symbol(symbol) for symbol in symbols}
        names = []
        for path in paths:
            names.append(str(path))
            _read(Path(path), rows, seen, wanted)
        missing = sorted((wanted or set()) - set(rows))
        if missing:
            raise BarsError(", ".join(names), None, f"no bars of {', '.join(missing)}")
        if not rows:
            raise BarsError(", ".join(names), None, "no bars")
        return cls({symbol: Series(symbol, rows[symbol]) for symbol in sorted(rows)})

    @property
    def symbols(self) -> tuple[str, ...]:
        """Canonical symbols, sorted."""
        return tuple(self.series)

    @property
    def first_common(self) -> float:
        """The first moment at which every symbol has a price, unix seconds."""
        return max(float(series.starts[0]) for series in self.series.values())

    def first(self, symbol: str) -> float:
        """See `MarketSource.first`."""
        return float(self.series[symbol].starts[0])

    def price(self, symbol: str, when: float) -> float | None:
        """See `MarketSource.price`."""
        return self.series[symbol].price(when)

    def span(self, symbol: str, start: float, end: float) -> Span | None:
        """See `MarketSource.span`."""
        return self.series[symbol].span(start, end)


def _read(
    path: Path,
    rows: dict[str, list[tuple[float, float, float, float, float, float]]],
    seen: set[tuple[str, float]],
    wanted: set[str] | None,
) -> None:
    """Add a file's bars to ``rows``."""
    line = 1
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BarsError(path, None, f"cannot be read: {error}") from error
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(reader, [])]
    absent = [name for name in REQUIRED if name not in header]
    if absent:
        raise BarsError(path, 1, f"the header lacks {', '.join(absent)}")
    place = {name: header.index(name) for name in header}
    moments: dict[str, float] = {}
    try:
        for fields in reader:
            line = reader.line_num
            if fields:
                _read_row(fields, place, len(header), rows, seen, wanted, moments)
    except (ValueError, csv.Error) as error:
        raise BarsError(path, line, str(error)) from error


def _read_row(
    fields: list[str],
    place: dict[str, int],
    width: int,
    rows: dict[str, list[tuple[float, float, float, float, float, float]]],
    seen: set[tuple[str, float]],
    wanted: set[str] | None,
    moments: dict[str, float],
) -> None:
    """One line of a file. Raises ValueError that says what is wrong with it."""
    if len(fields) != width:
        raise ValueError(f"{len(fields)} fields where the header has {width}")
    symbol = canonical_symbol(fields[place["symbol"]])
    if wanted is not None and symbol not in wanted:
        return
    stamp = fields[place["timestamp"]]
    if stamp not in moments:
        moments[stamp] = _moment(stamp)
    when = moments[stamp]
    if (symbol, when) in seen:
        raise ValueError(f"a second bar of {symbol} at {stamp}")
    seen.add((symbol, when))
    high, low, close = (_price(name, fields[place[name]]) for name in ("high", "low", "close"))
    if high < low:
        raise ValueError(f"high {high} is below low {low}")
    opened = _price("open", fields[place["open"]]) if "open" in place else math.nan
    ends = (close,) if math.isnan(opened) else (opened, close)
    volume = _volume(fields[place["volume"]]) if "volume" in place else 0.0
    bar = (when, opened, max(high, *ends), min(low, *ends), close, volume)
    rows.setdefault(symbol, []).append(bar)


def _moment(text: str) -> float:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ValueError(f"timestamp {text!r} is not an ISO 8601 time") from error


def _price(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{name} {text!r} is not a number") from error
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} {text!r} is not a price above 0")
    return value


def _volume(text: str) -> float:
    if not text:
        return 0.0
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"volume {text!r} is not a number") from error
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"volume {text!r} is below 0 or not finite")
    return value
