"""The fixtures every other test stands on."""

from __future__ import annotations

import pytest
import redis

from tests.support import ManualClock

MOVE = "redis.call('INCR', KEYS[1]) return redis.call('GET', KEYS[1])"


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_server_that_runs_scripts(
    redis_client: redis.Redis, turn: int
) -> None:
    assert redis_client.dbsize() == 0
    assert redis_client.register_script(MOVE)(keys=["count"]) == "1"


def test_a_manual_clock_moves_only_forward_and_only_when_told(manual_clock: ManualClock) -> None:
    before = manual_clock.time()
    manual_clock.advance(1.5)
    assert manual_clock.time() == before + 1.5
    with pytest.raises(ValueError, match="backwards"):
        manual_clock.advance(-1)
