"""Reading keys that somebody may have spoiled.

A key of the wrong type is an error that names it (``BadData``); a field that is no number counts
as 0 and is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from stealer.cli.operator import Operator
from stealer.errors import LedgerUnavailable
from stealer.keyspace import FIXED, PARTED, kind, wrong_kind
from stealer.model import Claim
from stealer.replies import claim_of
from stealer.scripts import text, translated

#: No amount, time or price of ours comes near this; what does is not ours.
LARGEST = 10**18

#: Commands sent at once when many keys are read.
BATCH = 500


class BadData(LedgerUnavailable):
    """Something in Redis is not what this system writes. The message names the key."""


@dataclass
class Fields:
    """A hash whose values may be anything; ``problems`` collects what could not be read."""

    key: str
    values: dict[str, str]
    problems: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """The value, '' when missing."""
        return self.values.get(name, "")

    def whole(self, name: str) -> int:
        """An integer; 0 when missing or unreadable."""
        value = self.number(name)
        return int(value) if value is not None else 0

    def number(self, name: str) -> float | int | None:
        """A number, None when missing or unreadable."""
        said = self.values.get(name, "")
        if said == "":
            return None
        value = number_in(said)
        if value is None:
            self.problems.append(f"{self.key}: field {name} is {said[:40]!r}, not a number")
        return value


def number_in(said: object) -> float | int | None:
    """A number below ``LARGEST`` as *said*, exact when it is an integer; None when it is none."""
    value: float | int
    try:
        value = int(str(said))
    except ValueError:
        try:
            value = float(str(said))
        except ValueError:
            return None
    # Compared, not converted: an integer may be too large for a float. False for NaN as well.
    return value if -LARGEST < value < LARGEST else None


class Reader:
    """Typed reads of one account's keys."""

    def __init__(self, ledger: Operator) -> None:
        self.ledger = ledger
        self.keys = ledger.keys
        self.problems: list[str] = []

    # ---- single keys

    def hash(self, name: str) -> Fields:
        """A fixed hash."""
        key = getattr(self.keys, name)
        return Fields(key, dict(self.ask(key, lambda r: r.hgetall(key))), self.problems)

    def field(self, name: str, member: str) -> str:
        """One field of a fixed hash, '' when missing."""
        key = getattr(self.keys, name)
        return str(self.ask(key, lambda r: r.hget(key, member)) or "")

    def ranked(self, name: str, *, best_first: bool = False) -> list[tuple[str, float]]:
        """A fixed sorted set with its scores."""
        key = getattr(self.keys, name)
        rows = self.ask(key, lambda r: r.zrange(key, 0, -1, desc=best_first, withscores=True))
        return [(str(row[0]), float(row[1])) for row in rows]

    def score(self, name: str, member: str) -> float | None:
        """One score of a fixed sorted set."""
        key = getattr(self.keys, name)
        found = self.ask(key, lambda r: r.zscore(key, member))
        return None if found is None else float(found)

    def string(self, key: str) -> tuple[str, float]:
        """A string and its seconds left; ('', 0) when there is none, -1 seconds: for ever."""
        value = self.ask(key, lambda r: r.get(key))
        left = int(self.ask(key, lambda r: r.pttl(key)))
        return str(value or ""), seconds_left(left)

    def entries(self, name: str, count: int) -> list[tuple[str, dict[str, str]]]:
        """The latest *count* entries of a stream, oldest of them first."""
        key = getattr(self.keys, name)
        rows = self.ask(key, lambda r: r.xrevrange(key, count=count))
        return [(str(row[0]), dict(row[1])) for row in reversed(rows)]

    def now_ms(self) -> int:
        """Redis' own time, the only clock."""
        seconds, micros = self.ledger.read(lambda r: r.time())
        return int(seconds) * 1000 + int(micros) // 1000

    # ---- many keys

    def scan(self, name: str, parts: int) -> list[tuple[str, ...]]:
        """The parts of every key of a pattern: ``scan("cooldown", 1)`` gives [("BTCUSD",), ...]."""
        stem = self.keys.of(name, *[""] * parts).rstrip(":")
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", stem) + ":*"
        found = self.ask(f"{stem}:*", lambda r: sorted(set(r.scan_iter(match=pattern, count=1000))))
        split = [tuple(str(key)[len(stem) + 1 :].split(":", parts - 1)) for key in found]
        return [row for row in split if len(row) == parts]

    def each(
        self, keys: Sequence[str], command: Callable[[Any, str], Any]
    ) -> Iterator[tuple[str, Any]]:
        """(key, answer) of one read of each key, in batches; None where it cannot be read."""
        for at in range(0, len(keys), BATCH):
            batch = keys[at : at + BATCH]
            try:
                yield from zip(batch, self._batch(batch, command), strict=True)
            except UnicodeDecodeError:
                yield from ((key, self._alone(key, command)) for key in batch)

    def claims(self) -> tuple[list[Claim], list[str]]:
        """Every claim, oldest first, and the ids of those that cannot be read."""
        key = self.keys.claims
        ids = [str(i) for i in self.ask(key, lambda r: r.zrange(key, 0, -1))]
        readable: list[Claim] = []
        spoiled: list[str] = []
        hashes = self.each([self.keys.of("claim", i) for i in ids], lambda r, k: r.hgetall(k))
        for claim_id, (_, fields) in zip(ids, hashes, strict=True):
            claim = readable_claim(claim_id, fields)
            if claim is None:
                spoiled.append(claim_id)
            else:
                readable.append(claim)
        return readable, spoiled

    def _batch(self, keys: Sequence[str], command: Callable[[Any, str], Any]) -> list[Any]:
        def run(client: redis.Redis) -> list[Any]:
            with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    command(pipe, key)
                answers: list[Any] = pipe.execute(raise_on_error=False)
            return answers

        answers = self.ask(keys[0], run)
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, Exception):
                self.problems.append(f"{key}: cannot be read ({_short(answer)})")
        return [None if isinstance(answer, Exception) else text(answer) for answer in answers]

    def _alone(self, key: str, command: Callable[[Any, str], Any]) -> Any:
        try:
            return text(command(self.ledger.client, key))
        except (redis.exceptions.ResponseError, UnicodeDecodeError) as error:
            self.problems.append(f"{key}: cannot be read ({_short(error)})")
            return None

    # ---- errors

    def ask(self, key: str, command: Callable[[redis.Redis], Any]) -> Any:
        """A read whose errors name *key*.

        :raises BadData: it holds something else than it should.
        :raises LedgerUnavailable, LedgerMisconfigured:
        """
        try:
            return text(command(self.ledger.client))
        except UnicodeDecodeError:
            raise BadData(f"{key} holds bytes that are not text; look at it, then DEL it") from None
        except redis.exceptions.ResponseError as error:
            if "WRONGTYPE" in str(error):
                raise BadData(self._wrong_type(key)) from None
            raise translated(error) from error
        except redis.exceptions.RedisError as error:
            raise translated(error) from error

    def script(self, call: Callable[[], Any]) -> Any:
        """A script whose failure over spoiled keys names them.

        :raises BadData: a key has the wrong type.
        """
        try:
            return call()
        except LedgerUnavailable as error:
            if not isinstance(error.__cause__, redis.exceptions.ResponseError):
                raise
            wrong = self.wrong_types()
            if not wrong:
                raise
            raise BadData("; ".join(wrong[:3])) from error

    def wrong_types(self) -> list[str]:
        """A sentence for each fixed key or claim that has not the type it should have."""
        expected = {getattr(self.keys, n): kind(d) for n, (_, d) in FIXED.items()}
        expected |= {self.keys.of("claim", i): kind(PARTED["claim"][1]) for i in self._claim_ids()}
        types = self.each(list(expected), lambda r, k: r.type(k))
        return [
            wrong_kind(key, str(found), expected[key])
            for key, found in types
            if expected[key] and found not in (expected[key], "none")
        ]

    def _claim_ids(self) -> list[str]:
        try:
            return [str(i) for i in self.ledger.client.zrange(self.keys.claims, 0, -1)]
        except (redis.exceptions.RedisError, UnicodeDecodeError):
            return []

    def _wrong_type(self, key: str) -> str:
        expected = {getattr(self.keys, n): kind(d) for n, (_, d) in FIXED.items()}
        found = text(self.ledger.client.type(key))
        return wrong_kind(key, str(found), expected.get(key, ""))


def _short(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it holds bytes that are not text"
    return str(error).split("\n")[0][:60]


def seconds_left(pttl: object) -> float:
    """An answer of PTTL in seconds: 0 for no such key, -1 for one that never expires."""
    left = pttl if isinstance(pttl, int) else -2
    return -1.0 if left == -1 else max(left, 0) / 1000


def readable_claim(claim_id: str, fields: Any) -> Claim | None:
    """A claim from its hash, None when fields are missing or no numbers."""
    if not isinstance(fields, dict):
        return None
    try:
        return claim_of(claim_id, fields)
    except ValueError:
        return None


def pairs(flat: Iterable[str]) -> list[tuple[str, str]]:
    """``A|b`` members split at the first bar; those without one are left out."""
    split = (member.partition("|") for member in flat)
    return [(head, tail) for head, bar, tail in split if bar]
