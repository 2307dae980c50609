"""A scripted broker, and the edge pointed at it with short timeouts and a recorded sleep."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.retries import ReadRetries
from stealer.broker.transport import Timeouts
from stealer.evidence import NewOrder

from .scripted_server import ScriptedServer

KEY, SECRET = "PKTESTKEYTESTKEY", "secretsecretsecretsecret"
CRYPTO = frozenset({"BTCUSD", "ETHUSD", "UNIUSD"})
ORDER_ID = "11111111-2222-4333-8444-555555555555"

#: A fixed "now" for the edge, unix seconds.
NOW = 1_800_000_000.0


def new_order(**changes: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "client_order_id": "ws-1",
        "symbol": "BTCUSD",
        "side": "buy",
        "qty": Decimal("0.1"),
        "limit_price": Decimal(60000),
        "is_crypto": True,
    }
    return NewOrder(**(fields | changes))


def order_json(**changes: Any) -> dict[str, Any]:
    """An order as Alpaca writes it."""
    fields: dict[str, Any] = {
        "id": ORDER_ID,
        "client_order_id": "ws-1",
        "created_at": "2026-05-01T12:00:00.123456789Z",
        "submitted_at": "2026-05-01T12:00:00.123456789Z",
        "asset_class": "crypto",
        "symbol": "BTC/USD",
        "qty": "0.1",
        "notional": None,
        "filled_qty": "0",
        "filled_avg_price": None,
        "order_class": "",
        "type": "limit",
        "side": "buy",
        "time_in_force": "gtc",
        "limit_price": "60000",
        "status": "pending_new",
        "replaced_by": None,
        "legs": None,
    }
    return fields | changes


def account_json(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "equity": "10000.5",
        "last_equity": "9900",
        "cash": "5000",
        "buying_power": "15000.25",
        "non_marginable_buying_power": "4800",
        "multiplier": "2",
        "status": "ACTIVE",
        "trading_blocked": False,
        "account_blocked": False,
    }
    return fields | changes


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture
def sleeps() -> list[float]:
    """Every wait of the edge, seconds; none of them is really waited."""
    return []


@pytest.fixture
def broker(server: ScriptedServer, sleeps: list[float]) -> Iterator[AlpacaBroker]:
    edge = make_broker(server.url, sleeps)
    yield edge
    edge.close()


def make_broker(url: str, sleeps: list[float], **changes: Any) -> AlpacaBroker:
    options: dict[str, Any] = {
        "crypto_symbols": CRYPTO,
        "trading_url": url,
        "timeouts": Timeouts(connect=0.5, read=0.4),
        "retries": ReadRetries(),
        "sleep": sleeps.append,
        "now": lambda: NOW,
    }
    return AlpacaBroker(KEY, SECRET, **(options | changes))
