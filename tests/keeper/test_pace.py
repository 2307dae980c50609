"""The keeper's pace follows what the API budget leaves it."""

from __future__ import annotations

import logging

import pytest
import redis

from stealer.broker.calls import Call
from stealer.budget import AS_KEEPER, ApiBudget
from stealer.keeper.keeper import Keeper
from stealer.keeper.pace import Pace, slowest
from tests.budget.conftest import ACCOUNT, Till
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

#: Seconds between passes that are asked for, and the longest.
WANTED, LONGEST = 2.0, 6.0


@pytest.fixture
def till(redis_client: redis.Redis) -> Till:
    return Till(redis_client)


@pytest.fixture
def budget(till: Till, manual_clock: ManualClock) -> ApiBudget:
    return ApiBudget(
        till.client, ACCOUNT, who="keeper", role=AS_KEEPER, monotonic=manual_clock.time
    )


@pytest.fixture
def pace(budget: ApiBudget, manual_clock: ManualClock) -> Pace:
    return Pace(budget, LONGEST, manual_clock.time)


def one_pass(budget: ApiBudget) -> None:
    for _ in range(3):
        budget.take(Call.ACCOUNT)


def test_with_room_it_reads_as_often_as_it_was_told(
    till: Till, budget: ApiBudget, pace: Pace
) -> None:
    till.window(200, ends_in=60)
    assert pace(WANTED) == WANTED, "nothing was read yet"
    one_pass(budget)
    assert pace(WANTED) == WANTED


def test_what_others_use_slows_it_down_and_what_is_left_lasts_to_the_end(
    till: Till, budget: ApiBudget, pace: Pace
) -> None:
    """At 30 s it may not use the last 15 %: 72 - 3 - 30 of 200 are left to it, for 3 a pass."""
    till.window(200, used=128, ends_in=30)
    one_pass(budget)
    seconds = pace(WANTED)
    assert abs(seconds - 30 * 3 / 39) < 0.1
    assert 30 / seconds * 3 <= 39.5


def test_it_never_gets_slower_than_the_accounts_age_allows(
    till: Till, budget: ApiBudget, pace: Pace
) -> None:
    till.window(200, used=170, ends_in=50)
    one_pass(budget)
    assert pace(WANTED) == LONGEST


def test_without_a_limit_it_is_not_slowed(till: Till, budget: ApiBudget, pace: Pace) -> None:
    till.window(0, ends_in=50)
    one_pass(budget)
    assert pace(WANTED) == WANTED


def test_slowing_down_is_said_once(
    till: Till, budget: ApiBudget, pace: Pace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stealer.keeper.pace")
    for used in (170, 170, 10, 10):
        till.window(200, used=used, ends_in=50)
        one_pass(budget)
        pace(WANTED)
    said = [record.message for record in caplog.records if record.name.endswith("pace")]
    assert said == [
        "reads every 6.0 s: the API budget does not allow more",
        "reads every 2.0 s again",
    ]


def test_at_its_slowest_the_account_stays_fresh_and_the_lease_held() -> None:
    assert slowest(stale_seconds=15, lease_seconds=8) == 6.0
    assert slowest(stale_seconds=6, lease_seconds=100) == 3.0


def test_a_keeper_sleeps_as_long_as_its_pace_says(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        manual_clock.advance(seconds)

    keeper = Keeper(
        desk.coordinator,
        broker,
        lease_seconds=300,
        sleep=sleep,
        pause=lambda _: None,
        pace=lambda wanted: wanted + 3,
        monotonic=manual_clock.time,
    )
    keeper.keep(WANTED, lambda: len(slept) == 2)
    assert slept == [5.0, 5.0]
