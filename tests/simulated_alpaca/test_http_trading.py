"""The unchanged alpaca-py trading client against the server."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
)

from tests.simulated_alpaca.bench import eventually
from tests.simulated_alpaca.conftest import Server


def limit_order(symbol: str, side: str, qty: float, price: float, **more: Any) -> LimitOrderRequest:
    tif = TimeInForce.GTC if "/" in symbol else TimeInForce.DAY
    return LimitOrderRequest(
        **(
            {
                "symbol": symbol,
                "side": OrderSide(side),
                "qty": qty,
                "limit_price": price,
                "time_in_force": tif,
            }
            | more
        )
    )


def submit(server: Server, *args: Any, **more: Any) -> Order:
    order = server.trading.submit_order(limit_order(*args, **more))
    assert isinstance(order, Order)
    return order


def status(server: Server, order: Order) -> OrderStatus:
    found = server.trading.get_order_by_id(order.id)
    assert isinstance(found, Order)
    return found.status


def wait_for(server: Server, order: Order, expected: OrderStatus) -> None:
    eventually(lambda: status(server, order) == expected)


def refusal(server: Server, request: Any) -> tuple[int, dict[str, Any]]:
    body = request if isinstance(request, dict) else request.to_request_fields()
    answer = server.call("POST", "/v2/orders", json=body)
    return answer.status_code, answer.json()


def buy_now(server: Server, symbol: str, qty: float) -> None:
    tif = TimeInForce.GTC if "/" in symbol else TimeInForce.DAY
    order = server.trading.submit_order(
        MarketOrderRequest(symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=tif)
    )
    assert isinstance(order, Order)
    eventually(lambda: status(server, order) == OrderStatus.FILLED)


def test_a_limit_order_rests_and_fills_when_the_price_comes(server: Server) -> None:
    order = submit(server, "ETH/USD", "buy", 1, 1990, client_order_id="mine")
    assert order.status == OrderStatus.PENDING_NEW
    assert order.symbol == "ETH/USD"
    eventually(lambda: status(server, order) == OrderStatus.NEW)
    server.pin("ETH/USD", 1985)
    eventually(lambda: status(server, order) == OrderStatus.FILLED)
    filled = server.trading.get_order_by_client_id("mine")
    assert isinstance(filled, Order)
    assert filled.filled_avg_price == "1985"
    [position] = server.trading.get_all_positions()
    assert (position.symbol, position.qty) == ("ETHUSD", "0.9975")
    assert server.trading.get_open_position("ETHUSD").cost_basis == position.cost_basis
    account = server.trading.get_account()
    assert (account.cash, account.non_marginable_buying_power) == ("98015", "98015")


def test_a_stock_order_is_accepted_first(server: Server) -> None:
    order = submit(server, "AAPL", "buy", 3, 150)
    assert order.status == OrderStatus.ACCEPTED
    assert order.expires_at == datetime(2024, 1, 5, 21, tzinfo=UTC)
    account = server.trading.get_account()
    assert account.buying_power == "199550"


def test_raw_orders_carry_strings_and_nanoseconds(server: Server) -> None:
    body = server.call(
        "POST", "/v2/orders", json=limit_order("ETH/USD", "buy", 1.5, 1000.5).to_request_fields()
    ).json()
    assert (body["qty"], body["limit_price"], body["order_class"]) == ("1.5", "1000.5", "")
    assert body["submitted_at"].startswith("2024-01-05T20:00:0")
    assert len(body["submitted_at"]) == len("2024-01-05T20:00:00.000000000Z")


def test_a_cancel_is_asynchronous(server: Server) -> None:
    order = submit(server, "ETH/USD", "buy", 1, 1500)
    server.trading.cancel_order_by_id(order.id)
    assert status(server, order) in (OrderStatus.PENDING_CANCEL, OrderStatus.CANCELED)
    eventually(lambda: status(server, order) == OrderStatus.CANCELED)
    with pytest.raises(APIError) as error:
        server.trading.cancel_order_by_id(order.id)
    assert (error.value.status_code, error.value.code) == (422, 42210000)
    assert error.value.message == 'order is already in "canceled" state'


def test_a_cancel_can_end_in_a_fill_or_a_partial_fill(server: Server) -> None:
    for kind, expected in (
        ("fill_on_cancel", OrderStatus.FILLED),
        ("partial_on_cancel", OrderStatus.CANCELED),
    ):
        server.fault(kind=kind)
        order = submit(server, "ETH/USD", "buy", 1, 1500)
        server.trading.cancel_order_by_id(order.id)
        wait_for(server, order, expected)
    assert server.trading.get_order_by_id(order.id).filled_qty == "0.5"
    assert server.report()["fills_during_cancel"] == 2


def test_cancel_all_answers_a_status_for_each(server: Server) -> None:
    orders = [submit(server, "ETH/USD", "buy", 1, 1500 + n) for n in range(3)]
    answers = server.trading.cancel_orders()
    assert {(answer.id, answer.status) for answer in answers} == {(o.id, 200) for o in orders}
    eventually(lambda: not server.trading.get_orders())


def test_replace_answers_a_new_order(server: Server) -> None:
    order = submit(server, "AAPL", "buy", 3, 150)
    new = server.trading.replace_order_by_id(order.id, ReplaceOrderRequest(qty=5, limit_price=151))
    assert isinstance(new, Order)
    assert new.id != order.id
    assert (new.replaces, new.qty, new.limit_price) == (order.id, "5", "151")
    old = server.trading.get_order_by_id(order.id)
    assert isinstance(old, Order)
    assert (old.status, old.replaced_by) == (OrderStatus.REPLACED, new.id)


def test_orders_are_listed_by_status_symbol_side_time_and_limit(server: Server) -> None:
    orders = [submit(server, "ETH/USD", "buy", 1, 1400 + n) for n in range(60)]
    stock = submit(server, "AAPL", "buy", 1, 150)
    server.trading.cancel_order_by_id(orders[0].id)
    eventually(lambda: status(server, orders[0]) == OrderStatus.CANCELED)

    def ids(**filters: Any) -> list[Any]:
        return [o.id for o in server.trading.get_orders(GetOrdersRequest(**filters))]

    assert ids()[0] == stock.id
    assert len(ids()) == 50
    assert len(ids(limit=500, nested=True)) == 60
    assert ids(status=QueryOrderStatus.CLOSED) == [orders[0].id]
    assert len(ids(status=QueryOrderStatus.ALL, limit=500)) == 61
    assert ids(symbols=["AAPL"]) == [stock.id]
    assert len(ids(symbols=["ETHUSD"], limit=500)) == 59
    assert ids(side=OrderSide.SELL) == []
    assert ids(direction="asc", limit=1) == [orders[1].id]
    assert ids(after=stock.submitted_at) == []
    for query, expected in (
        ("asset_class=us_equity", [stock]),
        (f"before_order_id={orders[3].id}", [orders[2], orders[1]]),
        (f"after_order_id={orders[59].id}", [stock]),
    ):
        answer = server.call("GET", f"/v2/orders?{query}").json()
        assert [order["id"] for order in answer] == [str(order.id) for order in expected]
    assert orders[2].id in ids(until=stock.submitted_at, limit=500)


def test_positions_close_one_by_one_and_all_at_once(server: Server) -> None:
    buy_now(server, "ETH/USD", 1)
    buy_now(server, "AAPL", 10)
    server.trading.close_position("AAPL", ClosePositionRequest(qty="4"))
    eventually(lambda: server.trading.get_open_position("AAPL").qty == "6")
    answers = server.trading.close_all_positions(cancel_orders=True)
    assert [answer.status for answer in answers] == [200, 200]
    eventually(lambda: not server.trading.get_all_positions())
    with pytest.raises(APIError) as error:
        server.trading.get_open_position("AAPL")
    assert error.value.code == 40410000


def test_assets_clock_and_calendar(server: Server) -> None:
    assert len(server.trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))) == 2
    eth = server.trading.get_asset("ETH/USD")
    assert eth.price_increment == 0.01
    assert server.trading.get_asset("AAPL").shortable
    assert server.trading.get_clock().is_open
    days = server.trading.get_calendar(
        GetCalendarRequest(start=date(2024, 11, 27), end=date(2024, 12, 1))
    )
    assert [(day.date.day, day.close.hour) for day in days] == [(27, 16), (29, 13)]


def test_market_notional_and_stop_limit_orders(server: Server) -> None:
    order = server.trading.submit_order(
        MarketOrderRequest(
            symbol="ETH/USD", notional=500, side=OrderSide.BUY, time_in_force=TimeInForce.IOC
        )
    )
    assert isinstance(order, Order)
    assert order.qty is None
    eventually(lambda: status(server, order) == OrderStatus.FILLED)
    stop = server.trading.submit_order(
        StopLimitOrderRequest(
            symbol="BTC/USD",
            qty=0.1,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.GTC,
            stop_price=51_000,
            limit_price=51_500,
        )
    )
    assert isinstance(stop, Order)
    eventually(lambda: status(server, stop) == OrderStatus.NEW)
    server.pin("BTC/USD", 51_100)
    eventually(lambda: status(server, stop) == OrderStatus.FILLED)


REFUSALS = [
    (
        limit_order("ETH/USD", "buy", 0.001, 2000),
        403,
        40310000,
        "cost basis must be >= minimal amount of order 10",
    ),
    (
        limit_order("AAPL", "buy", 0.001, 150),
        403,
        40310000,
        "cost basis must be >= minimal amount of order 1",
    ),
    (
        limit_order("ETH/USD", "buy", 60, 2000),
        403,
        40310000,
        "insufficient balance for USD (requested: 120000, available: 100000)",
    ),
    (limit_order("AAPL", "buy", 2000, 150), 403, 40310000, "insufficient buying power"),
    (
        limit_order("ETH/USD", "sell", 1, 2100),
        403,
        40310000,
        "insufficient balance for ETH (requested: 1, available: 0)",
    ),
    (
        limit_order("AAPL", "sell", 1.5, 250),
        422,
        42210000,
        "fractional orders cannot be sold short",
    ),
    (
        limit_order("AAPL", "buy", 1, 150.123),
        422,
        42210000,
        "invalid limit_price 150.123. "
        "sub-penny increment does not fulfill minimum pricing criteria",
    ),
    (
        limit_order("ETH/USD", "buy", 1, 1500.001),
        422,
        42210000,
        "invalid limit_price 1500.001. price increment must be 0.01",
    ),
    (
        limit_order("ETH/USD", "buy", 1, 1500, time_in_force=TimeInForce.DAY),
        422,
        42210000,
        "invalid crypto time_in_force",
    ),
    (
        limit_order("AAPL", "buy", 1.5, 150, time_in_force=TimeInForce.GTC),
        422,
        42210000,
        "fractional orders must be DAY orders",
    ),
    (
        limit_order("AAPL", "buy", 1, 150, time_in_force=TimeInForce.GTC, extended_hours=True),
        422,
        42210000,
        "extended hours order must be DAY limit orders",
    ),
    (limit_order("NOPE", "buy", 1, 150), 422, 42210000, 'asset "NOPE" not found'),
    (
        {
            "symbol": "AAPL",
            "side": "buy",
            "type": "limit",
            "time_in_force": "day",
            "qty": "-1",
            "limit_price": 3,
        },
        422,
        42210000,
        "qty must be > 0",
    ),
    (
        {
            "symbol": "AAPL",
            "side": "buy",
            "type": "limit",
            "time_in_force": "day",
            "qty": "nan",
            "limit_price": 3,
        },
        422,
        40010001,
        "qty is out of range",
    ),
    (
        {
            "symbol": "AAPL",
            "side": "buy",
            "type": "limit",
            "time_in_force": "day",
            "limit_price": 3,
        },
        422,
        40010001,
        "qty or notional is required",
    ),
    (
        {"symbol": "AAPL", "side": "hold", "type": "market", "time_in_force": "day", "qty": 1},
        422,
        40010001,
        "invalid side",
    ),
]


@pytest.mark.parametrize(("request_", "http", "code", "message"), REFUSALS)
def test_refusals_speak_as_alpaca_does(
    server: Server, request_: Any, http: int, code: int, message: str
) -> None:
    answered, body = refusal(server, request_)
    assert (answered, body["code"], body["message"]) == (http, code, message)
    assert sum(server.report()["rejects"].values()) == 1


def test_refusals_carry_their_figures(server: Server) -> None:
    _, body = refusal(server, limit_order("AAPL", "buy", 2000, 150))
    assert (body["buying_power"], body["cost_basis"]) == ("200000", "300000")
    _, body = refusal(server, limit_order("ETH/USD", "buy", 60, 2000))
    assert (body["available"], body["balance"], body["symbol"]) == ("100000", "100000", "USD")


def test_held_quantity_names_the_orders_that_hold_it(server: Server) -> None:
    buy_now(server, "AAPL", 10)
    first = submit(server, "AAPL", "sell", 8, 250)
    answered, body = refusal(server, limit_order("AAPL", "sell", 5, 250))
    assert (answered, body["code"]) == (403, 40310000)
    assert body["message"] == "insufficient qty available for order (requested: 5, available: 2)"
    assert (body["held_for_orders"], body["related_orders"]) == ("8", [str(first.id)])
    assert server.trading.get_open_position("AAPL").qty_available == "2"


def test_a_wash_trade_names_the_existing_order(server: Server) -> None:
    existing = submit(server, "AAPL", "buy", 1, 199)
    answered, body = refusal(server, limit_order("AAPL", "sell", 1, 198))
    assert (answered, body["existing_order_id"]) == (403, str(existing.id))
    assert body["message"].startswith("potential wash trade detected")


def test_a_client_order_id_is_used_once_even_after_a_cancel(server: Server) -> None:
    order = submit(server, "ETH/USD", "buy", 1, 1500, client_order_id="once")
    duplicate = limit_order("ETH/USD", "buy", 1, 1500, client_order_id="once")
    for _ in range(2):
        answered, body = refusal(server, duplicate)
        assert (answered, body["code"]) == (422, 40010001)
        assert body["message"] == "client_order_id must be unique"
        if status(server, order) != OrderStatus.CANCELED:
            server.trading.cancel_order_by_id(order.id)
            eventually(lambda: status(server, order) == OrderStatus.CANCELED)
    assert server.report()["duplicate_client_ids"] == 2


def test_unknown_orders_are_not_found(server: Server) -> None:
    for call in (
        lambda: server.trading.get_order_by_id(uuid4()),
        lambda: server.trading.get_order_by_client_id("nobody"),
        lambda: server.trading.cancel_order_by_id(uuid4()),
    ):
        with pytest.raises(APIError) as error:
            call()
        assert (error.value.status_code, error.value.code) == (404, 40410000)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"qty": NaN}', b"", b"\xff"])
def test_a_body_that_cannot_be_read_is_refused(server: Server, body: bytes) -> None:
    answer = server.call("POST", "/v2/orders", data=body)
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)
