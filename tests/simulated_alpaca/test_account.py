"""Account activities in pages, and the history of the equity."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from alpaca.trading.enums import OrderStatus
from alpaca.trading.requests import GetPortfolioHistoryRequest

from stealer.simulated_alpaca.history import EquityHistory
from tests.simulated_alpaca.bench import Bench, eventually
from tests.simulated_alpaca.conftest import Server
from tests.simulated_alpaca.listening import trade_updates

ACTIVITIES = "/v2/account/activities"


def fill(server: Server, qty: str) -> str:
    order = {"symbol": "ETH/USD", "side": "buy", "type": "market", "time_in_force": "gtc"}
    order_id = str(server.call("POST", "/v2/orders", json=order | {"qty": qty}).json()["id"])
    eventually(lambda: server.trading.get_order_by_id(order_id).status == OrderStatus.FILLED)
    return order_id


def quantities(server: Server, query: str = "") -> list[str]:
    answer = server.call("GET", f"{ACTIVITIES}{query}")
    assert answer.status_code == 200, answer.text
    return [activity["qty"] for activity in answer.json()]


def test_fills_are_listed_newest_first_and_in_pages(server: Server) -> None:
    orders = [fill(server, str(n)) for n in (1, 2, 3, 4, 5)]
    newest = server.call("GET", f"{ACTIVITIES}/FILL").json()
    assert [activity["order_id"] for activity in newest] == orders[::-1]
    assert (newest[0]["type"], newest[0]["cum_qty"], newest[0]["leaves_qty"]) == ("fill", "5", "0")
    seen: list[str] = []
    token = ""
    while page := server.call("GET", f"{ACTIVITIES}?page_size=2&page_token={token}").json():
        assert len(page) <= 2
        seen += [activity["id"] for activity in page]
        token = page[-1]["id"]
    assert seen == [activity["id"] for activity in newest]
    assert seen == sorted(seen, reverse=True)


def test_activities_are_chosen_by_type_time_and_direction(server: Server) -> None:
    fill(server, "1")
    fill(server, "2")
    assert quantities(server, "?direction=asc") == ["1", "2"]
    assert quantities(server, "?activity_types=FILL,DIV") == ["2", "1"]
    assert quantities(server, "?activity_types=DIV") == quantities(server, "/CFEE") == []
    assert quantities(server, "?category=non_trade_activity") == []
    assert quantities(server, "?date=2024-01-05") == ["2", "1"]
    assert quantities(server, "?date=2024-01-04") == []
    assert quantities(server, "?after=2024-01-05T21:00:00Z") == []
    first = server.call("GET", f"{ACTIVITIES}?direction=asc").json()[0]["transaction_time"]
    assert quantities(server, f"?after={first}") == ["2"]
    assert quantities(server, f"?until={first}") == []


def test_a_fill_has_one_id_in_the_stream_and_in_the_activities(server: Server) -> None:
    with trade_updates(server) as ear:
        fill(server, "1")
        told = ear.until(lambda update: update.event == "fill")[-1]
    [activity] = server.call("GET", ACTIVITIES).json()
    assert activity["id"].endswith(f"::{told.execution_id}")


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=101",
        "page_size=x",
        "page_token=nothing",
        "after=soon",
        "category=trade_activity&activity_types=FILL",
    ],
)
def test_a_malformed_question_about_activities_is_refused(server: Server, query: str) -> None:
    answer = server.call("GET", f"{ACTIVITIES}?{query}")
    assert answer.status_code == 422
    assert answer.json()["message"]


def test_the_history_has_a_value_for_every_window() -> None:
    history = EquityHistory()
    for minute in range(12):
        history.note(600.0 + 60 * minute + 7, Bench().exchange.figures().equity + minute)
    report: dict[str, Any] = history.report(600, 10_000, "5Min")
    assert report["timestamp"] == [600, 900, 1200]
    assert report["equity"] == [100_004, 100_009, 100_011]
    assert report["profit_loss"] == [0, 5, 7]
    assert report["base_value"] == 100_004
    assert history.report(0, 599, "1Min")["equity"] == []


def test_the_history_through_the_client(server: Server) -> None:
    found = server.trading.get_portfolio_history(GetPortfolioHistoryRequest(period="1D"))
    assert (found.timeframe, found.equity) == ("1Min", [100_000])
    start = datetime(2024, 1, 6, tzinfo=UTC)
    later = server.trading.get_portfolio_history(GetPortfolioHistoryRequest(start=start))
    assert later.equity == []


@pytest.mark.parametrize(
    "query",
    [
        "period=1X",
        "period=0D",
        "timeframe=2Min",
        "start=x",
        "start=2024-01-01&end=2024-01-02&period=1D",
    ],
)
def test_a_malformed_question_about_history_is_refused(server: Server, query: str) -> None:
    assert server.call("GET", f"/v2/account/portfolio/history?{query}").status_code == 422
