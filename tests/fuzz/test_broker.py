"""The broker's edge on a server that answers anything: a record or a broker error, no verdict.

What would free money must be said clearly: a refusal by the broker's own error object, an absence
by its own code, an end by a whole order with the id that was asked for.
"""

# ruff: noqa: PT017 - an error is one of two good endings here, and its words are checked
from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.interface import BrokerError
from stealer.broker.retries import ReadRetries
from stealer.errors import StealerError
from stealer.evidence import Outcome
from tests.broker.conftest import ORDER_ID, account_json, make_broker, new_order, order_json
from tests.broker.scripted_server import Reply, ScriptedServer, Seen
from tests.coordination.desk import Desk
from tests.entry.stage import Stage as EntryStage
from tests.fuzz.effort import effort
from tests.fuzz.garbage import words
from tests.keeper.conftest import desk_on, keeper_of
from tests.support import ManualClock

POSITION = {
    "symbol": "AAPL",
    "qty": "3",
    "market_value": "600",
    "side": "long",
    "asset_class": "us_equity",
}
CLOCK = {"is_open": True, "timestamp": "2026-05-01T12:00:00Z", "next_open": "2026-05-02T13:30:00Z",
         "next_close": "2026-05-01T20:00:00Z"}  # fmt: skip
ASSET = {"symbol": "BTC/USD", "class": "crypto", "tradable": True, "fractionable": True,
         "shortable": False, "status": "active"}  # fmt: skip
QUOTES = {"quotes": {"BTC/USD": {"bp": 1.5, "ap": 1.6, "t": "2026-05-01T12:00:00.1Z"}}}
ERROR = {"code": 40410000, "message": "order not found"}
TEMPLATES: tuple[Any, ...] = (
    order_json(), [order_json()], account_json(), [POSITION], CLOCK, ASSET, QUOTES, ERROR, [], {},
)  # fmt: skip
STATUSES = (200,) * 8 + (201, 202, 204, 206, 301, 304, 400, 401, 403, 404, 404, 408, 409, 418, 422,
                         429, 499, 500, 502, 503, 504, 520, 599)  # fmt: skip

anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(),
        words,
        st.sampled_from(
            ["canceled", "filled", "new", "rejected", "replaced", "expired", "odd", "9" * 4400]
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["id", "code", "message", "status", "x"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


@st.composite
def documents(draw: st.DrawFn, template: Any = None) -> Any:
    """A good answer with up to three values replaced, removed or added; or anything at all."""
    if draw(st.integers(0, 5)) == 0:
        return draw(anything)
    document = deepcopy(draw(st.sampled_from(TEMPLATES)) if template is None else template)
    for _ in range(draw(st.integers(0, 3))):
        place = document[0] if isinstance(document, list) and document else document
        if not isinstance(place, dict):
            break
        name = draw(st.sampled_from([*place, "extra"]))
        if draw(st.integers(0, 3)) == 0:
            place.pop(name, None)
        else:
            place[name] = draw(anything)
    return document


@st.composite
def replies(draw: st.DrawFn, template: Any = None) -> Reply:
    status = draw(st.sampled_from(STATUSES))
    raw = json.dumps(draw(documents(template))).encode("utf-8", "replace")
    how = draw(st.sampled_from(["whole"] * 8 + ["half", "bytes", "html", "drop", "cut"]))
    body: Any = {
        "half": raw[: len(raw) // 2],
        "bytes": draw(st.binary(max_size=20)),
        "html": "<p>",
    }.get(how, raw)
    if status in (204, 304):
        body = None
    return Reply(
        status, body, {"Content-Type": "application/json"}, drop=how == "drop", cut=how == "cut"
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture(scope="module")
def edge(server: ScriptedServer) -> Iterator[AlpacaBroker]:
    made = make_broker(server.url, [], retries=ReadRetries(attempts=1))
    yield made
    made.close()


def clear(reply: Reply, *statuses: int) -> bool:
    """The broker's own error object, with one of *statuses*."""
    try:
        body = json.loads(reply.raw)
    except (ValueError, RecursionError):
        return False
    whole = not reply.cut and not reply.drop and reply.status in statuses
    return whole and isinstance(body, dict) and isinstance(body.get("message"), str)


def not_found(reply: Reply) -> bool:
    return clear(reply, 404) and str(json.loads(reply.raw).get("code")) == "40410000"


READS: dict[str, Callable[[AlpacaBroker], Any]] = {
    "open orders": lambda b: b.open_orders(),
    "positions": lambda b: b.positions(),
    "account": lambda b: b.account(),
    "quotes": lambda b: b.quotes(["BTCUSD", "AAPL"]),
    "asset": lambda b: b.asset("BTCUSD"),
    "clock": lambda b: b.clock(),
    "by client id": lambda b: b.order_by_client_id("ws-1"),
    "by id": lambda b: b.order_by_id(ORDER_ID),
    "snapshot": lambda b: b.snapshot(),
}


def answering(server: ScriptedServer, reply: Reply) -> None:
    def answer(seen: Seen) -> Reply:
        return reply

    server.answer = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("name", READS)
def test_a_read_is_a_record_or_a_broker_error(
    server: ScriptedServer, edge: AlpacaBroker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    @effort(25)
    @given(replies())
    def attempt(reply: Reply) -> None:
        answering(server, reply)
        try:
            found = READS[name](edge)
        except BrokerError as error:
            assert len(str(error)) < 1000
            return
        assert 200 <= reply.status < 300
        if name in ("open orders", "positions") and not found:
            assert json.loads(reply.raw) == []
        if name == "by client id":
            assert found.client_order_id == "ws-1"
        if name == "by id":
            assert found.id == ORDER_ID

    @effort(25)
    @given(replies())
    def look_up(reply: Reply) -> None:
        answering(server, reply)
        try:
            found = READS[name](edge)
        except BrokerError:
            return
        if found is None:
            assert not_found(reply), reply
        else:
            assert (
                found.client_order_id == "ws-1" if name == "by client id" else found.id == ORDER_ID
            )
            if found.is_terminal:
                raw = json.loads(reply.raw)
                assert str(raw["filled_qty"])
                assert found.status != "filled" or found.filled_qty >= found.qty

    look_up() if name.startswith("by ") else attempt()


def test_an_order_or_a_cancel_ends_without_a_verdict_that_was_not_given(
    server: ScriptedServer, edge: AlpacaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    @effort(120)
    @given(replies())
    def attempt(reply: Reply) -> None:
        answering(server, reply)
        sent = edge.submit(new_order())
        if sent.outcome is Outcome.REJECTED:
            assert clear(reply, *range(400, 500)), reply
            assert reply.status not in (408, 499)
        if sent.outcome is Outcome.CONFIRMED:
            assert sent.order
            assert sent.order.client_order_id == "ws-1"
        assert sent.outcome is not Outcome.DENIED
        canceled = edge.cancel(ORDER_ID)
        if canceled.not_found:
            assert not_found(reply), reply
        if canceled.already_terminal:
            assert clear(reply, *range(400, 500)), reply

    attempt()


# ---- named: what the examples found


@pytest.mark.parametrize(
    "changes",
    [
        {"client_order_id": "somebody-else's"},
        {"client_order_id": None},
        {"filled_qty": None},
        {"filled_qty": ""},
        {"status": "filled", "filled_qty": "0.05"},
    ],
)
def test_an_end_that_is_not_clear_is_none(
    server: ScriptedServer, edge: AlpacaBroker, changes: dict[str, Any]
) -> None:
    answering(server, Reply(200, order_json(status="canceled", filled_qty="0.05") | changes))
    with pytest.raises(BrokerError):
        edge.order_by_client_id("ws-1")


def test_another_order_than_the_one_asked_for_by_id_is_no_answer(
    server: ScriptedServer, edge: AlpacaBroker
) -> None:
    answering(server, Reply(200, order_json(id="another")))
    with pytest.raises(BrokerError):
        edge.order_by_id(ORDER_ID)


# ---- the same answers, in a keeper's passes and in an entry


class Canned:
    """The edge itself with its wire taken away: each read is answered with what *draw* gives."""

    def __init__(self, desk: Desk, draw: Callable[[str], Any]) -> None:
        self.edge = AlpacaBroker(
            "a-key-id", "a-secret-key", crypto_symbols=desk.settings.crypto_symbols,
            trading_url="http://127.0.0.1:9", now=lambda: 0.0,
        )  # fmt: skip
        self.answers: list[tuple[str, Any]] = []
        self._draw = draw
        self.edge._client.read = self._read  # type: ignore[method-assign]
        self.edge._client.write_once = self._write  # type: ignore[method-assign]

    def _read(self, what: str, request: object, call: object) -> object:
        answer = self._draw(what)
        self.answers.append((what, answer))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _write(self, exchange: Any, request: object, call: object) -> object:
        exchange.status = 200
        return self._draw("write")


def good(desk: Desk, what: str) -> Any:
    """The answer of a broker that has the order of every claim."""
    orders = [
        order_json(
            id=f"{number:08}-0000-4000-8000-000000000000", client_order_id=claim.id, status="new",
            symbol=claim.symbol, qty=str(claim.qty), limit_price="100",
            asset_class="crypto" if claim.is_crypto else "us_equity",
        )
        for number, claim in enumerate(desk.coordinator.claims().values())
    ]  # fmt: skip
    if what.startswith("list"):
        return orders
    if what.startswith("look up"):
        found = [o for o in orders if o["client_order_id"] == what.removeprefix("look up order ")]
        return found[0] if found else {"id": "x"}
    if "positions" in what:
        return [POSITION]
    return QUOTES["quotes"] if "quotes" in what else ASSET if "asset" in what else account_json()


def legitimate_ends(canned: Canned) -> set[str]:
    """Ids whose look-up was answered with a whole, terminal order under that id."""
    ends = set()
    for what, answer in canned.answers:
        if what.startswith("look up") and isinstance(answer, dict):
            over = answer.get("status") in ("filled", "canceled", "expired", "rejected", "replaced")
            if over and f"look up order {answer.get('client_order_id')}" == what:
                ends.add(str(answer["client_order_id"]))
    return ends


@effort(20, shrink=False)
@given(st.data())
def keeper_passes(data: st.DataObject) -> None:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    desk = desk_on(client).open_shop(equity=10_000)
    held = [desk.open(symbol, usd=5_000) for symbol in ("AAPL", "MSFT", "BTCUSD")]
    launched = desk.reserve("TSLA", usd=1_000)
    desk.coordinator.launch(launched)

    def draw(what: str) -> Any:
        template = good(desk, what)
        return data.draw(documents(template)) if data.draw(st.booleans()) else template

    canned = Canned(desk, draw)
    clock = ManualClock(0.0)
    keeper = keeper_of(desk, canned.edge, clock, "keeper")  # type: ignore[arg-type]
    for _ in range(3):
        keeper.run_once()
        clock.advance(4)
    ends = legitimate_ends(canned)
    for claim in [*held, launched]:
        assert desk.state(claim) not in ("gone", "closed") or claim.id in ends, canned.answers
    desk.assert_charges_equal_claims()
    assert desk.coordinator.recount(1) == "" or not desk.coordinator.server().certified


def test_a_keepers_passes_over_any_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    keeper_passes()


@effort(20, shrink=False)
@given(st.data())
def entries(data: st.DataObject) -> None:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    desk = Desk(client).open_shop(equity=10_000)

    def draw(what: str) -> Any:
        template = order_json() if what == "write" else good(desk, what)
        return data.draw(documents(template)) if data.draw(st.booleans()) else template

    canned = Canned(desk, draw)
    clock = ManualClock(0.0)
    stage = EntryStage(desk, canned.edge, clock)  # type: ignore[arg-type]
    desk.coordinator.wait = stage.wait  # type: ignore[method-assign]
    for symbol in ("BTCUSD", "AAPL"):
        try:
            stage.open(symbol, 1.0, 6_000)
        except (BrokerError, StealerError):
            continue
    desk.assert_charges_equal_claims()
    assert desk.charged() <= 20_000
    assert desk.coordinator.recount() == ""


def test_entries_over_any_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    entries()
