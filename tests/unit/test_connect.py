"""Connections: whoever asks for short bounds gets them, whatever lies between."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import redis

from stealer.connect import CONNECT_SECONDS, connect
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
