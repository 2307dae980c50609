"""The budget's script on a server of either kind, and windows that tests arrange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import redis

from stealer.keyspace import Keyspace
from stealer.scripts import Scripts

ACCOUNT = "paper"


@dataclass(frozen=True)
class Reply:
    """What the script answered; ``wait``, ``ends`` and ``held`` in ms."""

    answer: str
    wait: int
    left: int
    limit: int
    ends: int
    held: int
    room: int
    known: int


class Till:
    """One account's budget in Redis. A window is as long as a test says, and nothing sleeps."""

    def __init__(self, client: redis.Redis) -> None:
        self.client: Any = client
        self.keys = Keyspace(ACCOUNT)
        self._run = Scripts(client, ACCOUNT)

    def window(self, limit: int, *, used: int = 0, ends_in: float = 30.0, **more: Any) -> None:
        """Begin with this window, as answers have stated it; it ends in so many seconds."""
        fields = {"limit": limit, "used": used, "ends": self.now() + int(ends_in * 1000)}
        self.client.delete(self.keys.budget)
        self.client.hset(self.keys.budget, mapping={"known": 1} | fields | more)

    def ask(
        self, mode: str, call: str, *stated: Any, who: str = "w", api: str = "trading"
    ) -> Reply:
        first, *rest = self._run("budget", api, mode, call, who, *stated)
        return Reply(first, *map(int, rest))

    def take(self, call: str = "look_up", **more: Any) -> bool:
        return self.ask("take", call, **more).answer == "granted"

    def told(
        self,
        limit: Any = "",
        remaining: Any = "",
        reset_in: Any = "",
        *,
        age: float = 0.0,
        refused: Any = 0,
        begun: float = 0.0,
        mode: str = "told",
        call: str = "read",
    ) -> Reply:
        """An answer came *age* seconds ago, to a call begun *begun* seconds ago."""
        reset = "" if reset_in == "" else int(reset_in * 1000)
        ages = int(age * 1000), refused, int(begun * 1000)
        return self.ask(mode, call, limit, remaining, reset, *ages)

    def now(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def counter(self, name: str) -> int:
        return int(self.client.hget(self.keys.counters, name) or 0)


@pytest.fixture
def till(redis_client: redis.Redis) -> Till:
    return Till(redis_client)
