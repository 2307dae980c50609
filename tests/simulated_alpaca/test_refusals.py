"""Every refusal in one list, and which query parameters have an effect.

`refusals.json` holds a line for each refusal: endpoint, status, code, message with its figures as
N, further fields, what was seen at Alpaca (code and words, the code only, or neither, when they
are ours), and where it is known what Alpaca says instead. What all endpoints have in common, keys
and rate, stands there for a few; a replacement and a position's close may earn any refusal of an
order, and stand there with some. The specification says of a refusal only its status, and that its
body has a code and a message.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import stealer.simulated_alpaca
from tests.simulated_alpaca.conversation import Conversation, held

FOLDER = Path(__file__).parent
REFUSALS: list[list[Any]] = json.loads((FOLDER / "refusals.json").read_text())
TABLE = json.loads((FOLDER / "specification.json").read_text())
ENDPOINTS = {f"{entry['method']} {entry['path']}": entry for entry in TABLE["endpoints"]}
#: Alpaca refuses so at endpoints whose specification leaves the status out.
UNSPECIFIED = {
    401: "wrong keys",
    403: "not with what the account has",
    404: "nothing of that name",
    422: "cannot be read or done",
    429: "too often",
}
#: What the server says of any endpoint that is not served.
NOT_SERVED = {404, 405}
SOURCE = Path(stealer.simulated_alpaca.__file__).parent
#: Its refusals are those of the controls, which Alpaca does not have.
CONTROLS = "routes_sim.py"
#: Without effect because no order has legs, whether they are asked for or not.
NO_LEGS = {"nested"}
#: Read at one endpoint more than the specification has, since two share a handler.
SHARED = {"category"}
NUMBER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+(\.\d+)?")


@pytest.fixture(scope="module")
def talk() -> Conversation:
    return held()


def line(endpoint: str, status: int, body: dict[str, Any]) -> tuple[str, int, int, str, str]:
    further = " ".join(sorted(body.keys() - {"code", "message"}))
    return endpoint, status, body["code"], NUMBER.sub("N", body["message"]), further


def test_the_conversation_reaches_every_endpoint(talk: Conversation) -> None:
    assert {answer.endpoint for answer in talk.answers if not answer.refused} == ENDPOINTS.keys()


def test_the_refusals_are_the_recorded_ones(talk: Conversation) -> None:
    found = {line(a.endpoint, a.status, a.body) for a in talk.answers if a.refused}
    assert found == {tuple(recorded[:5]) for recorded in REFUSALS}


def calls_that_refuse() -> dict[tuple[str, int, int], str]:
    """Every call in the source that makes a refusal: file, first and last line, and its text."""
    trees = {file: ast.parse(file.read_text()) for file in sorted(SOURCE.glob("*.py"))}
    nodes = [(file.name, node) for file, tree in trees.items() for node in ast.walk(tree)]
    makers = {"ApiError"} | {
        node.name
        for _, node in nodes
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.returns, ast.Name)
        and node.returns.id == "ApiError"
    }
    return {
        (file, node.lineno, node.end_lineno or node.lineno): ast.unparse(node)
        for file, node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in makers
        and file != CONTROLS
    }


def test_every_refusal_that_the_source_can_make_is_made(talk: Conversation) -> None:
    """And so recorded, by the test above: a new one is missed here until it is provoked."""
    calls = calls_that_refuse()
    assert len(calls) > 60
    missed = [
        f"{file}:{first} {text}"
        for (file, first, last), text in calls.items()
        if not any((file, line) in talk.raised for line in range(first, last + 1))
    ]
    assert missed == []


def test_a_refusals_status_is_specified_or_of_a_kind_that_alpaca_leaves_out() -> None:
    for endpoint, status, *_ in REFUSALS:
        if endpoint in TABLE["not_served"]:
            assert status in NOT_SERVED
            continue
        assert status in {*ENDPOINTS[endpoint]["statuses"], *UNSPECIFIED}, (endpoint, status)


def test_what_is_ours_is_told_from_what_was_seen_at_alpaca() -> None:
    assert {recorded[5] for recorded in REFUSALS} == {"code and words", "code", "ours"}
    assert {recorded[5] for recorded in REFUSALS if len(recorded) > 6} == {"ours"}


def test_parameters_without_effect_are_the_recorded_ones(talk: Conversation) -> None:
    """A parameter has an effect only if its handler asks for it."""
    for name, entry in ENDPOINTS.items():
        read = talk.read.get(name, set())
        assert set(entry["query"]) - read - NO_LEGS == set(entry.get("ignored", ())), name
        assert read <= {*entry["query"], *SHARED}, name


def test_the_conversation_shows_orders_in_every_state_they_reach(talk: Conversation) -> None:
    states = {
        answer.body["status"]
        for answer in talk.answers
        if not answer.refused and ENDPOINTS[answer.endpoint]["answer"] == "Order"
    }
    assert states >= {"pending_new", "accepted", "new", "filled", "canceled", "expired"}
    assert states >= {"replaced", "rejected"}
