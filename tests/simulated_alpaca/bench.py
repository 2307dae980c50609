"""What the tests of the simulated Alpaca share: a market to steer and an engine to step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from stealer.simulated_alpaca.clock import MarketClock, parse_instant
from stealer.simulated_alpaca.exchange import Exchange, ExchangeConfig
from stealer.simulated_alpaca.orders import Order
from stealer.simulated_alpaca.prices import Span
from stealer.simulated_alpaca.world import World

FRIDAY_AFTERNOON = "2024-01-05T20:00:00Z"
SATURDAY = "2024-01-06T15:00:00Z"
#: Real seconds at which every bench starts.
EPOCH = 1_000_000.0
POLL_DEADLINE_SECONDS = 10.0


@dataclass
class FlatMarket:
    """Prices that stay where they are put."""

    prices: dict[str, float] = field(
        default_factory=lambda: {
            "AAPL": 200.0,
            "BTC/USD": 50_000.0,
            "ETH/USD": 2_000.0,
            "TSLA": 100.0,
        }
    )

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.prices)

    def first(self, symbol: str) -> float:
        return parse_instant("2024-01-01T00:00:00Z")

    def price(self, symbol: str, when: float) -> float | None:
        return self.prices[symbol]

    def span(self, symbol: str, start: float, end: float) -> Span | None:
        price = self.prices[symbol]
        return Span(price, price, price, price, 1.0)


PLAIN: dict[str, Any] = {
    "accept_latency": 0.0,
    "cancel_latency": 1.0,
    "release_latency": 0.0,
    "partial_probability": 0.0,
    "spread_bps": Decimal(0),
}


class Bench:
    """An engine with a virtual clock; ``real`` is moved by `wait`."""

    def __init__(
        self,
        start: str = FRIDAY_AFTERNOON,
        speed: float = 1.0,
        market: FlatMarket | None = None,
        **config: Any,
    ) -> None:
        self.real = EPOCH
        self.market = market or FlatMarket()
        self.clock = MarketClock.starting(parse_instant(start), speed, real=EPOCH)
        settings = ExchangeConfig(**(PLAIN | config))
        self.exchange = Exchange(settings, self.market, self.clock, EPOCH)

    def world(self) -> World:
        return World(self.exchange, lambda: self.real)

    def wait(self, seconds: float) -> None:
        self.real += seconds
        self.exchange.advance(self.real)

    def submit(self, symbol: str, side: str, qty: Any, limit: Any = None, **more: Any) -> Order:
        body = {
            "symbol": symbol,
            "side": side,
            "qty": str(qty),
            "type": "market" if limit is None else "limit",
            "time_in_force": "gtc" if "/" in symbol else "day",
        } | more
        if limit is not None:
            body["limit_price"] = str(limit)
        return self.exchange.submit(self.real, body)

    def move(self, symbol: str, price: float) -> None:
        self.market.prices[symbol] = price
        self.wait(0.01)

    def events(self) -> list[str]:
        return [event.name for event in self.exchange.events.latest]


def eventually(check: Callable[[], Any]) -> Any:
    """Poll until ``check`` gives something true, and return it."""
    deadline = time.monotonic() + POLL_DEADLINE_SECONDS
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
