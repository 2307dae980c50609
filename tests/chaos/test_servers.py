"""The pair really loses writes at a forced failover, and clients are led to the new primary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from scripts.chaos_run.sentinel import direct
from scripts.chaos_run.servers import Pair
from scripts.chaos_run.wire import Wire
from stealer.connect import connect
from stealer.embedded import REDIS_CONF, EmbeddedServer
from stealer.settings import Settings

pytestmark = [pytest.mark.processes, pytest.mark.real_server]


@pytest.fixture
def pair(redis_server: EmbeddedServer, tmp_path: Path) -> Iterator[Pair]:
    wire = Wire(tmp_path / "proxy.log")
    pair = Pair(tmp_path, wire, "127.0.0.1")
    yield pair
    pair.close()
    wire.close()


def until(pair: Pair, what: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while True:
        pair.watch()
        try:
            if what():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < give_up, "not within 30 s"


def test_a_forced_failover_loses_what_the_replica_had_missed(pair: Pair) -> None:
    ours = REDIS_CONF.read_bytes()
    with direct(pair.primary().port) as client:
        client.set("kept", "1")
        assert client.wait(1, 5000) == 1
        pair.stop_replication(10)
        client.set("lost", "1")
    before = pair.primary()
    until(pair, pair.fail_over)  # Sentinel may not have looked at the replica yet
    until(pair, lambda: pair.primary() is not before)
    with direct(pair.primary().port) as client:
        until(pair, lambda: client.info("replication")["role"] == "master")
        assert (client.get("kept"), client.get("lost")) == ("1", None)
    assert REDIS_CONF.read_bytes() == ours, "Sentinel had the project's own file rewritten"


def test_sentinel_promotes_the_replica_of_a_killed_primary(pair: Pair) -> None:
    killed = pair.kill_primary()
    until(pair, lambda: pair.primary() is not killed)
    with direct(pair.primary().port) as client:
        until(pair, lambda: client.info("replication")["role"] == "master")
        assert client.set("a", "1")
    ours = connect(Settings(redis_url=pair.url))
    assert ours.get("a") == "1"
    ours.close()
