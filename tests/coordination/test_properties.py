"""Random histories against the oracle: on fakeredis with injected time, and on a real server."""

from __future__ import annotations

import time

import fakeredis
import pytest
import redis
from fakeredis import _helpers
from fakeredis._socket import _base
from fakeredis.commands_mixins import server_mixin
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from stealer.embedded import EmbeddedServer
from tests.coordination.feeds import STEPS
from tests.coordination.machine import Desks

START_MS = 1_704_300_000_000


def profile(examples: int, steps: int) -> settings:
    """A quick run, or with ``--hypothesis-profile=deep`` twenty times as many, twice as long."""
    deep = settings.get_current_profile_name() == "deep"
    return settings(
        settings.default,
        max_examples=examples * 20 if deep else examples,
        stateful_step_count=steps * 2 if deep else steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class InjectedTime:
    """Stands where fakeredis' modules look for ``time``: a clock that only a test moves."""

    def __init__(self) -> None:
        self.ms = START_MS

    def time(self) -> float:
        return self.ms / 1000

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.fixture
def injected_time(monkeypatch: pytest.MonkeyPatch) -> InjectedTime:
    """TIME and every expiry of fakeredis by one clock."""
    clock = InjectedTime()
    for module in (_helpers, _base, server_mixin):
        monkeypatch.setattr(module, "time", clock)
    return clock


class TimedDesks(Desks):
    """On fakeredis, where time moves when told."""

    lag = 2_000

    def __init__(self, moved: InjectedTime) -> None:
        self.moved = moved
        moved.ms = START_MS
        server = fakeredis.FakeServer()
        super().__init__(fakeredis.FakeRedis(server=server, decode_responses=True))

    def set_clock(self) -> None:
        assert self.clock() == START_MS

    def read_order(self) -> None:
        for claim_id, at in self.client.zrange(self.keys.heirless, 0, -1, withscores=True):
            assert self.oracle.claims[claim_id].evicted_at == int(at)

    def let_fills_settle(self) -> None:
        self.tick(self.lag + 1, False)

    @rule(step=st.sampled_from(STEPS), fresh=st.booleans())
    def tick(self, step: int, fresh: bool) -> None:
        """Time passes; with *fresh*, under a keeper that goes on publishing."""
        self.moved.ms += step
        self.oracle.now = self.moved.ms
        if fresh:
            self.snapshot(1_000, 100, True)
            for symbol, (price, _) in list(self.oracle.quotes.items()):
                self.quote(symbol, str(float(price)))


@pytest.mark.timeout(7200)
def test_random_histories_agree_with_the_oracle(injected_time: InjectedTime) -> None:
    run_state_machine_as_test(lambda: TimedDesks(injected_time), settings=profile(100, 40))  # type: ignore[arg-type]


@pytest.mark.timeout(7200)
@pytest.mark.real_server
def test_random_histories_agree_with_the_oracle_on_a_real_server(
    redis_server: EmbeddedServer,
) -> None:
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        run_state_machine_as_test(lambda: Desks(client), settings=profile(25, 40))  # type: ignore[arg-type]
