"""Published forecasts, and reading a file of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stealer.cli.operator import Operator
from stealer.cli.views.orders import Tiers
from stealer.cli.views.reading import Reader, number_in, pairs
from stealer.model import InvalidIntent, finite_pnl, valid_strategy
from stealer.printable import shown

#: Columns of a file; the first and third must be there.
FIELDS = ("symbol", "strategy", "pnl", "ttl")

_SPACE = re.compile(r"[ \t\r\n]*")

#: The strategy of a line that names none.
DEFAULT_STRATEGY = "maxdiff"

#: The longest a forecast may live, in seconds: as long as any other time setting.
MAX_TTL = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """One published forecast; ``rank`` counts from 1. ``tier`` is computed now, ``seen_tier`` what
    its watcher last saw."""

    rank: int
    symbol: str
    strategy: str
    pnl: float
    tier: str
    tier_reason: str
    seen_tier: str
    age_seconds: float | None
    source: str
    expires_seconds: float | None


#: The largest file, in bytes: tens of thousands of forecasts.
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One forecast of a file; ``ttl`` in seconds, 0 for ever."""

    line: int
    symbol: str
    strategy: str
    pnl: float
    ttl: float


class BadFile(InvalidIntent):
    """A file that cannot be published; one sentence for each problem, with file, line and field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def forecasts(ledger: Operator) -> tuple[Forecast, ...]:
    """Every published forecast, best first."""
    reader = Reader(ledger)
    now, tiers = reader.now_ms(), Tiers(reader)
    info = reader.hash("forecast_info").values
    expiry = dict(reader.ranked("forecast_expiry"))
    seen = reader.hash("tiers").values
    ranked = reader.ranked("forecasts", best_first=True)
    scores = dict(ranked)
    result = []
    for rank, (symbol, strategy) in enumerate(pairs(name for name, _ in ranked), 1):
        member = f"{symbol}|{strategy}"
        published, _, source = info.get(member, "").partition(" ")
        at, tier = number_in(published), tiers.of(symbol, strategy)
        ends = expiry.get(member)
        result.append(
            Forecast(
                rank,
                symbol,
                strategy,
                scores[member],
                tier.tier.value,
                tier.reason,
                seen.get(member, ""),
                None if at is None else max(now - at, 0) / 1000,
                source,
                None if ends is None else max(ends - now, 0) / 1000,
            )
        )
    return tuple(result)


def read_file(name: str, data: bytes, classify: Callable[[str], tuple[str, bool]]) -> list[Entry]:
    """All forecasts of a CSV or JSON file.

    :param classify: makes a symbol canonical, or raises InvalidIntent.
    :raises BadFile: anything in it is not as it should be; then nothing of it may be published.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadFile([f"{name}:{line}: not UTF-8 text"]) from None
    if not text.strip():
        raise BadFile([f"{name}:1: the file is empty"])
    json_like = text.lstrip()[:1] in "[{"
    rows = list(_json_rows(name, text) if json_like else _csv_rows(name, text))
    entries: list[Entry] = []
    problems: list[str] = []
    first_line: dict[tuple[str, str], int] = {}
    for line, row in rows:
        entry = _entry(f"{name}:{line}", line, row, classify, problems)
        if entry is None:
            continue
        before = first_line.setdefault((entry.symbol, entry.strategy), line)
        if before != line:
            where = f"{entry.symbol} with strategy {entry.strategy}"
            problems.append(f"{name}:{line}: symbol: {where} is on line {before} already")
        entries.append(entry)
    if problems:
        raise BadFile(problems)
    if not entries:
        raise BadFile([f"{name}:1: no forecast in it"])
    return entries


def _entry(
    where: str,
    line: int,
    row: dict[str, Any],
    classify: Callable[[str], tuple[str, bool]],
    problems: list[str],
) -> Entry | None:
    """One row, or None after saying what is wrong with each of its fields."""
    before = len(problems)

    def checked(field: str, check: Callable[[Any], Any], value: Any) -> Any:
        try:
            return check(value)
        except InvalidIntent as error:
            said = str(error)
            problems.append(f"{where}: {said if said.startswith(field) else f'{field}: {said}'}")
            return None

    known = ", ".join(FIELDS)
    unknown = sorted(set(row) - set(FIELDS))
    problems += [f"{where}: {shown(name)}: no such field; use {known}" for name in unknown]
    symbol = checked("symbol", lambda v: classify(v)[0], row.get("symbol") or "")
    strategy = checked("strategy", valid_strategy, row.get("strategy") or DEFAULT_STRATEGY)
    pnl = checked("pnl", lambda v: finite_pnl("pnl", v), row.get("pnl", ""))
    ttl = checked("ttl", valid_ttl, row.get("ttl") or 0)
    if len(problems) > before:
        return None
    return Entry(line, symbol, strategy, pnl, ttl)


def valid_ttl(value: object) -> float:
    """Seconds to live, 0 for ever.

    :raises InvalidIntent: no number, negative or above 30 days.
    """
    seconds = finite_pnl("ttl", value)
    if not 0 <= seconds <= MAX_TTL:
        raise InvalidIntent(
            f"ttl: {shown(value)} must be seconds from 0 (for ever) to {MAX_TTL:.0f}"
        )
    return seconds


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a CSV file with their lines. The header says which column is which."""
    reader = csv.reader(io.StringIO(text), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if not header:
                header = _header(name, reader.line_num, cells)
                continue
            if len(cells) > len(header):
                raise BadFile(
                    [f"{name}:{reader.line_num}: {len(cells)} fields, the header has {len(header)}"]
                )
            yield reader.line_num, dict(zip(header, (c.strip() for c in cells), strict=False))
    except csv.Error as error:
        raise BadFile([f"{name}:{reader.line_num}: {error}"]) from None


def _header(name: str, line: int, cells: list[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    unknown = [cell for cell in header if cell not in FIELDS]
    missing = [field for field in ("symbol", "pnl") if field not in header]
    if unknown or missing or len(set(header)) < len(header):
        what = (
            f"field {missing[0]} is missing"
            if missing
            else f"field {shown(unknown[0])} is unknown"
            if unknown
            else "a field is there twice"
        )
        wants = "symbol,strategy,pnl[,ttl]"
        raise BadFile([f"{name}:{line}: header: {what}; the first line must be like {wants}"])
    return header


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _json_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSON array, with the line each begins on."""
    decoder = json.JSONDecoder()
    at = len(text) - len(text.lstrip())
    if text[at] != "[":
        raise BadFile([f"{name}:1: must be an array of objects like {{'symbol': ..., 'pnl': ...}}"])
    at += 1
    try:
        while True:
            at = _after_space(text, at)
            if text[at : at + 1] == "]":
                break
            line = text.count("\n", 0, at) + 1
            item, at = decoder.raw_decode(text, at)
            if not isinstance(item, dict):
                raise BadFile([f"{name}:{line}: {shown(item)} is not an object"])
            yield line, item
            at = _after_space(text, at)
            if text[at : at + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
            at += text[at] == ","
    except json.JSONDecodeError as error:
        raise BadFile([f"{name}:{error.lineno}: not JSON: {error.msg}"]) from None
    except BadFile:
        raise
    except ValueError:  # an integer of thousands of digits, which Python does not convert
        line = text.count("\n", 0, at) + 1
        raise BadFile([f"{name}:{line}: a number with too many digits"]) from None
    except RecursionError:
        raise BadFile([f"{name}:1: not JSON: nested too deep"]) from None
    rest = text[at + 1 :].strip()
    if rest:
        raise BadFile([f"{name}:{text.count(chr(10), 0, at) + 1}: more text after the array"])
