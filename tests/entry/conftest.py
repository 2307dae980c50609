"""A certified desk, a scripted broker, and Entries between them, on both kinds of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.coordination.desk import Desk
from tests.entry.scripted import ScriptedBroker
from tests.entry.stage import Stage
from tests.support import ManualClock


@pytest.fixture
def stage(
    redis_client: redis.Redis, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """In stock hours: 20,000 dollars in all, 10,000 of them for crypto."""
    desk = Desk(redis_client).open_shop(equity=10_000)
    stage = Stage(desk, ScriptedBroker(), manual_clock)
    monkeypatch.setattr(desk.coordinator, "wait", stage.wait)
    yield stage
    desk.assert_charges_equal_claims()
