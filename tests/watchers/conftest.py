"""A certified desk with a small broker, on fakeredis and on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.coordination.desk import Desk
from tests.support import ManualClock
from tests.watchers.bench import Bench
from tests.watchers.exit_bench import ExitBench
from tests.watchers.exit_broker import ExitBroker
from tests.watchers.fake_broker import FakeBroker


@pytest.fixture
def desk(redis_client: redis.Redis) -> Iterator[Desk]:
    """In stock hours: 20,000 dollars in all, 10,000 of them for crypto."""
    desk = Desk(redis_client).open_shop(equity=10_000)
    yield desk
    desk.assert_charges_equal_claims()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def bench(desk: Desk, broker: FakeBroker, manual_clock: ManualClock) -> Bench:
    return Bench(desk, broker, manual_clock)


@pytest.fixture
def exits(desk: Desk, manual_clock: ManualClock) -> Iterator[ExitBench]:
    """An exit and its entry; whatever a test did, the broker must have seen nothing wrong."""
    bench = ExitBench(desk, ExitBroker(), manual_clock)
    yield bench
    assert bench.broker.wrongs == []
