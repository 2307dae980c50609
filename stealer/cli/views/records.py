"""What is remembered: cooldowns and fights with their time left, and the streams."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from stealer.cli.operator import Operator
from stealer.cli.views.account import account_settings
from stealer.cli.views.reading import Reader, number_in, seconds_left


@dataclass(frozen=True, slots=True)
class Timer:
    """A key with a time to live. ``kind`` is cooldown, steal_back, refused or fight.

    ``seconds_left`` is -1 for a key that never expires, which only a person can have made.
    ``text`` is the key's own value.
    """

    kind: str
    who: tuple[str, ...]
    seconds_left: float
    says: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two symbols that stole from each other lately: *steals* in the window, more than *threshold*
    is a fight."""

    who: tuple[str, str]
    steals: int
    threshold: int
    window_seconds: float
    latest_seconds_ago: float | None


@dataclass(frozen=True, slots=True)
class Fights:
    """Fights that keep pairs apart now, and pairs that have stolen from each other lately."""

    fights: tuple[Timer, ...]
    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cooldowns:
    """Everything that waits for a time to pass, soonest first."""

    cooldowns: tuple[Timer, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Steal:
    """One entry of the stream of steals; amounts as text, as they were recorded."""

    id: str
    at: str
    thief: str
    thief_pnl: str
    victims: tuple[str, ...]
    victim_pnls: tuple[str, ...]
    shortfall: str
    fight: bool
    steal: str
    thief_claim: str
    victim_claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit stream."""

    id: str
    at: str
    what: str
    claim: str
    who: str
    why: str


def cooldowns(ledger: Operator) -> Cooldowns:
    """Symbols that cannot be stolen from, steal back, or wait after a refusal."""
    reader = Reader(ledger)
    found = [*cooling(reader), *timers(reader, "refused", 1)]
    found.sort(key=lambda t: (t.seconds_left < 0, t.seconds_left, t.who))
    return Cooldowns(tuple(found), tuple(reader.problems))


def fights(ledger: Operator) -> Fights:
    """Fights, and the steals so far of pairs that may become one."""
    reader = Reader(ledger)
    policy, now = account_settings(reader), reader.now_ms()
    window = policy.fight_window_seconds
    names = reader.scan("recent", 2)
    keys = [reader.keys.of("recent", *name) for name in names]
    seen = []
    for name, (_, times) in zip(names, reader.each(keys, lambda r, k: r.get(k)), strict=True):
        moments = [m for m in map(number_in, str(times or "").split()) if m is not None]
        ages = [(now - m) / 1000 for m in moments if now - m <= window * 1000]
        if ages:
            pair = (name[0], name[1])
            seen.append(Pair(pair, len(ages), policy.fight_threshold, window, min(ages)))
    seen.sort(key=lambda p: (-p.steals, p.who))
    return Fights(tuple(timers(reader, "fight", 2)), tuple(seen), tuple(reader.problems))


def cooling(reader: Reader) -> list[Timer]:
    """Every cooldown, and with it from whom its symbol may not steal back."""
    found = []
    for timer in timers(reader, "cooldown", 1):
        found.append(timer)
        for thief in _THIEF.findall(timer.text):
            who = (timer.who[0], thief)
            words = in_words("steal_back", who)
            found.append(replace(timer, kind="steal_back", who=who, says=words))
    return found


#: Who stole, in the text of a cooldown.
_THIEF = re.compile(r"stolen by (\S+) \(")


def timers(reader: Reader, name: str, parts: int) -> list[Timer]:
    """Every living key of one pattern, soonest first."""
    found = reader.scan(name, parts)
    keys = [reader.keys.of(name, *who) for who in found]
    values = reader.each(keys, lambda r, k: r.get(k))
    lefts = reader.each(keys, lambda r, k: r.pttl(k))
    result = []
    for who, (key, value), (_, pttl) in zip(found, values, lefts, strict=True):
        left = seconds_left(pttl)
        if value is None or left == 0:
            continue  # expired in between, or of the wrong type and reported
        result.append(Timer(name, who, left, in_words(name, who), str(value), key))
    return sorted(result, key=lambda t: (t.seconds_left < 0, t.seconds_left, t.who))


def in_words(kind: str, who: tuple[str, ...]) -> str:
    """What a timer means."""
    first, second = who[0], who[-1]
    return {
        "cooldown": f"{first} cannot be stolen from",
        "steal_back": f"{first} may not steal back from {second}",
        "refused": f"{first} waits: the broker refused its order after a steal",
        "fight": f"{first} and {second} may not steal from each other",
    }[kind]


def steal_of(entry_id: str, fields: dict[str, str]) -> Steal:
    """A steal from its stream entry, whatever fields it has."""
    get = fields.get
    return Steal(
        id=entry_id,
        at=get("at", ""),
        thief=get("thief", ""),
        thief_pnl=get("thief_pnl", ""),
        victims=tuple(get("victims", "").split()),
        victim_pnls=tuple(get("victim_pnls", "").split()),
        shortfall=get("shortfall", ""),
        fight=get("fights", "0") not in ("", "0"),
        steal=get("steal", ""),
        thief_claim=get("thief_claim", ""),
        victim_claims=tuple(get("victim_claims", "").split()),
    )


def steals(ledger: Operator, count: int, *, dry: bool = False) -> list[Steal]:
    """The latest steals, oldest of them first; with *dry*, those a dry run would have made."""
    rows = Reader(ledger).entries("dry_steals" if dry else "steals", count)
    return [steal_of(entry_id, fields) for entry_id, fields in rows]


def next_steals(ledger: Operator, after: str, wait_ms: int, *, dry: bool = False) -> list[Steal]:
    """Steals after entry *after* ('0' is the beginning), waiting up to *wait_ms* for one."""
    reader = Reader(ledger)
    key = reader.keys.dry_steals if dry else reader.keys.steals
    answer = reader.ask(key, lambda r: r.xread({key: after}, count=100, block=wait_ms))
    rows = answer.values() if isinstance(answer, dict) else [rows for _, rows in answer or []]
    flat = [row for group in rows for row in _flat(group)]
    return [steal_of(str(entry_id), dict(fields)) for entry_id, fields in flat]


def _flat(group: list[object]) -> list[tuple[str, dict[str, str]]]:
    """Entries of one stream; RESP3 answers have one more level of lists."""
    rows: list[tuple[str, dict[str, str]]] = []
    for item in group:
        if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[1], dict):
            rows.append((str(item[0]), item[1]))
        elif isinstance(item, list):
            rows += _flat(item)
    return rows


def audit(ledger: Operator, count: int) -> list[AuditEntry]:
    """The latest audit entries, oldest of them first."""
    return [
        AuditEntry(entry_id, *(fields.get(f, "") for f in ("at", "what", "claim", "who", "why")))
        for entry_id, fields in Reader(ledger).entries("audit", count)
    ]
