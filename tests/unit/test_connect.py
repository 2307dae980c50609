"""Connections: whoever asks for short bounds gets them, whatever lies between."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from stealer.cli.app import main
from stealer.connect import CONNECT_SECONDS, connect, connect_broker
from stealer.embedded import EmbeddedServer
from stealer.errors import LedgerMisconfigured, LedgerUnavailable
from stealer.ledger import Ledger
from stealer.settings import Settings, SettingsError
from tests.conftest import FAST

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


@pytest.mark.real_server
def test_redis_on_a_socket_of_this_host(redis_server: EmbeddedServer) -> None:
    # Not in tmp_path: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory() as short:
        path = Path(short, "redis.sock")
        with EmbeddedServer.start(Path(short, "data"), extra=(*FAST, "--unixsocket", str(path))):
            with connect(Settings(redis_url=f"unix://{path}"), name="by a socket") as client:
                client.set("here", 1)
                assert client.client_info()["name"] == "by-a-socket"
            with connect(Settings(redis_url=f"unix://{path}?db=3")) as third:
                assert third.client_info()["db"] == 3
                assert third.get("here") is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://h/0?foo=1", "may follow"),
        ("redis://h/0?timeout=1", "may follow"),
        ("redis://h/0?socket_timeout=nan", "may follow"),
        ("redis://h/0?socket_timeout=-1", "may follow"),
        ("redis://h/0?encoding=nope", "may follow"),
        ("redis://h/0?retry=1", "may follow"),
        ("redis://h/0?ssl_cert_reqs=none", "may follow"),
        ("rediss://h/0?ssl_cert_reqs=none", "may follow"),
        ("redis://h/0?db=1&db=2", "may follow"),
        ("redis://h/0#tail", "may follow"),
        ("redis+sentinel://h/mymaster/0?db=1", "may follow"),
        ("redis://h/abc", "whole number"),
        ("redis://h/-1", "whole number"),
        ("redis://h/1/2", "whole number"),
        ("redis://h?db=x", "whole number"),
        ("unix:///run/redis.sock?db=", "whole number"),
        ("redis://h/1?db=2", "twice"),
        ("unix://run/redis.sock", "whole path"),
        ("redis://a..b/0", "no host"),
        ("redis://a%00b/0", "control character"),
        ("unix:///a%00b", "control character"),
        ("unix:/run/redis.sock", "unix://"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_setting_to_mend(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"REDIS_URL.*{why}") as refused:
        connect(Settings(redis_url=url))
    assert isinstance(refused.value, LedgerMisconfigured)


@pytest.mark.parametrize("command", ["status", "keeper", "halt"])
def test_an_address_that_cannot_be_used_ends_in_a_sentence_that_hides_its_password(
    command: str,
) -> None:
    env = {"REDIS_URL": "redis://me:hunter2@h/0?socket_timeout=hunter2"}
    result = CliRunner().invoke(main, [command], env=env)
    assert result.exit_code == 2, result.output
    assert "REDIS_URL" in result.stderr
    assert "hunter2" not in result.output


def test_sentinels_that_do_not_answer_are_said_in_a_sentence() -> None:
    settings = Settings(redis_url="redis+sentinel://127.0.0.1:1/mymaster")
    with connect(settings, repeats=0) as client, pytest.raises(LedgerUnavailable) as away:
        Ledger(client, settings).server()
    assert str(away.value) == (
        "Redis cannot be reached (no Sentinel names a master of 'mymaster'); "
        "are the Sentinels running, REDIS_URL right?"
    )


@pytest.mark.parametrize("url", ["redis://h", "redis://h/", "redis://h/2", "redis://h?db=2"])
def test_a_database_may_be_named_in_the_path_or_behind_it(url: str) -> None:
    found = connect(Settings(redis_url=url)).get_connection_kwargs().get("db", 0)
    assert found == (2 if "2" in url else 0)
