"""Any history of questions, answers in any order, strangers and minutes: what always holds.

The broker here counts what reaches it in its minute, and writes that on its answers; requests and
answers are delivered in whatever order the history says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stealer.embedded import EmbeddedServer
from tests.budget.conftest import Till

pytestmark = pytest.mark.real_server

#: What each leaves to others at any time, in percent of the limit.
ALWAYS = {
    "cancel": 0, "submit": 5, "look_up": 10, "account": 10, "sweep": 10, "read": 15, "other": 20,
}  # fmt: skip
ASKING = ("look_up", "account", "sweep", "read", "other")

OUT = st.tuples(st.just("take"), st.sampled_from(ASKING))
WIRE = st.tuples(st.sampled_from(["arrive", "answer"]), st.integers(0, 30))
MINUTE = st.tuples(st.just("minute"), st.just(0))
STRANGERS = st.tuples(st.just("stranger"), st.integers(1, 5))
CANCELS = st.tuples(st.just("cancel"), st.just(0))


@dataclass
class Flight:
    """One request: on its way to the broker, or its answer on its way back."""

    call: str
    minute: int
    remaining: int | None = None


@dataclass
class World:
    """The till, and a broker with a minute of its own."""

    till: Till
    limit: int
    count: int = 0
    minute: int = 0
    refused: int = 0
    late: int = 0  #: cancels that are counted in the minute after theirs
    out: list[Flight] = field(default_factory=list)
    back: list[Flight] = field(default_factory=list)

    def begin(self) -> World:
        self.till.client.flushall()
        self.till.window(self.limit, ends_in=60)
        return self

    def take(self, call: str) -> None:
        reply = self.till.ask("take", call)
        if reply.answer == "granted":
            assert reply.left >= math.ceil(self.limit * ALWAYS[call] / 100)
            self.out.append(Flight(call, self.minute))

    def cancel(self, _: int) -> None:
        self.out.append(Flight("cancel", self.minute))

    def arrive(self, which: int) -> None:
        if self.out:
            flight = self.out.pop(which % len(self.out))
            self.count += 1
            self.refused += self.count > self.limit and flight.call != "cancel"
            flight.minute, flight.remaining = self.minute, max(self.limit - self.count, 0)
            self.back.append(flight)

    def answer(self, which: int) -> None:
        if self.back:
            flight = self.back.pop(which % len(self.back))
            reset_in = self.ends() if flight.minute == self.minute else 0.0
            mode = "spent" if flight.call == "cancel" else "told"
            self.late += mode == "spent" and flight.minute != self.minute
            self.till.told(self.limit, flight.remaining, reset_in, mode=mode, call=flight.call)

    def stranger(self, requests: int) -> None:
        self.count = min(self.count + requests, self.limit)

    def minute_over(self) -> None:
        """What is on its way arrives in the next minute, as far as the broker is concerned."""
        while self.out:
            self.arrive(0)
        self.count, self.minute = 0, self.minute + 1
        self.till.client.hset(self.till.keys.budget, "ends", self.till.now())

    def ends(self) -> float:
        return self.till.ask("told", "read").ends / 1000

    def settle(self) -> int:
        """Everything arrives and is answered; what the till then thinks is left."""
        while self.out:
            self.arrive(0)
        while self.back:
            self.answer(0)
        return self.till.ask("told", "read").left


def played(world: World, history: list[tuple[str, int | str]]) -> World:
    for verb, argument in history:
        if verb == "minute":
            world.minute_over()
        else:
            getattr(world, verb)(argument)
    return world


@pytest.fixture(scope="module")
def till(redis_server: EmbeddedServer) -> Iterator[Till]:
    """On a real server, which is quick enough for many histories."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield Till(client)


COMMON = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(limit=st.integers(3, 30), history=st.lists(OUT | WIRE | MINUTE, max_size=60))
@COMMON
def test_alone_on_its_account_the_broker_never_has_to_refuse(
    till: Till, limit: int, history: list[tuple[str, int | str]]
) -> None:
    world = played(World(till, limit).begin(), history)
    left = world.settle()
    assert world.refused == 0
    assert left == limit - world.count


@given(
    limit=st.integers(3, 30),
    history=st.lists(OUT | WIRE | MINUTE | STRANGERS | CANCELS, max_size=60),
)
@COMMON
def test_with_strangers_and_cancels_what_is_left_is_never_overrated_once_all_is_answered(
    till: Till, limit: int, history: list[tuple[str, int | str]]
) -> None:
    world = played(World(till, limit).begin(), history)
    world.out.append(Flight("read", world.minute))  # an answer tells what strangers used
    left = world.settle()
    assert left <= max(limit - world.count, 0)
    assert left >= limit - world.count - world.late, "nor underrated, but by late cancels"
