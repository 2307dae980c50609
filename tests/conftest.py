"""Fixtures for all tests: a server to talk to and a clock that moves only when told.

Tests never use REDIS_URL: they empty the server they talk to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fakeredis
import pytest
import redis

from stealer.embedded import EmbeddedServer, EmbeddedServerError, find_binary
from tests.support import ManualClock

#: No flush to disk: a killed server keeps its data without it, and tests cut no power.
FAST = ("--appendfsync", "no", "--loglevel", "warning")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A real server for all tests of this worker. A test that stops or kills it starts it again."""
    try:
        find_binary()
    except EmbeddedServerError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    directory: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedServer.start(directory, extra=FAST) as server:
        yield server


@pytest.fixture(
    params=["fakeredis", pytest.param("real", marks=pytest.mark.real_server)],
)
def redis_backend(request: pytest.FixtureRequest) -> str:
    """The kind of server a test runs against: each test that uses it runs on both."""
    return str(request.param)


@pytest.fixture
def redis_client(redis_backend: str, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client with `decode_responses` on an empty server with no scripts in its cache."""
    client: redis.Redis
    if redis_backend == "fakeredis":
        client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    else:
        server: EmbeddedServer = request.getfixturevalue("redis_server")
        client = redis.Redis.from_url(server.url, decode_responses=True)
        client.flushall()
        client.script_flush()
    with client:
        yield client


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock at noon of an ordinary trading day in New York."""
    return ManualClock(datetime(2024, 1, 3, 17, 0, tzinfo=UTC).timestamp())
