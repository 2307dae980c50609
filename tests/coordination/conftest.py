"""The desk: every test of this folder that asks for it runs on fakeredis and on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import settings

from tests.coordination.desk import Desk

# See test_properties.profile. Run as: pytest tests/coordination --hypothesis-profile=deep
settings.register_profile("deep")


@pytest.fixture
def desk(redis_client: redis.Redis) -> Iterator[Desk]:
    """A certified desk in stock hours: 20,000 dollars in all, 10,000 of them for crypto.

    Whatever a test did, the charges must be the sum over the claims when it ends.
    """
    desk = Desk(redis_client).open_shop(equity=10_000)
    yield desk
    desk.assert_charges_equal_claims()
