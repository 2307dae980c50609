"""Every way a submit can end, and that it is sent at most once."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from stealer.broker.alpaca import AlpacaBroker
from stealer.evidence import Outcome

from .conftest import ORDER_ID, make_broker, new_order, order_json
from .scripted_server import Reply, ScriptedServer, free_port

POST = "POST /v2/orders"
LOOKUP = "GET /v2/orders:by_client_order_id"


def refusal(status: int, code: int | None, message: str, **more: Any) -> Reply:
    return Reply(status, {"code": code, "message": message} | more)


def test_an_accepted_order_is_confirmed_with_the_brokers_record(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(POST, Reply(200, order_json()))
    result = broker.submit(new_order())
    assert result.outcome is Outcome.CONFIRMED
    assert result.order is not None
    assert (result.order.id, result.order.symbol) == (ORDER_ID, "BTCUSD")
    assert server.count(POST) == 1


@pytest.mark.parametrize(
    ("qty", "price", "qty_text", "price_text"),
    [
        ("0.1", "0.00001234", "0.1", "0.00001234"),
        ("123456789.123456789", "1E-9", "123456789.123456789", "0.000000001"),
        ("1E+3", "60000.10", "1000", "60000.1"),
        ("0.30000000000000004", "0.1", "0.30000000000000004", "0.1"),
    ],
)
def test_quantity_and_price_arrive_as_text_digit_for_digit(
    server: ScriptedServer,
    broker: AlpacaBroker,
    qty: str,
    price: str,
    qty_text: str,
    price_text: str,
) -> None:
    server.on(POST, Reply(200, order_json()))
    broker.submit(new_order(qty=Decimal(qty), limit_price=Decimal(price)))
    body = server.seen[0].body
    assert f'"qty": "{qty_text}"' in body
    assert f'"limit_price": "{price_text}"' in body


def test_crypto_goes_out_with_a_slash_and_gtc_and_stocks_plain_and_day(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(POST, Reply(200, order_json()))
    broker.submit(new_order())
    broker.submit(new_order(symbol="BRK.B", is_crypto=False))
    crypto, stock = (json.loads(seen.body) for seen in server.seen)
    assert (crypto["symbol"], crypto["time_in_force"]) == ("BTC/USD", "gtc")
    assert (stock["symbol"], stock["time_in_force"]) == ("BRK.B", "day")
    assert crypto["type"] == stock["type"] == "limit"
    assert crypto["client_order_id"] == "ws-1"
    assert "extended_hours" not in stock


def test_what_an_order_asks_for_is_sent_as_it_asks(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(POST, Reply(200, order_json()))
    broker.submit(new_order(time_in_force="ioc"))
    broker.submit(new_order(symbol="BRK.B", is_crypto=False, time_in_force="gtc"))
    broker.submit(new_order(symbol="BRK.B", is_crypto=False, extended_hours=True))
    coin, kept, early = (json.loads(seen.body) for seen in server.seen)
    assert coin["time_in_force"] == "ioc"
    assert kept["time_in_force"] == "gtc"
    assert (early["time_in_force"], early["extended_hours"]) == ("day", True)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(403, 40310000, "insufficient buying power"), "insufficient_buying_power"),
        (
            refusal(403, 40310000, "insufficient balance for USD (requested: 9, available: 1)"),
            "insufficient_balance",
        ),
        (refusal(403, 40310000, "insufficient qty available for order"), "held_quantity"),
        (refusal(403, 40310000, "potential wash trade detected. use complex"), "wash_trade"),
        (refusal(422, 42210000, "potential wash trade detected."), "wash_trade"),
        (
            refusal(403, 40310000, "cost basis must be >= minimal amount of order 10"),
            "minimum",
        ),
        (
            refusal(422, 42210000, "sub-penny increment does not fulfill minimum pricing criteria"),
            "price_tick",
        ),
        (refusal(422, 42210000, "asset FOO is not tradable"), "not_tradable"),
        (refusal(403, 40310000, "something new"), "other"),
        (refusal(401, 40110000, "request is not authorized"), "unauthorized"),
        (Reply(403, {"message": "forbidden."}), "unauthorized"),
        (refusal(429, 42910000, "too many requests."), "rate_limited"),
        (refusal(400, 40010000, "request body format is invalid"), "other"),
    ],
)
def test_a_refusal_is_rejected_and_its_message_decides_the_kind(
    server: ScriptedServer, broker: AlpacaBroker, reply: Reply, kind: str
) -> None:
    server.on(POST, reply)
    result = broker.submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.REJECTED, kind)
    assert result.code == reply.body.get("code")
    assert result.message == reply.body["message"]
    assert server.count(POST) == 1


HTML = "<html><body>Service temporarily unavailable</body></html>"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(500, {"code": 50010000, "message": "internal server error"}), "server_error"),
        (Reply(502, HTML), "server_error"),
        (Reply(503, ""), "server_error"),
        (Reply(504, {"message": "gateway timeout"}), "timeout"),
        (Reply(408, {"message": "request timeout"}), "timeout"),
        (Reply(403, HTML), "server_error"),
        (Reply(422, HTML), "server_error"),
        (Reply(429, HTML), "server_error"),
        (Reply(422, "[1, 2]"), "server_error"),
        (Reply(422, '"text"'), "server_error"),
        (Reply(200, HTML), "server_error"),
        (Reply(200, ""), "server_error"),
        (Reply(200, b"\xff\xfe\x00"), "server_error"),
        (Reply(200, "[]"), "server_error"),
        (Reply(200, {"id": ORDER_ID}), "server_error"),
        (Reply(200, order_json(qty="NaN")), "server_error"),
        (Reply(200, order_json(client_order_id="another")), "server_error"),
        (Reply(200, order_json(), cut=True), "server_error"),
        (Reply(302, "", {"Location": "/elsewhere"}), "server_error"),
        (Reply(drop=True), "server_error"),
        (Reply(hang=True), "timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status}-{value.raw[:12]!r}",
)
def test_no_trustworthy_answer_is_unresolved_and_never_sent_again(
    server: ScriptedServer, broker: AlpacaBroker, reply: Reply, kind: str
) -> None:
    server.on(POST, reply)
    result = broker.submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.UNRESOLVED, kind)
    assert result.order is None
    assert result.message
    assert server.count(POST) == 1


def test_refused_connection_is_denied_because_nothing_was_sent(sleeps: list[float]) -> None:
    result = make_broker(f"http://127.0.0.1:{free_port()}", sleeps).submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.DENIED, "not_sent")
    assert result.message == "nothing was sent: Connection refused"


def test_an_unknown_host_is_denied_because_nothing_was_sent(sleeps: list[float]) -> None:
    result = make_broker("http://no-such-host.invalid", sleeps).submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.DENIED, "not_sent")


def test_a_failed_tls_handshake_is_denied_because_nothing_was_sent(
    server: ScriptedServer, sleeps: list[float]
) -> None:
    result = make_broker(server.url.replace("http:", "https:"), sleeps).submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.DENIED, "not_sent")
    assert server.seen == []


def test_a_drop_on_a_kept_connection_is_unresolved(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(POST, Reply(200, order_json()), Reply(drop=True))
    broker.submit(new_order())
    assert broker.submit(new_order()).outcome is Outcome.UNRESOLVED
    assert server.count(POST) == 2


def test_a_write_that_breaks_half_way_is_unresolved(
    server: ScriptedServer, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on(POST, Reply(200, order_json()))
    send = http.client.HTTPConnection.send

    def break_at_the_body(self: http.client.HTTPConnection, data: bytes) -> None:
        if b"client_order_id" in data:
            raise ConnectionAbortedError("cable pulled")
        send(self, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", break_at_the_body)
    assert broker.submit(new_order()).outcome is Outcome.UNRESOLVED


DUPLICATE = refusal(422, 40010001, "client_order_id must be unique")


def test_a_duplicate_id_is_confirmed_with_the_order_found_by_it(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(POST, DUPLICATE)
    server.on(LOOKUP, Reply(200, order_json(status="new")))
    result = broker.submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.CONFIRMED, "duplicate_id")
    assert result.order is not None
    assert result.order.status == "new"
    assert server.seen[1].query == {"client_order_id": "ws-1"}
    assert server.count(POST) == 1


@pytest.mark.parametrize(
    "lookup",
    [
        Reply(404, {"code": 40410000, "message": "order not found"}),
        Reply(500, {"message": "internal"}),
        Reply(200, HTML),
        Reply(200, order_json(side="sell")),
        Reply(hang=True),
    ],
    ids=["404", "500", "html", "other order", "hang"],
)
def test_a_duplicate_id_without_its_order_is_unresolved(
    server: ScriptedServer, broker: AlpacaBroker, lookup: Reply
) -> None:
    server.on(POST, DUPLICATE)
    server.on(LOOKUP, lookup)
    result = broker.submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.UNRESOLVED, "duplicate_id")
    assert server.count(POST) == 1


class Recorder:
    """A guard that notes what the server had seen when it was entered and left."""

    def __init__(self, server: ScriptedServer, refuse: BaseException | None = None) -> None:
        self.server, self.refuse = server, refuse
        self.events: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.events.append(f"enter after {len(self.server.seen)}")
        if self.refuse is not None:
            raise self.refuse
        yield
        self.events.append("exit")


def test_the_guard_surrounds_the_write_and_not_the_wait_for_the_answer(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    guard = Recorder(server)
    left_early: list[bool] = []

    def answer(seen: object) -> Reply:
        from .scripted_server import wait_until

        left_early.append(wait_until(lambda: "exit" in guard.events))
        return Reply(200, order_json())

    server.on(POST, answer)
    assert broker.submit(new_order(), guard).outcome is Outcome.CONFIRMED
    assert guard.events == ["enter after 0", "exit"]
    assert left_early == [True]


@pytest.mark.parametrize(
    "error", [RuntimeError("trust is over"), TimeoutError("late"), BrokenPipeError("odd")]
)
def test_a_guard_that_refuses_means_nothing_is_sent(
    server: ScriptedServer, broker: AlpacaBroker, error: Exception
) -> None:
    server.on(POST, Reply(200, order_json()))
    result = broker.submit(new_order(), Recorder(server, error))
    assert (result.outcome, result.kind) == (Outcome.DENIED, "not_sent")
    assert server.count(POST) == 0
    server.on(POST, Reply(200, order_json()))
    assert broker.submit(new_order()).outcome is Outcome.CONFIRMED


def test_an_unreachable_broker_is_found_before_the_guard_is_entered(sleeps: list[float]) -> None:
    guard = Recorder(ScriptedServer.__new__(ScriptedServer))
    edge = make_broker(f"http://127.0.0.1:{free_port()}", sleeps)
    assert edge.submit(new_order(), guard).outcome is Outcome.DENIED
    assert guard.events == []


def test_a_guard_that_fails_after_the_write_leaves_the_order_unresolved(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    @contextmanager
    def guard() -> Iterator[None]:
        yield
        raise RuntimeError("could not disarm")

    server.on(POST, Reply(200, order_json()))
    assert broker.submit(new_order(), guard).outcome is Outcome.UNRESOLVED
