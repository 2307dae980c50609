"""Every watcher of an account, as the reports in Redis say; what they went through, as the stream.

Reports may have been written by another version, or by somebody else: what cannot be read is left
out and named, and a field of another type counts as missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis

from stealer.cli.operator import Operator
from stealer.cli.views.reading import Reader
from stealer.ledger import text_hash
from stealer.model import InvalidIntent
from watchers.status import ENDED, Phase

#: A watcher that was silent for so many seconds has probably crashed: it reports every 5 s, and
#: neither a wait for its price nor a call to the broker takes the rest.
SILENT_SECONDS = 30.0

#: Entries of the stream that are read at once.
BATCH = 1_000

_ENDED = frozenset(phase.value for phase in ENDED)


@dataclass(frozen=True, slots=True)
class Watcher:
    """One watcher as it last reported. Moments as seconds ago."""

    owner: str
    name: str
    kind: str
    ticket: str
    symbol: str
    side: str
    strategy: str
    phase: str
    reason: str
    detail: str
    tier: str
    limit_price: str
    target_qty: str
    filled_qty: str
    claim: str
    host: str
    pid: int
    distance_pct: float | None
    pnl: float | None
    since_seconds: float | None
    seen_seconds: float | None

    @property
    def ended(self) -> bool:
        """It has said that it is over."""
        return self.phase in _ENDED

    @property
    def silent(self) -> bool:
        """It should have reported again by now: crashed, paused, or cut off from Redis."""
        late = self.seen_seconds is None or self.seen_seconds > SILENT_SECONDS
        return late and not self.ended


@dataclass(frozen=True, slots=True)
class Listing:
    """All watchers by name, and a sentence for each report that cannot be read."""

    watchers: list[Watcher]
    problems: list[str] = field(default_factory=list)


def listing(ledger: Operator) -> Listing:
    """Who reports to this account.

    :raises BadData: the key holds something else.
    :raises LedgerUnavailable, LedgerMisconfigured:
    """
    found, problems = [], []
    now = ledger.now_ms() / 1000
    key = ledger.keys.watchers
    rows = text_hash(Reader(ledger).ask(key, lambda r: r.hgetall(key)))
    for owner, said in rows.items():
        try:
            record = json.loads(said)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            found.append(_watcher(owner, record, now))
        else:
            problems.append(f"{key}: the report of {owner} cannot be read")
    return Listing(sorted(found, key=lambda w: (w.name, w.owner)), problems)


def is_over(report: str | None) -> bool:
    """True for the *report* of a watcher that has ended; None: it has taken it away."""
    try:
        record = json.loads(report or "{}")
    except (ValueError, RecursionError):
        return False
    return report is None or (isinstance(record, dict) and str(record.get("phase")) in _ENDED)


def matching(watchers: Sequence[Watcher], wanted: str, ledger: Operator) -> list[Watcher]:
    """Those that *wanted* names: a watcher, or else a ticket, a whole fleet or a symbol.

    A plan's entry is called as its ticket, which its exit shares: by its name the entry alone is
    meant. Without a plan a watcher is called as its symbol, which is no name of its own.
    """
    named = [w for w in watchers if w.name == wanted != w.symbol]
    if named:
        return named
    symbol = _symbol(wanted, ledger)
    return [w for w in watchers if _meant(wanted, symbol, w.name, w.ticket, w.symbol)]


def transitions(ledger: Operator, wanted: str, count: int) -> list[tuple[str, dict[str, str]]]:
    """The latest *count* entries (id, fields) of the stream about *wanted*, oldest of them first.

    :param wanted: as for `matching`; everything if empty.
    """
    symbol, found, before = _symbol(wanted, ledger), list[tuple[str, dict[str, str]]](), "+"
    reader, key = Reader(ledger), ledger.keys.transitions
    while len(found) < count:
        rows = reader.ask(key, partial(_read_back, key=key, before=before))
        found += [row for row in _rows(rows) if _about(row[1], wanted, symbol)]
        if len(rows) < BATCH:
            break
        before = f"({rows[-1][0]}"
    return found[:count][::-1]


def following(
    ledger: Operator, wanted: str, last: str, pause: float
) -> Iterator[tuple[str, dict[str, str]]]:
    """Entries about *wanted* after the entry *last*, as they come; asked for every *pause* s."""
    symbol = _symbol(wanted, ledger)
    reader, key = Reader(ledger), ledger.keys.transitions
    while True:
        rows = reader.ask(key, partial(_read_on, key=key, after=last))
        for row in _rows(rows):
            last = row[0]
            if _about(row[1], wanted, symbol):
                yield row
        if len(rows) < BATCH:
            time.sleep(pause)


def _read_back(client: redis.Redis, key: str, before: str) -> Any:
    return client.xrevrange(key, max=before, count=BATCH)


def _read_on(client: redis.Redis, key: str, after: str) -> Any:
    return client.xrange(key, min=f"({after}", count=BATCH)


def _rows(rows: Any) -> list[tuple[str, dict[str, str]]]:
    return [(str(row[0]), text_hash(row[1])) for row in rows]


def _symbol(wanted: str, ledger: Operator) -> str:
    """*wanted* as a symbol, if it can be one: BTC/USD is BTCUSD."""
    try:
        return ledger.classify(wanted)[0] if wanted else ""
    except InvalidIntent:
        return ""


def _about(fields: dict[str, str], wanted: str, symbol: str) -> bool:
    named = (fields.get(key, "") for key in ("watcher", "ticket", "symbol"))
    return not wanted or _meant(wanted, symbol, *named)


def _meant(wanted: str, as_symbol: str, name: str, ticket: str, symbol: str) -> bool:
    fleet, slash, _ = name.rpartition("/")
    is_fleet = bool(slash) and wanted == fleet
    return is_fleet or wanted in (name, ticket) or bool(as_symbol and as_symbol == symbol)


def _watcher(owner: str, record: dict[str, Any], now: float) -> Watcher:
    def words(key: str, default: str = "") -> str:
        value = record.get(key)
        return value if isinstance(value, str) else default

    def number(key: str) -> float | None:
        value = record.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if abs(value) < 1e18 else None

    def ago(key: str) -> float | None:
        moment = number(key)
        return round(max(now - moment, 0.0), 3) if moment else None

    return Watcher(
        owner=owner,
        name=words("name") or words("symbol") or owner,
        kind=words("kind", "entry"),
        ticket=words("ticket"),
        symbol=words("symbol"),
        side=words("side"),
        strategy=words("strategy"),
        phase=words("phase", Phase.STARTING.value),
        reason=words("reason"),
        detail=words("detail"),
        tier=words("tier"),
        limit_price=words("limit_price"),
        target_qty=words("target_qty"),
        filled_qty=words("filled_qty"),
        claim=words("claim"),
        host=words("host"),
        pid=int(number("pid") or 0),
        distance_pct=number("distance_pct"),
        pnl=number("pnl"),
        since_seconds=ago("since"),
        seen_seconds=ago("seen"),
    )
