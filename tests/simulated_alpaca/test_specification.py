"""Every answer of the server, held against Alpaca's public specification and alpaca-py's models."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from alpaca.data.models import Bar, Quote
from alpaca.trading.models import (
    Asset,
    Calendar,
    Clock,
    ClosePositionResponse,
    Order,
    Position,
    TradeAccount,
)
from alpaca.trading.requests import CancelOrderResponse

from stealer.simulated_alpaca import routes_data, routes_trading
from tests.simulated_alpaca.comparison import (
    DIFFERENCES,
    ERRORS,
    PAGE,
    SPECIFICATION,
    Findings,
    page,
    recorded_fields,
)
from tests.simulated_alpaca.conversation import Conversation, held

ENDPOINTS = SPECIFICATION["endpoints"]
#: Our routes' names of what the specification calls otherwise.
SPELLINGS = {
    "/v2/positions/{symbol:path}": "/v2/positions/{symbol_or_asset_id}",
    "/v2/assets/{symbol:path}": "/v2/assets/{symbol_or_asset_id}",
    "/v1beta3/crypto/us/": "/v1beta3/crypto/{loc}/",
}


def endpoint(method: str, path: str) -> str:
    for ours, theirs in SPELLINGS.items():
        path = path.replace(ours, theirs)
    return f"{method} {path}"


def served() -> set[str]:
    return {
        endpoint(method, route.path)
        for route in [*routes_trading.ROUTES, *routes_data.ROUTES]
        for method in (route.methods or set()) - {"HEAD"}
    }


@pytest.fixture(scope="module")
def talk() -> Conversation:
    return held()


@pytest.fixture(scope="module")
def findings(talk: Conversation) -> Findings:
    found = Findings()
    for answer in talk.answers:
        if not answer.refused:
            found.answer(ENDPOINTS[answer.endpoint]["answers"][str(answer.status)], answer.body)
    return found


def test_the_conversation_reaches_every_endpoint_served(talk: Conversation) -> None:
    assert {answer.endpoint for answer in talk.answers if not answer.refused} == served()


def test_every_endpoint_of_the_specification_is_served_or_named() -> None:
    assert served() | DIFFERENCES["not_served"].keys() == ENDPOINTS.keys()
    assert not served() & DIFFERENCES["not_served"].keys()
    families = set(DIFFERENCES["families_not_served"])
    unnamed = [
        other
        for other in SPECIFICATION["other_trading_endpoints"]
        if not any(other.split()[1].startswith(family) for family in families)
    ]
    assert unnamed == []


def test_the_fields_that_differ_are_the_recorded_ones(findings: Findings) -> None:
    assert findings.fields() == recorded_fields()


def test_no_required_field_is_left_out(findings: Findings) -> None:
    required = {name: set(entry["required"]) for name, entry in SPECIFICATION["objects"].items()}
    assert {n: findings.missing[n] & required[n] for n in findings.seen} == {
        name: set() for name in findings.seen
    }


def test_types_are_the_specifications_but_for_the_recorded_ones(findings: Findings) -> None:
    assert {text.split()[0] for text in findings.wrong} == DIFFERENCES["types"].keys()


def test_values_beyond_an_enumeration_are_the_recorded_ones(findings: Findings) -> None:
    recorded = {name: set(values) for name, values in DIFFERENCES["values"].items()}
    assert dict(findings.values) == recorded


def test_statuses_beyond_the_specification_are_the_recorded_ones(talk: Conversation) -> None:
    beyond: dict[str, set[str]] = {}
    for answer in talk.answers:
        entry = ENDPOINTS[answer.endpoint]
        if answer.status not in {*map(int, entry["answers"]), *entry["errors"]}:
            beyond.setdefault(answer.endpoint, set()).add(str(answer.status))
    assert beyond == {name: set(codes) for name, codes in DIFFERENCES["statuses"].items()}


def test_parameters_that_are_not_read_are_the_recorded_ones(talk: Conversation) -> None:
    read = {endpoint(*route.split()): names for route, names in talk.read.items()}
    ignored = {
        name: set(ENDPOINTS[name]["query"]) - read.get(name, set())
        for name in served()
        if set(ENDPOINTS[name]["query"]) - read.get(name, set())
    }
    assert ignored == {name: set(found) for name, found in DIFFERENCES["query_ignored"].items()}
    beyond = {name: names - set(ENDPOINTS[name]["query"]) for name, names in read.items()}
    assert {name for name, names in beyond.items() if names} == set()


def test_the_errors_are_the_recorded_ones(talk: Conversation) -> None:
    found = {error_line(a.endpoint, a.status, a.body) for a in talk.answers if a.refused}
    assert found == {tuple(line[:5]) for line in ERRORS}


def test_every_refusal_has_a_code_and_a_message(talk: Conversation) -> None:
    refusals = Findings()
    for answer in talk.answers:
        if answer.refused:
            refusals.object("error", answer.body)
    assert refusals.missing["error"] == set()
    assert refusals.wrong == set()


def test_the_page_says_what_is_recorded() -> None:
    """Written by ``python -m tests.simulated_alpaca.comparison``."""
    assert PAGE.read_text() == page()


def error_line(name: str, status: int, body: dict[str, Any]) -> tuple[str, int, int, str, str]:
    """Endpoint, status, code, message with its figures as N, and the names of further fields."""
    message = re.sub(r"[0-9a-f-]{36}|\d+(\.\d+)?", "N", body["message"])
    return name, status, body["code"], message, " ".join(sorted(body.keys() - {"code", "message"}))


def quotes(page: dict[str, Any]) -> None:
    for symbol, quote in page["quotes"].items():
        assert Quote(symbol, quote).symbol == symbol


def bars(page: dict[str, Any]) -> None:
    for symbol, found in page["bars"].items():
        assert [Bar(symbol, bar).symbol for bar in found] == [symbol] * len(found)


def each(model: Any) -> Callable[[Any], None]:
    """Builds the model, as the client does, of one answer or of each in a list."""

    def build(body: Any) -> None:
        for item in body if isinstance(body, list) else [body]:
            model(**item)

    return build


MODELS: dict[str, Callable[[Any], None]] = {
    "account": each(TradeAccount),
    "order": each(Order),
    "[order]": each(Order),
    "position": each(Position),
    "[position]": each(Position),
    "[canceled_order]": each(CancelOrderResponse),
    "[closed_position]": each(ClosePositionResponse),
    "asset": each(Asset),
    "[asset]": each(Asset),
    "clock": each(Clock),
    "[calendar_day]": each(Calendar),
    "quotes_page of crypto_quote": quotes,
    "quotes_page of stock_quote": quotes,
    "bars_page of crypto_bar": bars,
    "bars_page of stock_bar": bars,
}


def test_alpaca_py_accepts_every_answer(talk: Conversation) -> None:
    accepted = set()
    for answer in talk.answers:
        if answer.refused or answer.body is None:
            continue
        shape = ENDPOINTS[answer.endpoint]["answers"][str(answer.status)]
        MODELS[shape](answer.body)
        accepted.add(answer.endpoint)
    assert accepted == served() - {"DELETE /v2/orders/{order_id}"}


def test_the_conversation_shows_orders_in_every_state_they_reach(talk: Conversation) -> None:
    states = {
        order["status"]
        for answer in talk.answers
        if not answer.refused and ENDPOINTS[answer.endpoint]["answers"].get("200") == "order"
        for order in [answer.body]
    }
    assert states >= {"pending_new", "accepted", "new", "filled", "canceled", "expired"}
    assert states >= {"replaced", "rejected"}
