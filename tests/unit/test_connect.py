"""Connections: whoever asks for short bounds gets them, whatever lies between."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from stealer.connect import CONNECT_SECONDS, connect, connect_broker
from stealer.settings import Settings

BOUND = 0.2


@pytest.fixture
def mute() -> Iterator[str]:
    """HOST:PORT of somebody who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("url", ["redis://{}/0", "redis+sentinel://{}/mymaster"])
def test_a_mute_server_is_given_up_within_the_bounds_that_were_asked_for(
    mute: str, url: str
) -> None:
    settings = Settings(redis_url=url.format(mute))
    client = connect(settings, answer_seconds=BOUND, connect_seconds=BOUND, repeats=0)
    began = time.monotonic()

    with pytest.raises(redis.RedisError):
        client.ping()

    assert time.monotonic() - began < CONNECT_SECONDS / 2


def test_no_answer_of_the_broker_is_waited_for_longer_than_the_quarantine_counts_on() -> None:
    usual = Settings(alpaca_key_id="k", alpaca_secret_key="s")
    short = replace(usual, trust_seconds=10, account_stale_seconds=17, quarantine_seconds=30)
    assert connect_broker(short)._client._timeouts.read == short.http_budget_seconds == 3.0
    long = replace(usual, quarantine_seconds=300)
    assert connect_broker(long)._client._timeouts.read == 10.0
