"""One process's share: what it asks, what it remembers, and what it does without Redis."""

from __future__ import annotations

import logging

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stealer.broker.calls import Answered, Call
from stealer.broker.interface import RequestBudget
from stealer.budget import (
    ALONE_CALLS,
    AS_KEEPER,
    AS_PERSON,
    AWAY_SECONDS,
    PROBE_SECONDS,
    UNSTATED_HOLD_SECONDS,
    ApiBudget,
)
from tests.budget.conftest import ACCOUNT, Till
from tests.support import ManualClock


class Counted:
    """A client that counts the round trips of the script, and can be cut off."""

    def __init__(self, till: Till, monkeypatch: pytest.MonkeyPatch, budget: ApiBudget) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.cut = False
        run = budget._run

        def counted(verb: str, *arguments: str | int) -> list[str]:
            self.calls.append(tuple(map(str, arguments)))
            if self.cut:
                from stealer.errors import LedgerUnavailable

                raise LedgerUnavailable("Redis cannot be reached (cut)")
            return run(verb, *arguments)

        monkeypatch.setattr(budget, "_run", counted)


@pytest.fixture
def budget(till: Till, manual_clock: ManualClock) -> ApiBudget:
    return ApiBudget(till.client, ACCOUNT, who="watcher-AAPL", monotonic=manual_clock.time)


@pytest.fixture
def wire(till: Till, monkeypatch: pytest.MonkeyPatch, budget: ApiBudget) -> Counted:
    return Counted(till, monkeypatch, budget)


def answer(
    remaining: int | None = None,
    *,
    limit: int = 100,
    reset_in: float = 30.0,
    status: int | None = 200,
    took: float = 0.0,
) -> Answered:
    stated = None if remaining is None else RequestBudget(limit, remaining, 0.0)
    return Answered(stated, None if remaining is None else reset_in, status, took)


REFUSED = answer(0, status=429, reset_in=12)


def test_a_read_costs_one_round_trip_and_its_answer_goes_with_the_next(
    till: Till, budget: ApiBudget, wire: Counted
) -> None:
    till.window(100, used=10)
    for used in range(11, 21):
        assert budget.take(Call.LOOK_UP) == 0
        budget.answered(Call.LOOK_UP, answer(100 - used), asked=True)
    assert [call[1] for call in wire.calls] == ["take"] * 10
    assert wire.calls[-1][4:6] == ("100", "81"), "what the answer before it stated"


def test_an_order_and_a_cancel_cost_one_round_trip_after_they_were_sent(
    till: Till, budget: ApiBudget, wire: Counted
) -> None:
    till.window(100, used=10)
    for call in (Call.SUBMIT, Call.CANCEL):
        assert budget.held(call) == 0
        assert wire.calls == []
        budget.answered(call, answer(89), asked=False)
        assert [made[1:3] for made in wire.calls] == [("spent", call.value)]
        wire.calls.clear()


@pytest.mark.parametrize(
    "said",
    [
        answer(50),
        answer(89, limit=120),
        answer(89, reset_in=11),
        answer(0, status=429),
    ],
    ids=["somebody else uses the account", "another limit", "another reset", "429"],
)
def test_news_is_told_at_once(till: Till, budget: ApiBudget, wire: Counted, said: Answered) -> None:
    till.window(100, used=10)
    budget.take(Call.LOOK_UP)
    budget.answered(Call.LOOK_UP, said, asked=True)
    assert [call[1] for call in wire.calls] == ["take", "told"]


def test_the_first_answer_ever_is_news(till: Till, budget: ApiBudget, wire: Counted) -> None:
    budget.take(Call.LOOK_UP)
    budget.answered(Call.LOOK_UP, answer(29, limit=30), asked=True)
    assert till.ask("told", "read").limit == 30


def test_a_429_of_one_process_stops_all(till: Till, budget: ApiBudget) -> None:
    other = ApiBudget(till.client, ACCOUNT, who="another")
    till.window(100, used=10)
    assert other.take(Call.READ) == 0
    budget.take(Call.LOOK_UP)
    budget.answered(Call.LOOK_UP, REFUSED, asked=True)
    assert 11 < other.take(Call.LOOK_UP) <= 12
    assert 11 < other.held(Call.SUBMIT) <= 12, "known by then without asking"


def test_after_a_429_a_process_sends_one_cancel_a_second_and_no_order(
    till: Till, budget: ApiBudget, manual_clock: ManualClock
) -> None:
    till.window(100, used=10)
    budget.answered(Call.CANCEL, REFUSED, asked=False)
    assert 0 < budget.held(Call.CANCEL) <= PROBE_SECONDS
    for _ in range(3):
        manual_clock.advance(PROBE_SECONDS)
        assert budget.held(Call.CANCEL) == 0
        assert 0 < budget.held(Call.CANCEL) <= PROBE_SECONDS
        assert budget.held(Call.SUBMIT) > 5


def test_no_reckoning_ever_holds_a_cancel_back(till: Till, budget: ApiBudget) -> None:
    till.window(10, used=10)
    assert budget.take(Call.LOOK_UP) > 0
    assert budget.held(Call.CANCEL) == 0


@pytest.mark.parametrize(
    ("role", "call", "counts_as"),
    [
        (AS_KEEPER, Call.LOOK_UP, "sweep"),
        (AS_KEEPER, Call.ACCOUNT, "account"),
        (AS_PERSON, Call.ACCOUNT, "other"),
        (AS_PERSON, Call.READ, "other"),
        (AS_PERSON, Call.LOOK_UP, "look_up"),
    ],
)
def test_what_a_call_counts_as_depends_on_who_makes_it(
    till: Till, role: dict[Call, Call], call: Call, counts_as: str
) -> None:
    ApiBudget(till.client, ACCOUNT, who="w", role=role).take(call)
    assert till.counter(f"api_calls_total:{counts_as}") == 1


# ---- without Redis


def test_without_redis_cancels_and_orders_go_and_reads_have_a_small_allowance(
    budget: ApiBudget, wire: Counted, manual_clock: ManualClock
) -> None:
    wire.cut = True
    assert budget.held(Call.CANCEL) == budget.held(Call.SUBMIT) == 0
    assert [budget.take(Call.LOOK_UP) for _ in range(ALONE_CALLS)] == [0.0] * ALONE_CALLS
    assert 0 < budget.take(Call.LOOK_UP) <= 60
    assert budget.held(Call.CANCEL) == 0
    manual_clock.advance(60)
    assert budget.take(Call.LOOK_UP) == 0


def test_a_redis_that_is_away_is_asked_again_only_after_a_while(
    budget: ApiBudget, wire: Counted, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stealer.budget")
    wire.cut = True
    for _ in range(5):
        budget.take(Call.LOOK_UP)
        budget.answered(Call.CANCEL, answer(50), asked=False)
    assert len(wire.calls) == 1
    manual_clock.advance(AWAY_SECONDS)
    budget.take(Call.LOOK_UP)
    wire.cut = False
    manual_clock.advance(AWAY_SECONDS)
    budget.take(Call.LOOK_UP)
    assert len(wire.calls) == 3
    assert [record.message.split(":")[1] for record in caplog.records] == [
        " not shared for now, this process goes on alone",
        " shared again",
    ]


def test_a_429_met_without_redis_holds_here_and_is_told_when_redis_is_back(
    till: Till, budget: ApiBudget, wire: Counted, manual_clock: ManualClock
) -> None:
    till.window(100, used=10)
    wire.cut = True
    budget.take(Call.LOOK_UP)
    budget.answered(Call.LOOK_UP, REFUSED, asked=True)
    assert 11 < budget.take(Call.LOOK_UP) <= 12
    assert budget.held(Call.SUBMIT) > 11
    wire.cut = False
    manual_clock.advance(AWAY_SECONDS)
    assert 6 < budget.take(Call.LOOK_UP) <= 7
    assert till.ask("take", "look_up").answer == "wait"


def test_a_429_without_headers_holds_for_a_moment(
    budget: ApiBudget, wire: Counted, manual_clock: ManualClock
) -> None:
    wire.cut = True
    budget.answered(Call.SUBMIT, answer(status=429), asked=False)
    assert budget.held(Call.SUBMIT) == UNSTATED_HOLD_SECONDS
    manual_clock.advance(UNSTATED_HOLD_SECONDS)
    assert budget.held(Call.SUBMIT) == 0


def test_a_server_that_hangs_holds_a_call_no_longer_than_its_time_limit() -> None:
    nobody = redis.Redis(port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))
    budget = ApiBudget(nobody, ACCOUNT, who="w")
    assert budget.take(Call.LOOK_UP) == 0
    budget.answered(Call.CANCEL, answer(50), asked=False)
    nobody.close()


# ---- what is said


def test_a_wait_is_said_once_and_so_is_its_end(
    till: Till, budget: ApiBudget, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stealer.budget")
    till.window(10, used=10)
    for _ in range(3):
        assert budget.take(Call.READ) > 0
    till.window(10)
    for _ in range(3):
        assert budget.take(Call.READ) == 0
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("api budget: read calls wait, asked again in 30.0 s; 0 of 10 left")
    assert said[1] == "api budget: read calls go on"
