"""What the edge asks of the budget it is given, and what it tells it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest

from stealer.broker import interface
from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.calls import Answered, Call
from stealer.broker.transport import seconds_to_reset
from stealer.evidence import Outcome

from .conftest import ORDER_ID, account_json, make_broker, new_order, order_json
from .scripted_server import Reply, ScriptedServer, free_port
from .test_reads import READS

ORDERS, ACCOUNT = "POST /v2/orders", "GET /v2/account"
DELETE = f"DELETE /v2/orders/{ORDER_ID}"

STATED = {
    "X-RateLimit-Limit": "200",
    "X-RateLimit-Remaining": "150",
    "X-RateLimit-Reset": "1800000030",
    "Date": "Fri, 15 Jan 2027 08:00:10 GMT",  # 1800000010
}


@dataclass
class Purse:
    """A budget that answers what a test says; 0 is yes."""

    waits: list[float] = field(default_factory=list)
    holds: list[float] = field(default_factory=list)
    asked: list[Call] = field(default_factory=list)
    held_for: list[Call] = field(default_factory=list)
    told: list[tuple[Call, Answered, bool]] = field(default_factory=list)

    def take(self, call: Call) -> float:
        self.asked.append(call)
        return self.waits.pop(0) if self.waits else 0.0

    def held(self, call: Call) -> float:
        self.held_for.append(call)
        return self.holds.pop(0) if self.holds else 0.0

    def answered(self, call: Call, answer: Answered, *, asked: bool) -> None:
        self.told.append((call, answer, asked))


@pytest.fixture
def purse() -> Purse:
    return Purse()


def edge(url: str, sleeps: list[float], purse: Purse, **more: Any) -> AlpacaBroker:
    return make_broker(url, sleeps, call_budget=purse, **more)


KINDS = {
    "open_orders": Call.ACCOUNT,
    "positions": Call.ACCOUNT,
    "account": Call.ACCOUNT,
    "clock": Call.READ,
    "asset": Call.READ,
    "by_client_id": Call.LOOK_UP,
    "by_id": Call.LOOK_UP,
    "crypto quotes": Call.QUOTES,
    "stock quotes": Call.QUOTES,
}


@pytest.mark.parametrize("name", READS)
def test_every_read_asks_for_its_kind_and_is_not_sent_without(
    server: ScriptedServer, sleeps: list[float], purse: Purse, name: str
) -> None:
    route, read = READS[name]
    broker = edge(server.url, sleeps, purse)
    purse.waits = [9.0]
    with pytest.raises(interface.BrokerBudgetSpent, match="not sent") as refused:
        read(broker)
    assert refused.value.wait_seconds == 9.0
    assert isinstance(refused.value, interface.BrokerRateLimited)
    assert (purse.asked, purse.told) == ([KINDS[name]], [])
    assert (server.count(route), sleeps) == (0, []), "nor is it asked for again"
    broker.close()


def test_every_attempt_of_a_read_is_a_request(
    server: ScriptedServer, sleeps: list[float], purse: Purse
) -> None:
    server.on(ACCOUNT, Reply(503, "busy"), Reply(200, account_json(), STATED))
    edge(server.url, sleeps, purse).account()
    assert purse.asked == [Call.ACCOUNT] * 2
    (_, first, _), (_, second, asked) = purse.told
    assert (first.status, first.stated) == (503, None)
    assert second.stated == interface.RequestBudget(200, 150, 1800000030.0)
    assert (asked, second.refused) == (True, False)
    assert second.reset_in is not None
    assert second.took > 0


def test_a_read_waits_within_its_patience_and_says_so_each_time(
    server: ScriptedServer, sleeps: list[float], purse: Purse
) -> None:
    server.on(ACCOUNT, Reply(200, account_json()))
    said: list[str] = []
    broker = edge(server.url, sleeps, purse, patience=5.0, tell=said.append)
    purse.waits = [2.0, 1.0]
    broker.account()
    assert 2.0 <= sleeps[0] <= 2.2
    assert 1.0 <= sleeps[1] <= 1.2
    assert len(said) == 2
    assert said[0].startswith("read account: waits 2.")


def test_an_order_and_a_cancel_ask_nobody_and_are_counted_afterwards(
    server: ScriptedServer, sleeps: list[float], purse: Purse
) -> None:
    server.on(ORDERS, Reply(200, order_json(), STATED))
    server.on(DELETE, Reply(204, None, STATED))
    broker = edge(server.url, sleeps, purse)
    assert broker.submit(new_order()).outcome is Outcome.CONFIRMED
    assert broker.cancel(ORDER_ID).outcome is Outcome.CONFIRMED
    assert purse.asked == []
    assert purse.held_for == [Call.SUBMIT, Call.CANCEL]
    assert [(call, answer.status, asked) for call, answer, asked in purse.told] == [
        (Call.SUBMIT, 200, False),
        (Call.CANCEL, 204, False),
    ]


def test_during_a_hold_an_order_is_certainly_not_sent(
    server: ScriptedServer, sleeps: list[float], purse: Purse
) -> None:
    broker = edge(server.url, sleeps, purse, patience=60.0)
    purse.holds = [0.5]
    result = broker.submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.DENIED, "rate_limited")
    assert (server.seen, sleeps, purse.told) == ([], [], [])


def test_during_a_hold_a_cancel_waits_a_moment_and_is_then_given_up(
    server: ScriptedServer, sleeps: list[float], purse: Purse
) -> None:
    server.on(DELETE, Reply(204))
    broker = edge(server.url, sleeps, purse)
    purse.holds = [0.9]
    assert broker.cancel(ORDER_ID).outcome is Outcome.CONFIRMED
    assert 0.9 <= sleeps[0] <= 1.5
    purse.holds = [2.0]
    assert broker.cancel(ORDER_ID).outcome is Outcome.DENIED
    assert server.count(DELETE) == 1


def refuse() -> AbstractContextManager[object]:
    raise RuntimeError("the launch is too old")


def unreachable(server: ScriptedServer) -> tuple[str, Callable[[], Any] | None]:
    return f"http://127.0.0.1:{free_port()}", None


def unguarded(server: ScriptedServer) -> tuple[str, Callable[[], Any] | None]:
    return server.url, refuse


@pytest.mark.parametrize("case", [unreachable, unguarded])
def test_what_was_certainly_not_sent_is_not_counted(
    server: ScriptedServer,
    sleeps: list[float],
    purse: Purse,
    case: Callable[[ScriptedServer], tuple[str, Callable[[], Any] | None]],
) -> None:
    url, guard = case(server)
    assert edge(url, sleeps, purse).submit(new_order(), guard).outcome is Outcome.DENIED
    assert purse.told == []


def test_an_order_without_an_answer_is_counted(
    server: ScriptedServer, sleeps: list[float], purse: Purse
) -> None:
    server.on(ORDERS, Reply(drop=True))
    assert edge(server.url, sleeps, purse).submit(new_order()).outcome is Outcome.UNRESOLVED
    ((call, answer, asked),) = purse.told
    assert (call, answer.status, asked) == (Call.SUBMIT, None, False)


def test_a_429_is_told_as_such(server: ScriptedServer, sleeps: list[float], purse: Purse) -> None:
    server.on(ORDERS, Reply(429, {"message": "too many requests."}, STATED))
    result = edge(server.url, sleeps, purse).submit(new_order())
    assert (result.outcome, result.kind) == (Outcome.REJECTED, "rate_limited")
    assert purse.told[0][1].refused


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (STATED, 20.0),
        ({"X-RateLimit-Reset": "1800000030"}, 30.0),
        ({"X-RateLimit-Reset": "1800000030", "Date": "yesterday"}, 30.0),
        ({"X-RateLimit-Reset": "1799999000"}, 0.0),
        ({"X-RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
def test_the_reset_is_read_on_the_brokers_own_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert seconds_to_reset(headers, now=1_800_000_000.0) == seconds
