"""Keys, rate limit, faults, market data and control, over HTTP."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestQuoteRequest,
    StockBarsRequest,
    StockLatestQuoteRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from stealer.simulated_alpaca import MarketClock, ServerConfig, ServerThread
from tests.simulated_alpaca.bench import Bench, eventually
from tests.simulated_alpaca.conftest import Server

ORDER = {
    "symbol": "ETH/USD",
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "qty": "1",
    "limit_price": "1500",
    "client_order_id": "one",
}


@pytest.mark.parametrize(
    "headers", [{}, {"APCA-API-KEY-ID": "key"}, {"APCA-API-KEY-ID": "", "APCA-API-SECRET-KEY": ""}]
)
def test_missing_keys_are_refused(server: Server, headers: dict[str, str]) -> None:
    for path in ("/v2/account", "/v2/stocks/quotes/latest?symbols=AAPL"):
        answer = server.call("GET", path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, 40110000)


def test_fixed_keys_are_compared() -> None:
    with ServerThread(Bench().world(), ServerConfig(key="k", secret="s")) as thread:
        right = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
        url = thread.url + "/v2/account"
        assert requests.get(url, headers=right, timeout=5).status_code == 200
        wrong = right | {"APCA-API-SECRET-KEY": "x"}
        assert requests.get(url, headers=wrong, timeout=5).status_code == 401


@pytest.mark.parametrize("server_config", [ServerConfig(rate_limit=3)])
def test_the_rate_limit_counts_down_and_refuses(server: Server) -> None:
    def past_the_minute() -> bool:
        return time.time() % 60 < 55

    eventually(past_the_minute)
    answers = [server.call("GET", "/v2/clock") for _ in range(4)]
    assert [a.headers["X-RateLimit-Remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert answers[3].json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert answers[3].headers["X-RateLimit-Limit"] == "3"
    assert 0 < int(answers[3].headers["X-RateLimit-Reset"]) - time.time() < 61
    assert server.call("GET", "/sim/report").status_code == 200


def test_unknown_paths_answer_in_json(server: Server) -> None:
    answer = server.call("GET", "/v2/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, 40410000)


@pytest.mark.parametrize("status", [500, 403])
def test_a_status_fault_is_used_as_often_as_asked(server: Server, status: int) -> None:
    server.fault(kind="status", status=status, path="/v2/account", times=2)
    assert [server.call("GET", "/v2/account").status_code for _ in range(3)] == [
        status,
        status,
        200,
    ]


def test_an_html_fault_breaks_the_clients_error_body(server: Server) -> None:
    server.fault(kind="html", path="/v2/account")
    with pytest.raises(APIError) as error:
        server.trading.get_account()
    assert error.value.status_code == 502


def test_a_latency_fault_delays_only_what_it_names(server: Server) -> None:
    server.fault(kind="latency", seconds=0.3, path="/v2/orders", method="POST")
    assert server.call("GET", "/v2/orders").elapsed.total_seconds() < 0.3
    assert server.call("POST", "/v2/orders", json=ORDER).elapsed.total_seconds() >= 0.3


def test_a_dropped_reply_leaves_the_order_behind(server: Server) -> None:
    server.fault(kind="drop_reply", path="/v2/orders", method="POST")
    with pytest.raises(requests.exceptions.ConnectionError):
        server.call("POST", "/v2/orders", json=ORDER)
    assert server.trading.get_order_by_client_id("one")


def test_a_hang_never_reaches_the_engine(server: Server) -> None:
    server.fault(kind="hang", path="/v2/orders", method="POST")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(server.url + "/v2/orders", json=ORDER, headers=server.headers, timeout=0.3)
    assert server.trading.get_orders() == []


def test_a_stuck_cancel_stays_pending(server: Server) -> None:
    server.fault(kind="stuck_cancel", seconds=3600)
    order_id = server.call("POST", "/v2/orders", json=ORDER).json()["id"]
    server.trading.cancel_order_by_id(order_id)
    fills = server.report()["cancels"]
    assert server.trading.get_order_by_id(order_id).status == "pending_cancel"
    assert fills == 0


def test_a_reject_fault_refuses_after_accepting(server: Server) -> None:
    server.fault(kind="reject")
    order_id = server.call("POST", "/v2/orders", json=ORDER).json()["id"]
    eventually(lambda: server.trading.get_order_by_id(order_id).status == "rejected")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "meteor"},
        {"kind": "latency", "seconds": "1"},
        {"kind": "hang", "speed": 1},
        [1],
        {"kind": "status", "times": True},
        {"kind": "latency", "seconds": -1},
        {"kind": "rare_status", "state": "filled"},
        {"kind": "reject", "state": "held"},
    ],
)
def test_a_malformed_fault_is_refused_with_a_reason(server: Server, fault: Any) -> None:
    answer = server.call("POST", "/sim/faults", json=fault)
    assert answer.status_code == 422
    assert answer.json()["message"]


def test_faults_are_listed_and_cleared(server: Server) -> None:
    server.fault(kind="hang", path="/v2/account", times=0)
    [fault] = server.call("GET", "/sim/faults").json()["faults"]
    assert (fault["kind"], fault["times"]) == ("hang", 0)
    assert server.call("DELETE", "/sim/faults").json() == {"faults": []}
    assert server.trading.get_account()


def test_quotes_reach_both_data_clients(server: Server) -> None:
    server.pin("ETH/USD", 1234.5)
    crypto = server.crypto.get_crypto_latest_quote(
        CryptoLatestQuoteRequest(symbol_or_symbols=["ETH/USD", "BTC/USD"])
    )
    assert (crypto["ETH/USD"].bid_price, crypto["BTC/USD"].ask_price) == (1234.5, 50_000.0)
    stocks = server.stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))
    assert stocks["AAPL"].ask_price == 200.0
    assert abs(stocks["AAPL"].timestamp.timestamp() - 1704484800) < 60
    server.pin("ETH/USD", None)
    assert (
        server.crypto.get_crypto_latest_quote(
            CryptoLatestQuoteRequest(symbol_or_symbols="ETH/USD")
        )["ETH/USD"].bid_price
        == 2000.0
    )


def test_bars_are_paged_and_end_before_the_present(server: Server) -> None:
    start = datetime(2024, 1, 5, 18, tzinfo=UTC)
    bars = server.crypto.get_crypto_bars(
        CryptoBarsRequest(
            symbol_or_symbols=["BTC/USD", "ETH/USD"],
            start=start,
            timeframe=TimeFrame(5, TimeFrameUnit.Minute),
        )
    )
    assert [len(bars[symbol]) for symbol in ("BTC/USD", "ETH/USD")] == [24, 24]
    query = "symbols=BTC/USD,ETH/USD&timeframe=5Min&start=2024-01-05T18:00:00Z&limit=10"
    seen: list[tuple[str, str]] = []
    token: str | None = ""
    while token is not None:
        page = server.call("GET", f"/v1beta3/crypto/us/bars?{query}&page_token={token}").json()
        seen += [(symbol, bar["t"]) for symbol, found in page["bars"].items() for bar in found]
        token = page["next_page_token"]
    assert len(seen) == len(set(seen)) == 48
    assert max(when for _, when in seen) == "2024-01-05T19:55:00Z"
    days = server.stocks.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols="AAPL",
            start=datetime(2024, 1, 3, tzinfo=UTC),
            timeframe=TimeFrame.Day,
        )
    )
    assert [bar.timestamp.isoformat() for bar in days["AAPL"]] == [
        "2024-01-03T05:00:00+00:00",
        "2024-01-04T05:00:00+00:00",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "symbols=BTC/USD&timeframe=7Weeks",
        "timeframe=1Min",
        "symbols=BTC/USD&timeframe=1Min&limit=x",
        "symbols=BTC/USD&timeframe=1Min&start=x",
        "symbols=BTC/USD&timeframe=1Min&page_token=x",
        "symbols=AAPL&timeframe=1Min",
    ],
)
def test_a_malformed_data_request_is_refused(server: Server, query: str) -> None:
    assert server.call("GET", f"/v1beta3/crypto/us/bars?{query}").status_code == 400


def test_the_log_tells_the_life_of_an_order(server: Server) -> None:
    order_id = server.call("POST", "/v2/orders", json=ORDER).json()["id"]
    server.trading.cancel_order_by_id(order_id)
    eventually(lambda: server.report()["cancels"])
    events = server.call("GET", "/sim/log").json()["events"]
    assert [e["event"] for e in events] == ["pending_new", "new", "pending_cancel", "canceled"]
    assert {e["order"]["id"] for e in events} == {order_id}
    later = server.call("GET", f"/sim/log?after={events[1]['sequence']}").json()["events"]
    assert later == events[2:]


def test_cash_and_clock_can_be_controlled_and_read(server: Server) -> None:
    server.call("POST", "/sim/equity", json={"cash_delta": -40_000.5}).raise_for_status()
    assert server.trading.get_account().cash == "59999.5"
    text = server.call("GET", "/sim/clock").json()["clock"]
    clock = server.trading.get_clock()
    assert abs(MarketClock.parse(text).now().timestamp() - clock.timestamp.timestamp()) < 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"symbol": "NOPE", "price": 1},
        [],
        {"symbol": "ETH/USD", "price": -1},
        {"symbol": "ETH/USD", "price": "1"},
    ],
)
def test_a_malformed_pin_is_refused(server: Server, body: Any) -> None:
    assert server.call("POST", "/sim/price", json=body).status_code == 422
