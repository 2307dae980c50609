"""A server with a flat market, and the unchanged alpaca-py clients in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.trading.client import TradingClient

from stealer.simulated_alpaca import MarketClock, ServerConfig, ServerThread, make_world
from stealer.simulated_alpaca.clock import parse_instant
from stealer.simulated_alpaca.exchange import ExchangeConfig
from stealer.simulated_alpaca.server import steady_clock
from tests.simulated_alpaca.bench import FRIDAY_AFTERNOON, FlatMarket


class Server:
    """A running server and its clients."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.trading = TradingClient("key", "secret", url_override=url)
        self.crypto = CryptoHistoricalDataClient(url_override=url)
        self.stocks = StockHistoricalDataClient("key", "secret", url_override=url)
        self.headers = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        more.setdefault("headers", self.headers)
        return requests.request(method, self.url + path, timeout=10, **more)

    def pin(self, symbol: str, price: float | None) -> None:
        self.call("POST", "/sim/price", json={"symbol": symbol, "price": price}).raise_for_status()

    def fault(self, **fault: Any) -> None:
        self.call("POST", "/sim/faults", json=fault).raise_for_status()

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", "/sim/report").json()
        return found

    def close(self) -> None:
        for client in (self.trading, self.crypto, self.stocks):
            client._session.close()


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {
        "accept_latency": 0.0,
        "cancel_latency": 0.05,
        "release_latency": 0.0,
        "partial_probability": 0.0,
        "spread_bps": Decimal(0),
    }


@pytest.fixture
def server_config() -> ServerConfig:
    return ServerConfig(rate_limit=10_000)


@pytest.fixture
def server(exchange_options: dict[str, Any], server_config: ServerConfig) -> Iterator[Server]:
    """A server on Friday afternoon with a flat market, no spread, no luck."""
    now = steady_clock()
    clock = MarketClock.starting(parse_instant(FRIDAY_AFTERNOON), real=now())
    world = make_world(FlatMarket(), ExchangeConfig(**exchange_options), clock, now)
    with ServerThread(world, server_config) as thread:
        found = Server(thread.url)
        yield found
        found.close()
