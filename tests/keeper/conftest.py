"""A certified desk with an account at a broker, and a keeper that a test runs pass by pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from stealer.coordinator import WorkStealingCoordinator
from stealer.keeper.keeper import Keeper
from stealer.settings import Settings
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.keeper.streams_stage import CountingBroker, Stage
from tests.support import ManualClock


@pytest.fixture
def broker() -> AccountBroker:
    return AccountBroker()


@pytest.fixture
def desk(redis_client: redis.Redis) -> Iterator[Desk]:
    """In stock hours: 20,000 dollars in all, 10,000 of them for crypto."""
    desk = desk_on(redis_client).open_shop(equity=10_000)
    yield desk
    desk.assert_charges_equal_claims()


@pytest.fixture
def keeper(desk: Desk, broker: AccountBroker, manual_clock: ManualClock) -> Keeper:
    return keeper_of(desk, broker, manual_clock, "keeper-a")


@pytest.fixture
def stage(desk: Desk, manual_clock: ManualClock) -> Stage:
    stage = Stage(desk, CountingBroker(), manual_clock)
    stage.passes()
    stage.streams.connect()
    assert stage.passes() == 1, "a snapshot follows every connect"
    return stage


def desk_on(client: redis.Redis, **settings: Any) -> Desk:
    """A desk, not certified yet, whose keeper sees an ordinary trading morning."""
    clock = f"2024-01-05T15:00:00Z@{time.time()}*1"
    return Desk(client, Settings(market_clock=clock, **settings))


def keeper_of(desk: Desk, broker: AccountBroker, clock: ManualClock, owner: str) -> Keeper:
    """A keeper of the desk's account; its lease outlasts any test. Its pauses take no time:
    what a test waits for, it waits for by itself.
    """
    coordinator = WorkStealingCoordinator(desk.client, desk.settings, owner=owner)
    return Keeper(
        coordinator,
        broker,
        lease_seconds=300,
        sleep=lambda _: None,
        pause=lambda _: None,
        monotonic=clock.time,
    )
