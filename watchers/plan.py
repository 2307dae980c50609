"""Plans: a TOML file of many entries for one host, read and checked as a whole.

A plan is data. Every mistake in it is found and said at once, with the file, the entry, the key,
the value and what is allowed, because half a fleet would be hard to understand.

::

    fleet = "morning"            # default: the file's name

    [defaults]                   # for every entry that does not say otherwise
    expiry_minutes = 390

    [[entry]]
    symbol = "BTC/USD"
    limit_price = 60000          # a number, or text for people who distrust numbers
    target_qty = 0.25
    forecast_pnl = 12.5

Numbers are read digit for digit (never through binary floats), so that a price is exact.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from stealer.model import (
    InvalidIntent,
    Mode,
    OrderIntent,
    Side,
    TimeInForce,
    canonical_symbol,
    finite_pnl,
    positive_decimal,
    valid_strategy,
)
from stealer.order_rules import draft, form
from watchers.plan_exit import PlanExit, paired_exit
from watchers.task import EntryTask

#: The largest plan, in bytes and in entries: each entry is a process.
MAX_BYTES = 1_000_000
MAX_ENTRIES = 1000

#: Letters of a value that a message shows.
SHOWN_LETTERS = 60

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_NAME_ALLOWED = "1 to 60 letters, digits, '_', '-' or '.'"


class PlanError(ValueError):
    """A plan that cannot be used; ``problems`` has one sentence for each mistake in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One entry of a plan: its name in the fleet, and its task with a canonical symbol."""

    name: str
    task: EntryTask

    @property
    def slot(self) -> str:
        """(symbol, side, strategy), which one claim at a time may hold (DESIGN invariant 2)."""
        intent = self.task.intent
        return f"{intent.symbol}|{intent.side}|{intent.strategy}"


#: What a fleet runs, each in a process of its own.
PlanProcess = PlanEntry | PlanExit


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid plan. Entries keep the file's order; their names and slots are unique.

    An exit is beside its entry and not in it: an edit of one leaves the other alone.
    """

    fleet: str
    entries: tuple[PlanEntry, ...]
    source: str = ""
    digest: str = ""
    exits: tuple[PlanExit, ...] = ()

    @property
    def processes(self) -> tuple[PlanProcess, ...]:
        """All that a fleet runs, entries first."""
        return (*self.entries, *self.exits)


def load_plan(path: Path, crypto_symbols: frozenset[str]) -> Plan:
    """The plan in the file *path*.

    :raises PlanError: it cannot be read, or is no valid plan.
    """
    return plan_from_bytes(read_bytes(path), path, crypto_symbols)


def read_bytes(path: Path) -> bytes:
    """What the file *path* holds, up to a bound.

    :raises PlanError: it cannot be read, or is too large to be a plan.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PlanError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    if len(content) > MAX_BYTES:
        raise PlanError([f"{path}: is larger than {MAX_BYTES:,} bytes, too large for a plan"])
    return content


def plan_from_bytes(content: bytes, path: Path, crypto_symbols: frozenset[str]) -> Plan:
    """The plan that *content* of the file *path* is.

    :raises PlanError: it is not TOML in UTF-8, or no valid plan.
    """
    try:
        document = tomllib.loads(content.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise PlanError([f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}"]) from (
            None
        )
    except (ValueError, ArithmeticError) as error:  # also for numbers too long to convert
        raise PlanError([f"{path}: is not TOML: {error}"]) from None
    except RecursionError:
        raise PlanError([f"{path}: is nested too deeply"]) from None
    digest = hashlib.sha256(content).hexdigest()
    return parse_plan(document, str(path), crypto_symbols, default_fleet=path.stem, digest=digest)


def parse_plan(
    document: Mapping[str, Any],
    source: str,
    crypto_symbols: frozenset[str],
    *,
    default_fleet: str = "fleet",
    digest: str = "",
) -> Plan:
    """The plan that a parsed TOML *document* is.

    :param source: begins every message: the file's name.
    :param crypto_symbols: canonical pairs the account trades, see ``Settings``.
    :raises PlanError: with every mistake that was found.
    """
    reader = _Reader(source, crypto_symbols)
    plan = reader.plan(document, default_fleet, digest)
    if reader.problems or plan is None:
        raise PlanError(reader.problems)
    return plan


# ---- values: each reader takes what TOML has and raises ValueError for what is not allowed


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError
    return value


def _words(allowed: type[Side] | type[Mode] | type[TimeInForce]) -> Callable[[object], str]:
    return lambda value: allowed(value if isinstance(value, str) else "").value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _ticket(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 120 or not value.isprintable():
        raise ValueError
    return value


def _between(low: float, high: float, *, above: bool = False) -> Callable[[object], float]:
    def read(value: object) -> float:
        number = finite_pnl("", value)
        if not (low < number if above else low <= number) or number > high:
            raise ValueError
        return number

    return read


@dataclass(frozen=True, slots=True)
class _Key:
    """One option of an entry: how it is read, what is allowed, in words."""

    read: Callable[[Any], Any]
    allowed: str
    default: Any = None
    required: bool = False
    shared: bool = True  #: may stand in [defaults]


_NUMBER = "a number above 0 with at most 12 decimal places, like 60000.5 or '60000.5'"

KEYS: dict[str, _Key] = {
    "name": _Key(_name, _NAME_ALLOWED, shared=False),
    "symbol": _Key(str, "a stock like AAPL or a pair like BTC/USD", required=True),
    "side": _Key(_words(Side), "buy or sell", "buy"),
    "limit_price": _Key(lambda v: positive_decimal("", v), _NUMBER, required=True),
    "target_qty": _Key(lambda v: positive_decimal("", v), _NUMBER, required=True),
    "forecast_pnl": _Key(lambda v: finite_pnl("", v), "a finite number of dollars"),
    "strategy": _Key(valid_strategy, "1 to 24 letters, digits, '_' or '.'", "maxdiff"),
    "mode": _Key(_words(Mode), "normal or probe", "normal"),
    "tolerance_pct": _Key(_between(0, 0.999999), "a fraction from 0 to below 1 (0.0066 is 0.66 %)"),
    "expiry_minutes": _Key(
        _between(0, 366 * 1440, above=True), "minutes above 0, at most a year", 1440.0
    ),
    "poll_seconds": _Key(_between(0.05, 3600), "seconds from 0.05 to 3600", 2.0),
    "force_immediate": _Key(_boolean, "true or false", False),
    "time_in_force": _Key(_words(TimeInForce), "day, gtc or ioc", ""),
    "extended_hours": _Key(_boolean, "true or false", False),
    "ticket": _Key(_ticket, "1 to 120 printable characters", shared=False),
    "exit_limit_price": _Key(lambda v: positive_decimal("", v), _NUMBER, shared=False),
}

_TOP = ("fleet", "defaults", "entry")


class _Reader:
    """Reads one document, collecting every mistake."""

    def __init__(self, source: str, crypto_symbols: frozenset[str]) -> None:
        self.problems: list[str] = []
        self._source = source
        self._crypto = crypto_symbols

    def plan(self, document: Mapping[str, Any], default_fleet: str, digest: str) -> Plan | None:
        self._unknown("", document, _TOP)
        fleet = self._fleet(document, default_fleet)
        defaults = self._defaults(document.get("defaults", {}))
        tables = self._tables(document)
        found = [
            pair
            for number, table in enumerate(tables, 1)
            if (pair := self._entry(number, table, defaults, fleet)) is not None
        ]
        entries = [entry for entry, _ in found]
        exits = tuple(leaves for _, leaves in found if leaves is not None)
        self._unique([*entries, *exits], "name", lambda e: e.name)
        self._unique(entries, "symbol, side and strategy", lambda e: e.slot.replace("|", " "))
        self._unique(entries, "ticket", lambda e: e.task.ticket)
        return Plan(fleet, tuple(entries), self._source, digest, exits)

    def _say(self, where: str, what: str) -> None:
        self.problems.append(f"{self._source}: {where}{': ' if where else ''}{what}")

    def _unknown(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key in known:
                continue
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(known)}"
            self._say(where, f"unknown key {_shown(key)}; {hint}")

    def _fleet(self, document: Mapping[str, Any], default: str) -> str:
        given = document.get("fleet", default)
        try:
            return _name(given)
        except ValueError:
            whence = "" if "fleet" in document else " (from the file's name; set fleet = ...)"
            self._say("", f"fleet = {_shown(given)}{whence} is not allowed: give {_NAME_ALLOWED}")
            return "fleet"

    def _defaults(self, table: object) -> dict[str, Any]:
        if not isinstance(table, Mapping):
            self._say("", "defaults must be a table, written [defaults]")
            return {}
        shared = tuple(key for key, rule in KEYS.items() if rule.shared)
        own = {key for key, rule in KEYS.items() if not rule.shared}
        for key in sorted(table.keys() & own):
            self._say("[defaults]", f"{key} is each entry's own and cannot be a default")
        given = {key: value for key, value in table.items() if key not in own}
        self._unknown("[defaults]", given, shared)
        return self._values("[defaults]", given)

    def _tables(self, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        given = document.get("entry", [])
        if not isinstance(given, list) or not all(isinstance(t, Mapping) for t in given):
            self._say("", "entry must be tables, each written [[entry]] with double brackets")
            return []
        if not given:
            self._say("", "has no [[entry]]; to stop a fleet, stop its process")
        if len(given) > MAX_ENTRIES:
            self._say("", f"has {len(given)} entries; {MAX_ENTRIES} is the most for one fleet")
            return []
        return given

    def _values(self, where: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """The readable values of *table*; the others are said."""
        values: dict[str, Any] = {}
        for key, rule in KEYS.items():
            if key not in table:
                continue
            try:
                values[key] = self._symbol(table[key]) if key == "symbol" else rule.read(table[key])
            except (ValueError, ArithmeticError) as error:
                # The model's own sentence when it says more than what is allowed in general.
                said = str(error) if key == "symbol" and isinstance(error, InvalidIntent) else ""
                allowed = said.partition(": ")[2] or f"give {rule.allowed}"
                self._say(where, f"{key} = {_shown(table[key])} is not allowed: {allowed}")
                values[key] = None
        return values

    def _symbol(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        return canonical_symbol(value[: SHOWN_LETTERS + 1], self._crypto)

    def _entry(
        self, number: int, table: Mapping[str, Any], defaults: dict[str, Any], fleet: str
    ) -> tuple[PlanEntry, PlanExit | None] | None:
        """One entry with its exit, or None when something in it, or in its defaults, is wrong."""
        label = table.get("name")
        where = f"entry {number}" + (f" {_shown(label)}" if isinstance(label, str) else "")
        before = len(self.problems)
        self._unknown(where, table, tuple(KEYS))
        own = self._values(where, table)
        values = {key: rule.default for key, rule in KEYS.items()} | defaults | own
        for key, rule in KEYS.items():
            if rule.required and key not in own and key not in defaults:
                self._say(where, f"{key} is missing: give {rule.allowed}")
        # A mistake in [defaults] has been said there, once.
        unusable = any(defaults[key] is None for key in defaults.keys() - own.keys())
        if unusable or len(self.problems) > before:
            return None
        if values["side"] == Side.SELL and values["symbol"] in self._crypto:
            self._say(
                where,
                f"side = 'sell' is not allowed: {values['symbol']} cannot be sold short; "
                "crypto entries are buys",
            )
            return None
        name = values["name"] or "-".join(values[k] for k in ("symbol", "side", "strategy"))
        try:
            task = _task(values, values["ticket"] or f"{fleet}/{name}")
            leaves = paired_exit(values, name, task)
        except InvalidIntent as error:
            self._say(where, str(error))
            return None
        intent = task.intent
        objections = form(draft(intent, intent.symbol, intent.symbol in self._crypto))
        for objection in objections:
            self._say(where, objection.sentence)
        return None if objections else (PlanEntry(name, task), leaves)

    def _unique(self, entries: Iterable[PlanProcess], what: str, of: Callable[[Any], str]) -> None:
        first: dict[str, str] = {}
        for entry in entries:
            value = of(entry)
            if value in first:
                self._say(
                    f"entry {entry.name!r}",
                    f"{what} {_shown(value)} is already that of entry {first[value]!r}; "
                    "each must be unique",
                )
            first.setdefault(value, entry.name)


def _task(values: Mapping[str, Any], ticket: str) -> EntryTask:
    """The task of checked values.

    :raises InvalidIntent: values that are not allowed together.
    """
    pnl = values["forecast_pnl"]
    intent = OrderIntent(
        values["symbol"],
        values["side"],
        values["target_qty"],
        values["limit_price"],
        values["strategy"],
        0.0 if pnl is None else pnl,
        values["mode"],
        values["force_immediate"],
        values["time_in_force"],
        values["extended_hours"],
    )
    return EntryTask(
        intent,
        values["tolerance_pct"],
        values["expiry_minutes"] * 60,
        values["poll_seconds"],
        ticket,
        offers_forecast=pnl is not None,
    )


def _shown(value: object) -> str:
    """*value* for a message: short, on one line, and never an error itself."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    try:
        text = str(value) if isinstance(value, Decimal | int) else repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return "a value too long to show"
    if isinstance(value, bool):
        text = text.lower()
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "..."
