"""What a fleet's parent reads for its children before it forks."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import redis
import requests

from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.settings import Settings
from stealer.simulated_alpaca.server import ServerThread
from watchers.shared_rules import PATIENCE_SECONDS, keep_rules


@pytest.fixture(scope="module")
def alpaca() -> Iterator[str]:
    with ServerThread() as server:
        yield server.url


def settings(redis_server: EmbeddedServer, alpaca_url: str, account: str) -> Settings:
    return Settings(
        redis_url=redis_server.url,
        account=account,
        alpaca_url=alpaca_url,
        alpaca_key_id="k",
        alpaca_secret_key="s",
    )


def requests_made(alpaca: str) -> int:
    answer = requests.get(f"{alpaca}/sim/requests", timeout=5).json()
    return int(sum(answer["requests"].values()))


def test_each_symbol_is_read_once_and_kept_for_all(
    redis_server: EmbeddedServer, alpaca: str
) -> None:
    ours = settings(redis_server, alpaca, "rules")
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    connections, before = len(client.client_list()), requests_made(alpaca)

    keep_rules(["BTCUSD", "AAPL", "BTCUSD"], ours)

    assert requests_made(alpaca) == before + 2
    assert len(client.client_list()) == connections, "a child would inherit it"
    ledger = WorkStealingCoordinator(client, ours)
    for symbol in ("BTCUSD", "AAPL"):
        asset, must_read = ledger.asset(symbol, 1.0)
        assert asset is not None
        assert (asset.symbol, must_read) == (symbol, False)
    keep_rules(["AAPL"], ours)
    assert requests_made(alpaca) == before + 2


def test_a_symbol_that_cannot_be_read_or_is_being_read_delays_no_other(
    redis_server: EmbeddedServer, alpaca: str
) -> None:
    ours = settings(redis_server, alpaca, "rules_odd")
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    ledger = WorkStealingCoordinator(client, ours)
    assert ledger.asset("MSFT", 60.0) == (None, True), "another fleet reads it"

    keep_rules(["NOSUCH", "MSFT", "AAPL"], ours)

    assert ledger.asset("AAPL", 1.0)[0] is not None
    assert ledger.asset("NOSUCH", 1.0) == (None, True), "who needs it need not wait"


def test_a_broker_that_hangs_delays_the_fleet_only_a_little(redis_server: EmbeddedServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ours = settings(redis_server, f"http://127.0.0.1:{mute.getsockname()[1]}", "rules_mute")
        began = time.monotonic()
        keep_rules(["BTCUSD", "ETHUSD", "AAPL"], ours)
        assert time.monotonic() - began < 3 * PATIENCE_SECONDS


def test_a_ledger_that_is_away_stops_nothing(alpaca: str) -> None:
    before = requests_made(alpaca)
    nowhere = Settings(
        redis_url="redis://127.0.0.1:1/0",
        alpaca_url=alpaca,
        alpaca_key_id="k",
        alpaca_secret_key="s",
    )
    keep_rules(["AAPL"], nowhere)
    assert requests_made(alpaca) == before
