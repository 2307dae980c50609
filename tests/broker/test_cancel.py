"""Every way a cancel request can end."""

from __future__ import annotations

import pytest

from stealer.broker.alpaca import AlpacaBroker
from stealer.evidence import Outcome

from .conftest import ORDER_ID, make_broker
from .scripted_server import Reply, ScriptedServer, free_port

DELETE = f"DELETE /v2/orders/{ORDER_ID}"


def already(state: str) -> Reply:
    return Reply(422, {"code": 42210000, "message": f'order is already in "{state}" state'})


@pytest.mark.parametrize("reply", [Reply(204), already("pending_cancel")], ids=["204", "again"])
def test_an_accepted_cancel_is_confirmed_as_requested(
    server: ScriptedServer, broker: AlpacaBroker, reply: Reply
) -> None:
    server.on(DELETE, reply)
    result = broker.cancel(ORDER_ID)
    assert result.outcome is Outcome.CONFIRMED
    assert not result.already_terminal
    assert server.count(DELETE) == 1


@pytest.mark.parametrize("state", ["filled", "canceled", "expired", "replaced", "rejected"])
def test_an_order_already_over_is_said_to_be_so(
    server: ScriptedServer, broker: AlpacaBroker, state: str
) -> None:
    server.on(DELETE, already(state))
    result = broker.cancel(ORDER_ID)
    assert (result.outcome, result.already_terminal) == (Outcome.REJECTED, True)
    assert not result.not_found


def test_an_unknown_order_is_not_found(server: ScriptedServer, broker: AlpacaBroker) -> None:
    server.on(DELETE, Reply(404, {"code": 40410000, "message": "order not found"}))
    result = broker.cancel(ORDER_ID)
    assert (result.outcome, result.not_found) == (Outcome.REJECTED, True)
    assert not result.already_terminal


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, "<html>not here</html>"),
        Reply(404, {"message": "endpoint not found."}),
        Reply(422, {"code": 42210000, "message": "order is not cancelable"}),
        already("held"),
        Reply(401, {"message": "unauthorized."}),
        Reply(429, {"message": "too many requests."}),
        Reply(500, {"message": "internal"}),
        Reply(504, "<html>timeout</html>"),
        Reply(302, "", {"Location": "/elsewhere"}),
        Reply(200, "<html>hello</html>"),
        Reply(drop=True),
        Reply(hang=True),
    ],
    ids=lambda reply: f"{reply.status}-{reply.raw[:12]!r}{reply.drop}",
)
def test_everything_else_is_unresolved_and_sent_once(
    server: ScriptedServer, broker: AlpacaBroker, reply: Reply
) -> None:
    server.on(DELETE, reply)
    result = broker.cancel(ORDER_ID)
    assert result.outcome is Outcome.UNRESOLVED
    assert not result.already_terminal
    assert not result.not_found
    assert server.count(DELETE) == 1


def test_an_unreachable_broker_leaves_the_cancel_unresolved(sleeps: list[float]) -> None:
    result = make_broker(f"http://127.0.0.1:{free_port()}", sleeps).cancel(ORDER_ID)
    assert result.outcome is Outcome.UNRESOLVED
    assert "Connection refused" in result.message


@pytest.mark.parametrize("order_id", ["", "ws-1", "../positions"])
def test_what_is_no_order_id_is_denied_and_not_sent(
    server: ScriptedServer, broker: AlpacaBroker, order_id: str
) -> None:
    assert broker.cancel(order_id).outcome is Outcome.DENIED
    assert server.seen == []
