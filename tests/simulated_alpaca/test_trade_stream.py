"""Trade updates through alpaca-py's unchanged TradingStream, and the frames themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from alpaca.trading.enums import OrderStatus
from alpaca.trading.models import Order, TradeUpdate
from alpaca.trading.requests import ReplaceOrderRequest
from alpaca.trading.stream import TradingStream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from stealer.simulated_alpaca import ServerConfig, StreamConfig
from tests.simulated_alpaca.bench import eventually
from tests.simulated_alpaca.conftest import Server
from tests.simulated_alpaca.listening import Ear, running, stream_url, trade_updates

ORDER: dict[str, Any] = {
    "symbol": "ETH/USD",
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "qty": "2",
    "limit_price": "1500",
}
AUTHENTICATE = {"action": "authenticate", "data": {"key_id": "key", "secret_key": "secret"}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates", "account_updates"]}}
#: A look at the market so seldom that nothing in these tests can have waited for it.
SELDOM_SECONDS = 300.0


@pytest.fixture
def server_config() -> ServerConfig:
    return ServerConfig(rate_limit=10_000, tick=SELDOM_SECONDS)


@pytest.fixture
def ear(server: Server) -> Iterator[Ear]:
    with trade_updates(server) as found:
        yield found


def submit(server: Server, **more: Any) -> str:
    answer = server.call("POST", "/v2/orders", json=ORDER | more)
    answer.raise_for_status()
    return str(answer.json()["id"])


def ending(name: str) -> Any:
    return lambda update: update.event == name


def test_a_cancel_is_told_step_by_step_without_anybody_asking(server: Server, ear: Ear) -> None:
    order_id = submit(server)
    server.call("DELETE", f"/v2/orders/{order_id}").raise_for_status()
    updates = ear.until(ending("canceled"))
    assert all(isinstance(update, TradeUpdate) for update in updates)
    assert [(u.event, u.order.status) for u in updates] == [
        ("pending_new", OrderStatus.PENDING_NEW),
        ("new", OrderStatus.NEW),
        ("pending_cancel", OrderStatus.PENDING_CANCEL),
        ("canceled", OrderStatus.CANCELED),
    ]
    assert {str(update.order.id) for update in updates} == {order_id}
    assert [(u.price, u.qty, u.position_qty) for u in updates] == [(None, None, None)] * 4


def test_a_price_set_by_hand_fills_and_is_told_with_what_was_executed(
    server: Server, ear: Ear
) -> None:
    submit(server)
    ear.until(ending("new"))
    server.pin("ETH/USD", 1490)
    fill = ear.next()
    assert (fill.event, fill.price, fill.qty, fill.position_qty) == ("fill", 1490, 2, 1.995)
    assert (fill.order.status, fill.order.filled_avg_price) == (OrderStatus.FILLED, "1490")
    assert abs((fill.timestamp - fill.order.filled_at).total_seconds()) < 0.001


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        ({"kind": "reject"}, ["pending_new", "rejected"]),
        (
            {"kind": "partial_on_cancel", "fraction": 0.25},
            ["pending_new", "new", "pending_cancel", "partial_fill", "canceled"],
        ),
        (
            {"kind": "cancel_rejected"},
            ["pending_new", "new", "pending_cancel", "order_cancel_rejected"],
        ),
    ],
)
def test_the_rarer_events(
    server: Server, ear: Ear, fault: dict[str, Any], events: list[str]
) -> None:
    server.fault(**fault)
    order_id = submit(server)
    if "pending_cancel" in events:
        eventually(lambda: server.trading.get_order_by_id(order_id).status == OrderStatus.NEW)
        server.call("DELETE", f"/v2/orders/{order_id}").raise_for_status()
    assert [update.event for update in ear.until(ending(events[-1]))] == events


def test_a_rejected_cancel_leaves_the_order_working(server: Server, ear: Ear) -> None:
    server.fault(kind="cancel_rejected")
    order_id = submit(server)
    server.call("DELETE", f"/v2/orders/{order_id}").raise_for_status()
    assert ear.until(ending("order_cancel_rejected"))[-1].order.status == OrderStatus.NEW
    server.pin("ETH/USD", 1490)
    assert ear.next().event == "fill"


def test_a_replacement_ends_the_old_order_and_opens_the_new_one(server: Server, ear: Ear) -> None:
    order_id = submit(server, symbol="AAPL", limit_price="150", time_in_force="day")
    ear.until(ending("new"))
    new = server.trading.replace_order_by_id(order_id, ReplaceOrderRequest(limit_price=151))
    assert isinstance(new, Order)
    replaced, accepted = ear.next(), ear.next()
    assert (replaced.event, replaced.order.replaced_by) == ("replaced", new.id)
    assert (accepted.event, accepted.order.id) == ("accepted", new.id)


def test_nothing_is_replayed_to_who_connects_later(server: Server) -> None:
    submit(server)
    with trade_updates(server) as ear:
        server.pin("ETH/USD", 1490)
        assert ear.next().event == "fill"


def raw(server: Server, headers: dict[str, str] | None = None) -> ClientConnection:
    return connect(stream_url(server, "/stream"), close_timeout=1, additional_headers=headers)


def say(client: ClientConnection, message: Any) -> Any:
    """Send a message, and read the answer, which comes in a binary frame."""
    client.send(json.dumps(message))
    frame = client.recv(timeout=5)
    assert isinstance(frame, bytes)
    return json.loads(frame)


def test_the_frames_are_binary_json_with_the_whole_order(server: Server) -> None:
    with raw(server) as client:
        assert say(client, LISTEN)["data"] == {"action": "listen", "status": "unauthorized"}
        assert say(client, AUTHENTICATE) == {
            "stream": "authorization",
            "data": {"action": "authenticate", "status": "authorized"},
        }
        assert say(client, LISTEN) == {
            "stream": "listening",
            "data": {"streams": ["trade_updates"]},
        }
        order_id = submit(server)
        first, second = (json.loads(client.recv(timeout=5)) for _ in range(2))
        assert first["stream"] == "trade_updates"
        assert (
            first["data"]["order"].keys()
            == server.call("GET", f"/v2/orders/{order_id}").json().keys()
        )
        assert len(first["data"]["event_id"]) == 26
        assert first["data"]["event_id"] < second["data"]["event_id"]
        assert first["data"]["execution_id"] != second["data"]["execution_id"]
        assert "price" not in first["data"]
        assert say(client, {"action": "listen", "data": {"streams": []}})["data"] == {"streams": []}
        server.pin("ETH/USD", 1490)
        assert say(client, {"action": "nonsense"})["stream"] == "error"


def test_messagepack_for_who_asks_for_it(server: Server) -> None:
    packed = {"Content-Type": "application/msgpack"}
    with raw(server, packed) as client:
        client.send(msgpack.packb({"action": "auth", "key": "key", "secret": "secret"}))
        answer = msgpack.unpackb(client.recv(timeout=5))
        assert answer["data"]["status"] == "authorized"
        client.send(b"\xc1")
        assert msgpack.unpackb(client.recv(timeout=5))["stream"] == "error"


@pytest.mark.parametrize("server_config", [ServerConfig(key="k", secret="s")])
def test_wrong_keys_are_not_authorized(server: Server) -> None:
    with raw(server) as client:
        assert say(client, AUTHENTICATE)["data"]["status"] == "unauthorized"
        assert say(client, LISTEN)["data"]["status"] == "unauthorized"


def test_a_second_connection_is_refused(server: Server, ear: Ear) -> None:
    with raw(server) as client:
        assert say(client, AUTHENTICATE)["data"]["status"] == "unauthorized"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)
    submit(server)
    assert ear.next().event == "pending_new"


REPLACING = ServerConfig(streams=StreamConfig(second_trade_stream="replace"))


@pytest.mark.parametrize("server_config", [REPLACING])
def test_or_it_replaces_the_first_as_configured(server: Server) -> None:
    with raw(server) as first, raw(server) as second:
        assert say(first, AUTHENTICATE)["data"]["status"] == "authorized"
        assert say(second, AUTHENTICATE)["data"]["status"] == "authorized"
        with pytest.raises(ConnectionClosed):
            first.recv(timeout=5)
        assert say(second, LISTEN)["stream"] == "listening"


def test_the_place_is_free_again_after_a_disconnect(server: Server) -> None:
    for _ in range(3):
        with trade_updates(server) as ear:
            submit(server)
            assert ear.next().event == "pending_new"
        eventually(lambda: not server.call("GET", "/sim/streams").json()["streams"])


def test_raw_data_is_passed_through(server: Server) -> None:
    ear = Ear()
    url = stream_url(server, "/stream")
    stream = TradingStream("key", "secret", raw_data=True, url_override=url)
    stream.subscribe_trade_updates(ear.handler)
    with running(server, stream, "/stream"):
        submit(server)
        assert ear.next()["data"]["order"]["qty"] == "2"


def test_an_event_reaches_the_client_in_milliseconds(server: Server, ear: Ear) -> None:
    delays = []
    for n in range(20):
        submit(server, limit_price=str(1500 + n), qty="0.1")
        before = time.perf_counter()
        assert ear.next().event == "pending_new"
        delays.append(time.perf_counter() - before)
        assert ear.next().event == "new"
    # A generous bound for a busy machine; the tick alone would be 300 s.
    assert sorted(delays)[10] < 0.1
