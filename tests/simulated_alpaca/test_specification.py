"""Every answer against Alpaca's public specification, and through alpaca-py's own models.

`specification.json` is a table of the endpoints served: fields, types, enums, statuses, queries.
Each difference is listed below and named in docs/simulated-alpaca.md.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from alpaca.data.models import Bar, Quote
from alpaca.trading.models import (
    Asset,
    Calendar,
    Clock,
    ClosePositionResponse,
    Order,
    PortfolioHistory,
    Position,
    TradeAccount,
    TradeActivity,
)
from alpaca.trading.requests import CancelOrderResponse
from pydantic import BaseModel

from tests.simulated_alpaca.bench import eventually
from tests.simulated_alpaca.conftest import Server

TABLE = json.loads(Path(__file__).with_name("specification.json").read_text())
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "simulated-alpaca.md"
MODELS: dict[str, type[BaseModel]] = {
    "Account": TradeAccount,
    "Asset": Asset,
    "CalendarDay": Calendar,
    "CanceledOrder": CancelOrderResponse,
    "Clock": Clock,
    "ClosedPosition": ClosePositionResponse,
    "Order": Order,
    "PortfolioHistory": PortfolioHistory,
    "Position": Position,
    "TradeActivity": TradeActivity,
}
#: Fields of the specification that no answer has, fields that only the answers have, fields that
#: are null where the specification has no null, and fields with another type or value.
DIFFERENCES: dict[str, set[str]] = {
    "absent": {
        "Account.daytrade_count",
        "Account.daytrading_buying_power",
        "Account.pattern_day_trader",
        "Asset.cusip",
        "Order.ratio_qty",
        "PortfolioHistory.base_value_asof",
        "Position.avg_entry_swap_rate",
        "Position.prev_swap_rate",
        "Position.swap_rate",
        "Position.usd",
    },
    "extra": {
        "Account.crypto_tier",
        "Account.position_market_value",
        "Order.source",
        "Order.subtag",
    },
    "null": {"Order.expires_at"},
    "value": {"Asset.exchange", "Position.exchange"},
}
FORMATS: dict[str, Callable[[Any], object]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "uuid": uuid.UUID,
}
CRYPTO_BUY = {"symbol": "ETH/USD", "side": "buy", "time_in_force": "gtc", "type": "limit"}
STOCK_BUY = {"symbol": "AAPL", "side": "buy", "time_in_force": "day", "type": "limit"}


class Recorder:
    """Calls the server and keeps what every endpoint answered."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers: list[tuple[str, int, Any]] = []

    def call(self, method: str, template: str, query: str = "", **more: Any) -> Any:
        names = {
            name: more.pop(name) for name in ("order_id", "symbol", "activity_type") if name in more
        }
        path = template
        for name, value in names.items():
            path = path.replace(
                "{symbol_or_asset_id}" if name == "symbol" else f"{{{name}}}", value
            )
        answer = self.server.call(method, path + query, **more)
        body = answer.json() if answer.content else None
        self.answers.append((f"{method} {template}", answer.status_code, body))
        return body

    def order(self, body: dict[str, Any], **more: Any) -> str:
        return str(self.call("POST", "/v2/orders", json=body | more)["id"])

    def status(self, order_id: str) -> str:
        return str(self.call("GET", "/v2/orders/{order_id}", order_id=order_id)["status"])


@pytest.fixture
def recorder(server: Server) -> Recorder:
    """A day at the broker in which every endpoint has something to say."""
    found = Recorder(server)
    stock = found.order(STOCK_BUY, qty="10", limit_price="210")
    coin = found.order(CRYPTO_BUY, notional="5000", limit_price="2100")
    eventually(lambda: (found.status(stock), found.status(coin)) == ("filled", "filled"))
    resting = found.order(CRYPTO_BUY, qty="1", limit_price="1500", client_order_id="mine")
    query = "?client_order_id=mine"
    found.call("GET", "/v2/orders:by_client_order_id", query)
    replaced = found.call(
        "PATCH", "/v2/orders/{order_id}", order_id=resting, json={"limit_price": "1501"}
    )
    found.call("DELETE", "/v2/orders/{order_id}", order_id=replaced["id"])
    eventually(lambda: found.status(replaced["id"]) == "canceled")
    for path in ("account", "clock", "assets", "positions", "account/activities"):
        found.call("GET", f"/v2/{path}")
    found.call("GET", "/v2/orders", "?status=all")
    found.call("GET", "/v2/account/activities/{activity_type}", activity_type="FILL")
    found.call("GET", "/v2/account/portfolio/history", "?timeframe=1Min")
    found.call("GET", "/v2/calendar", "?start=2024-11-25&end=2024-11-29")
    for symbol in ("AAPL", "ETH/USD"):
        found.call("GET", "/v2/assets/{symbol_or_asset_id}", symbol=symbol)
    for symbol in ("AAPL", "ETHUSD"):
        found.call("GET", "/v2/positions/{symbol_or_asset_id}", symbol=symbol)
    found.call("DELETE", "/v2/positions/{symbol_or_asset_id}", "?qty=1", symbol="AAPL")
    found.order(CRYPTO_BUY, qty="1", limit_price="1500")
    found.call("DELETE", "/v2/orders")
    eventually(lambda: not server.trading.get_orders())
    found.call("DELETE", "/v2/positions")
    for kind, symbol in (("crypto/us", "ETH/USD"), ("stocks", "AAPL")):
        latest = "latest/quotes" if kind != "stocks" else "quotes/latest"
        base = "/v1beta3/crypto/us" if kind != "stocks" else "/v2/stocks"
        found.call("GET", f"{base}/{latest}", f"?symbols={symbol}")
        found.call("GET", f"{base}/bars", f"?symbols={symbol}&timeframe=1Hour&start=2024-01-05")
    return found


def objects(shape: Any, body: Any) -> list[tuple[str, dict[str, Any]]]:
    """The objects of an answer with the names of their schemas."""
    if shape is None:
        return []
    if isinstance(shape, str):
        inner = [("Order", body["body"])] if shape == "ClosedPosition" else []
        return [(shape, body), *inner]
    if isinstance(shape, list):
        return [pair for item in body for pair in objects(shape[0], item)]
    found = []
    for field, schema in shape.items():
        for value in body[field].values():
            found += [(schema, item) for item in (value if isinstance(value, list) else [value])]
    return found


def everything(recorder: Recorder) -> list[tuple[str, dict[str, Any]]]:
    shapes = {f"{e['method']} {e['path']}": e["answer"] for e in TABLE["endpoints"]}
    return [pair for name, _, body in recorder.answers for pair in objects(shapes[name], body)]


def fits(value: Any, field: dict[str, Any]) -> bool:
    """Whether a value is of the field's type, format and enum."""
    if field["type"] == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    kinds = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    if type(value) is not kinds[field["type"]]:
        return False
    if "enum" in field and value not in field["enum"]:
        return False
    try:
        if "format" in field:
            FORMATS[field["format"]](value)
    except ValueError:
        return False
    return True


def compare(found: list[tuple[str, dict[str, Any]]]) -> dict[str, set[str]]:
    """The differences between the answers and the table, by kind, as ``Schema.field``."""
    seen: dict[str, set[str]] = {}
    different: dict[str, set[str]] = {kind: set() for kind in DIFFERENCES}
    for schema, body in found:
        fields = TABLE["schemas"][schema]
        seen.setdefault(schema, set()).update(body)
        for name, value in body.items():
            if name not in fields:
                different["extra"].add(f"{schema}.{name}")
            elif value is None:
                if not fields[name].get("nullable"):
                    different["null"].add(f"{schema}.{name}")
            elif not fits(value, fields[name]):
                different["value"].add(f"{schema}.{name}")
    for schema, names in seen.items():
        different["absent"] |= {f"{schema}.{n}" for n in TABLE["schemas"][schema].keys() - names}
    return different


def test_every_endpoint_of_the_table_answers_with_a_status_it_names(recorder: Recorder) -> None:
    statuses = {f"{e['method']} {e['path']}": e["statuses"] for e in TABLE["endpoints"]}
    assert {name for name, _, _ in recorder.answers} == statuses.keys()
    for name, status, body in recorder.answers:
        assert status in statuses[name], (name, status, body)


def test_the_differences_from_the_specification_are_those_named(recorder: Recorder) -> None:
    found = everything(recorder)
    assert {schema for schema, _ in found} == TABLE["schemas"].keys()
    assert compare(found) == DIFFERENCES


def test_every_difference_is_named_in_the_documentation() -> None:
    text = DOCUMENT.read_text()
    named = set().union(*DIFFERENCES.values())
    ignored = {query for endpoint in TABLE["endpoints"] for query in endpoint.get("ignored", ())}
    assert [name for name in sorted(named | ignored) if f"`{name}`" not in text] == []


def test_alpaca_pys_own_models_accept_every_answer(recorder: Recorder) -> None:
    accepted = set()
    for schema, body in everything(recorder):
        if schema.endswith("Quote"):
            Quote("X", body)
        elif schema.endswith("Bar"):
            Bar("X", body)
        else:
            # The library has the broker API's activity only, which names the account, too.
            more = {"account_id": str(uuid.uuid4())} if schema == "TradeActivity" else {}
            MODELS[schema](**body, **more)
        accepted.add(schema)
    assert accepted == TABLE["schemas"].keys()


def test_what_is_not_served_answers_404_in_json(server: Server) -> None:
    for line in TABLE["not_served"]:
        method, path = line.split()
        answer = server.call(method, path.replace("{", "").replace("}", ""))
        assert (answer.status_code, answer.json()["code"]) in ((404, 40410000), (405, 40500000)), (
            line
        )


@pytest.fixture
def filled(server: Server) -> str:
    """The id of a filled order for ten shares, of which an open order wants to sell five."""
    found = Recorder(server)
    order_id = found.order(STOCK_BUY, qty="10", limit_price="210")
    eventually(lambda: found.status(order_id) == "filled")
    found.order(STOCK_BUY, side="sell", qty="5", limit_price="230")
    found.order(CRYPTO_BUY, qty="1", limit_price="1400", client_order_id="used")
    return order_id


def test_every_error_has_the_status_code_and_words_of_the_table(
    server: Server, filled: str
) -> None:
    for row in TABLE["errors"]:
        body = {"json": row["body"]} if row["body"] is not None else {}
        answer = server.call(row["method"], row["path"].replace("{filled}", filled), **body)
        found = (answer.status_code, answer.json()["code"])
        assert found == (row["status"], row["code"]), (row["case"], answer.text)
        assert row["message"] in answer.json()["message"], row["case"]


def test_the_table_itself_is_compared() -> None:
    good = {"id": str(uuid.uuid4()), "status": 200}
    assert compare([("CanceledOrder", good)]) == {kind: set() for kind in DIFFERENCES}
    bad = {"id": "x", "extra": 1}
    assert compare([("CanceledOrder", bad), ("CanceledOrder", {"id": None})]) == {
        "absent": {"CanceledOrder.status"},
        "extra": {"CanceledOrder.extra"},
        "null": {"CanceledOrder.id"},
        "value": {"CanceledOrder.id"},
    }
