"""A live account whose Redis somebody else writes into: built once by real verbs, then put back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import redis
from hypothesis import strategies as st

from stealer.keyspace import FIXED
from stealer.model import Claim
from stealer.settings import Settings
from tests.coordination.desk import Desk
from tests.fuzz.garbage import words
from tests.keeper.account import AccountBroker

#: Nothing here grows stale while an example runs.
HOUR = 3600.0
SLOW = {
    "account_stale_seconds": HOUR,
    "quote_stale_seconds": HOUR,
    "reserve_seconds": HOUR,
    "trust_seconds": HOUR,
    "orphan_seconds": HOUR,
    "quarantine_seconds": 3 * HOUR,
}


@dataclass(repr=False)
class Stage:
    """One claim in every state, 19,000 of 20,000 dollars charged; and every key as it was."""

    desk: Desk
    claims: dict[str, Claim]
    kept: list[tuple[bytes, int, bytes]]
    raw: Any

    def __repr__(self) -> str:
        return "the stage"

    def restore(self) -> AccountBroker:
        """The account as it was built, and a broker that has its orders."""
        self.raw.flushdb()
        with self.raw.pipeline(transaction=False) as pipe:
            for key, ttl, dump in self.kept:
                pipe.restore(key, ttl, dump)
            pipe.execute()
        broker = AccountBroker()
        for name, claim in self.claims.items():
            if name not in ("reserved", "thief", "closed"):
                broker.match(claim)
            broker.market[claim.symbol] = Decimal(102)
        return broker

    def keys(self) -> list[bytes]:
        """Every key there is, and every fixed one that could be."""
        fixed = {getattr(self.desk.keys, name).encode() for name in FIXED}
        return sorted(fixed | {key for key, _, _ in self.kept})


def build(client: redis.Redis, raw: redis.Redis) -> Stage:
    """An account with a claim in each state, on an empty server."""
    clock = f"2024-01-05T15:00:00Z@{time.time()}*1"
    desk = Desk(client, Settings(market_clock=clock, **SLOW)).open_shop(equity=10_000)  # type: ignore[arg-type]
    claims = {
        "open": desk.open("AAPL", 9.0, usd=4_000),
        "crypto": desk.open("BTCUSD", 8.0, usd=3_000),
        "evicting": desk.open("NFLX", 7.0, usd=2_000),
        "victim": desk.open("TSLA", 1.0, usd=5_000),
        "closed": desk.open("AMD", 6.0, usd=1_000),
        "reserved": desk.reserve("MSFT", 9.0, usd=1_000),
        "launching": desk.reserve("NVDA", 9.0, usd=3_000),
    }
    desk.coordinator.launch(claims["launching"])
    desk.coordinator.evict(claims["evicting"], "owner")
    desk.fill(claims["closed"])
    desk.fill(claims["open"], 3)
    decision = desk.acquire("UNIUSD", 50.0, usd=3_000)
    assert decision.claim, decision
    claims["thief"] = decision.claim
    desk.forecast("AAPL", 9.0)
    desk.forecast("BTCUSD", 8.0)
    assert not desk.acquire("GOOG", 0.5, usd=9_000)
    desk.coordinator.watch(["AAPL"], HOUR)
    desk.coordinator.report({"symbol": "AAPL", "strategy": "maxdiff", "seen": 1}, "tight")
    desk.coordinator.task("a-task", HOUR)
    assert desk.coordinator.recount() == ""
    kept = [(key, max(raw.pttl(key), 0), raw.dump(key)) for key in sorted(raw.keys("*"))]
    return Stage(desk, {k: desk.now(c) for k, c in claims.items()}, kept, raw)  # type: ignore[arg-type]


# ---- what somebody else does to a key

garbage = st.one_of(words.map(lambda w: w.encode("utf-8", "replace")), st.binary(max_size=8))


@dataclass(frozen=True)
class Damage:
    """One change: *how* to the key at *place* (of all keys), at a field or member, with *value*."""

    place: int
    how: str
    field: int
    value: bytes

    def apply(self, stage: Stage) -> str:
        """Do it; what was done."""
        raw, keys = stage.raw, stage.keys()
        key = keys[self.place % len(keys)]
        kind = raw.type(key).decode()
        name = b""
        if self.how == "delete":
            raw.delete(key)
        elif self.how in ("string", "list", "hash", "zset"):
            raw.delete(key)
            {
                "string": lambda: raw.set(key, self.value),
                "list": lambda: raw.rpush(key, self.value),
                "hash": lambda: raw.hset(key, b"field", self.value),
                "zset": lambda: raw.zadd(key, {self.value: 1}),
            }[self.how]()
        elif kind == "hash":
            name = self._hash(raw, key)
        elif kind == "zset":
            name = self._zset(raw, key)
        elif kind == "string":
            raw.set(key, self.value)
        elif kind == "list":
            raw.lpush(key, self.value)
        elif kind == "stream":
            raw.xadd(key, {self.value: self.value})
        return f"{self.how} {key!r} ({kind}) {name!r} {self.value!r}"

    def _hash(self, raw: Any, key: bytes) -> bytes:
        names = sorted(raw.hkeys(key))
        name: bytes = names[self.field % len(names)]
        if self.how == "remove":
            raw.hdel(key, name)
        elif self.how == "half":
            raw.hdel(key, *names[:: 2 if self.field % 2 else -2])
        elif self.how == "add":
            raw.hset(key, self.value, self.value)
        else:
            raw.hset(key, name, self.value)
        return name

    def _zset(self, raw: Any, key: bytes) -> bytes:
        names = raw.zrange(key, 0, -1)
        name: bytes = names[self.field % len(names)]
        if self.how in ("remove", "half"):
            raw.zrem(key, name)
        elif self.how == "add":
            raw.zadd(key, {self.value: 5})
        else:
            scores = (float("inf"), float("-inf"), -1.0, 0.0, 1e300, 0.5)
            raw.zadd(key, {name: scores[self.field % len(scores)]})
        return name


damages = st.builds(
    Damage,
    st.integers(0, 200),
    st.sampled_from(["field"] * 6 + ["remove", "remove", "half", "add", "delete", "string", "list",
                                     "hash", "zset"]),
    st.integers(0, 60),
    garbage,
)  # fmt: skip
