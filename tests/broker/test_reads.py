"""Reads: whole answers or clear errors, bounded repetition; quotes, assets and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from stealer.broker import interface
from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.retries import ReadRetries
from stealer.evidence import Asset

from .conftest import NOW, ORDER_ID, account_json, make_broker
from .scripted_server import Reply, ScriptedServer, Seen, free_port

ORDERS, POSITIONS, ACCOUNT = "GET /v2/orders", "GET /v2/positions", "GET /v2/account"
HTML = "<html><body>maintenance</body></html>"

READS: dict[str, tuple[str, Callable[[AlpacaBroker], object]]] = {
    "open_orders": (ORDERS, lambda broker: broker.open_orders()),
    "positions": (POSITIONS, lambda broker: broker.positions()),
    "account": (ACCOUNT, lambda broker: broker.account()),
    "clock": ("GET /v2/clock", lambda broker: broker.clock()),
    "asset": ("GET /v2/assets/AAPL", lambda broker: broker.asset("AAPL")),
    "by_client_id": (
        "GET /v2/orders:by_client_order_id",
        lambda broker: broker.order_by_client_id("ws-1"),
    ),
    "by_id": (f"GET /v2/orders/{ORDER_ID}", lambda broker: broker.order_by_id(ORDER_ID)),
    "crypto quotes": (
        "GET /v1beta3/crypto/us/latest/quotes",
        lambda broker: broker.quotes(["BTCUSD"]),
    ),
    "stock quotes": ("GET /v2/stocks/quotes/latest", lambda broker: broker.quotes(["AAPL"])),
}


@pytest.fixture(params=READS)
def read(request: pytest.FixtureRequest) -> tuple[str, Callable[[AlpacaBroker], object]]:
    return READS[request.param]


UNTRUSTWORTHY = {
    "500": Reply(500, {"message": "internal"}),
    "504": Reply(504, HTML),
    "html": Reply(200, HTML),
    "empty": Reply(200, ""),
    "redirect": Reply(302, "", {"Location": "/elsewhere"}),
    "403 html": Reply(403, HTML),
    "404 html": Reply(404, HTML),
    "404 without code": Reply(404, {"message": "endpoint not found."}),
    "drop": Reply(drop=True),
    "cut": Reply(200, account_json(), cut=True),
}


@pytest.mark.parametrize("name", UNTRUSTWORTHY)
def test_no_trustworthy_answer_is_unavailable_never_empty(
    server: ScriptedServer,
    broker: AlpacaBroker,
    sleeps: list[float],
    name: str,
    read: tuple[str, Callable[[AlpacaBroker], object]],
) -> None:
    route, call = read
    server.on(route, UNTRUSTWORTHY[name])
    with pytest.raises(interface.BrokerUnavailable):
        call(broker)
    # alpaca-py alone would have made 4 requests out of each attempt answered by 504
    assert server.count(route) in (1, 4)
    assert len(sleeps) == server.count(route) - 1


@pytest.mark.parametrize("body", ["3", '"text"', "[3]", '{"a": 1}', "[null]", '[{"id": 5}]'])
def test_json_of_the_wrong_shape_is_a_clear_error(
    server: ScriptedServer,
    broker: AlpacaBroker,
    read: tuple[str, Callable[[AlpacaBroker], object]],
    body: str,
) -> None:
    route, call = read
    server.on(route, Reply(200, body))
    with pytest.raises(interface.BrokerUnavailable):
        call(broker)


def test_a_hanging_broker_is_left_after_the_read_timeout(
    server: ScriptedServer, sleeps: list[float]
) -> None:
    server.on(ACCOUNT, Reply(hang=True))
    edge = make_broker(server.url, sleeps, retries=ReadRetries(attempts=1))
    started = time.monotonic()
    with pytest.raises(interface.BrokerUnavailable, match=r"read account: no answer within 0.4 s"):
        edge.account()
    assert time.monotonic() - started < 2


def test_a_refused_connection_says_so(sleeps: list[float]) -> None:
    edge = make_broker(f"http://127.0.0.1:{free_port()}", sleeps)
    with pytest.raises(interface.BrokerUnavailable, match="read account: Connection refused"):
        edge.account()
    assert len(sleeps) == 3


def test_a_read_recovers_when_the_broker_does(
    server: ScriptedServer, broker: AlpacaBroker, sleeps: list[float]
) -> None:
    bad = Reply(503, HTML)
    server.on(ACCOUNT, bad, Reply(drop=True), Reply(200, account_json()))
    assert broker.account().equity == Decimal("10000.5")
    assert server.count(ACCOUNT) == 3
    assert 0 <= sleeps[0] <= 0.25
    assert 0 <= sleeps[1] <= 0.5


def test_unusable_keys_are_not_tried_again(server: ScriptedServer, broker: AlpacaBroker) -> None:
    server.on(ACCOUNT, Reply(401, {"message": "unauthorized."}))
    with pytest.raises(interface.BrokerUnauthorized, match="paper keys work on the paper server"):
        broker.account()
    assert server.count(ACCOUNT) == 1


def test_a_refusal_keeps_the_brokers_code_and_words(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(ORDERS, Reply(422, {"code": 42210000, "message": "limit is invalid"}))
    with pytest.raises(interface.BrokerRefused) as caught:
        broker.open_orders()
    assert (caught.value.code, caught.value.message) == (42210000, "limit is invalid")
    assert server.count(ORDERS) == 1


def limited(reset: float) -> Reply:
    headers = {
        "X-RateLimit-Limit": "200",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": f"{reset:.0f}",
    }
    return Reply(429, {"message": "too many requests."}, headers)


def test_a_rate_limited_read_waits_for_the_stated_reset(
    server: ScriptedServer, broker: AlpacaBroker, sleeps: list[float]
) -> None:
    server.on(ACCOUNT, limited(NOW + 7), Reply(200, account_json()))
    broker.account()
    assert len(sleeps) == 1
    assert 7 <= sleeps[0] <= 7.5
    assert server.count(ACCOUNT) == 2


def test_a_reset_beyond_the_time_allowed_is_raised_at_once(
    server: ScriptedServer, broker: AlpacaBroker, sleeps: list[float]
) -> None:
    server.on(ACCOUNT, limited(NOW + 40))
    with pytest.raises(interface.BrokerRateLimited) as caught:
        broker.account()
    assert caught.value.reset_at == NOW + 40
    assert sleeps == []
    assert broker.budget == interface.RequestBudget(200, 0, NOW + 40)


def test_a_rate_limit_without_a_reset_backs_off(
    server: ScriptedServer, broker: AlpacaBroker, sleeps: list[float]
) -> None:
    server.on(ACCOUNT, Reply(429, HTML))
    with pytest.raises(interface.BrokerRateLimited) as caught:
        broker.account()
    assert caught.value.reset_at is None
    assert server.count(ACCOUNT) == 4


def test_only_alpacas_own_404_means_there_is_no_such_order(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    gone = Reply(404, {"code": 40410000, "message": "order not found for ws-1"})
    server.on("GET /v2/orders:by_client_order_id", gone)
    server.on(f"GET /v2/orders/{ORDER_ID}", gone)
    assert broker.order_by_client_id("ws-1") is None
    assert broker.order_by_id(ORDER_ID) is None
    assert len(server.seen) == 2


def test_an_id_that_is_none_is_refused_before_it_is_asked(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    with pytest.raises(interface.BrokerRefused, match="is not an order id"):
        broker.order_by_id("../account")
    assert server.seen == []


def test_an_unlisted_asset_is_not_found(server: ScriptedServer, broker: AlpacaBroker) -> None:
    server.on(
        "GET /v2/assets/ZZZZ", Reply(404, {"code": 40410000, "message": "asset not found for ZZZZ"})
    )
    with pytest.raises(interface.BrokerNotFound, match="asset not found for ZZZZ"):
        broker.asset("ZZZZ")


CRYPTO_QUOTES = "GET /v1beta3/crypto/us/latest/quotes"
STOCK_QUOTES = "GET /v2/stocks/quotes/latest"


def quote_json(bid: float, ask: float) -> dict[str, Any]:
    return {"bp": bid, "ap": ask, "bs": 1, "as": 1, "t": "2026-05-01T12:00:00.5Z"}


def test_quotes_ask_crypto_and_stocks_apart_and_answer_canonically(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(
        CRYPTO_QUOTES,
        Reply(200, {"quotes": {"BTC/USD": quote_json(59999.9, 60000.1)}}),
    )
    server.on(STOCK_QUOTES, Reply(200, {"quotes": {"AAPL": quote_json(190.01, 190.03)}}))
    quotes = broker.quotes(["AAPL", "BTC/USD", "BTCUSD", "ETHUSD"])
    assert set(quotes) == {"BTCUSD", "AAPL"}
    assert quotes["BTCUSD"].ask == Decimal("60000.1")
    assert quotes["AAPL"].at == datetime(2026, 5, 1, 12, 0, 0, 500_000, UTC).timestamp()
    assert [seen.query["symbols"] for seen in server.seen] == ["BTC/USD,ETH/USD", "AAPL"]


def test_no_symbols_no_requests(server: ScriptedServer, broker: AlpacaBroker) -> None:
    assert broker.quotes([]) == {}
    assert server.seen == []


def test_a_quote_without_one_side_is_no_quote(server: ScriptedServer, broker: AlpacaBroker) -> None:
    server.on(STOCK_QUOTES, Reply(200, {"quotes": {"AAPL": quote_json(190.01, 0)}}))
    assert broker.quotes(["AAPL"]) == {}


def test_a_symbol_the_broker_does_not_know_blinds_no_other(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    def answer(seen: Seen) -> Reply:
        if "ZZZZ" in seen.query["symbols"]:
            return Reply(400, {"message": "invalid symbol: ZZZZ"})
        return Reply(200, {"quotes": {"AAPL": quote_json(1, 2)}})

    server.on(STOCK_QUOTES, answer)
    assert set(broker.quotes(["AAPL", "ZZZZ"])) == {"AAPL"}
    assert broker.quotes(["ZZZZ"]) == {}


def test_many_symbols_are_asked_for_in_batches(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(STOCK_QUOTES, Reply(200, {"quotes": {}}))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    broker.quotes([first + second for first in letters for second in letters[:9]])
    assert [len(seen.query["symbols"].split(",")) for seen in server.seen] == [100, 100, 34]


def test_an_asset_with_all_that_decides_what_may_be_ordered(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    asset = {"symbol": "BTC/USD", "class": "crypto", "status": "active", "tradable": True}
    asset |= {"min_order_size": "0.0001", "price_increment": "0.01", "fractionable": True}
    asset |= {"min_trade_increment": "0.000000001", "shortable": False, "easy_to_borrow": False}
    server.on("GET /v2/assets/BTC%2FUSD", Reply(200, asset))

    assert broker.asset("BTCUSD") == Asset(
        "BTCUSD",
        is_crypto=True,
        tradable=True,
        fractionable=True,
        shortable=False,
        min_order_size=Decimal("0.0001"),
        min_trade_increment=Decimal("0.000000001"),
        price_increment=Decimal("0.01"),
        easy_to_borrow=False,
    )


@pytest.mark.parametrize("is_open", [True, False])
def test_the_exchanges_clock(server: ScriptedServer, broker: AlpacaBroker, is_open: bool) -> None:
    body = {
        "timestamp": "2026-05-01T08:00:00.123456789-04:00",
        "is_open": is_open,
        "next_open": "2026-05-01T09:30:00-04:00",
        "next_close": "2026-05-01T16:00:00-04:00",
    }
    server.on("GET /v2/clock", Reply(200, body))
    assert broker.market_is_open() is is_open
    assert broker.clock().next_open == datetime(2026, 5, 1, 13, 30, tzinfo=UTC).timestamp()
