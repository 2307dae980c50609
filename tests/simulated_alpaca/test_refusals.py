"""Every refusal in one list, and which query parameters have an effect.

`refusals.json` holds a line for each refusal: endpoint, status, code, message with its figures as
N, further fields, and what was seen at Alpaca: code and words, the code only, or neither, when they
are ours. The specification says of a refusal only its status, and that its body has a code and a
message.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_alpaca.conversation import Conversation, held

FOLDER = Path(__file__).parent
REFUSALS: list[list[Any]] = json.loads((FOLDER / "refusals.json").read_text())
TABLE = json.loads((FOLDER / "specification.json").read_text())
ENDPOINTS = {f"{entry['method']} {entry['path']}": entry for entry in TABLE["endpoints"]}
#: Alpaca refuses so at endpoints whose specification leaves the status out.
UNSPECIFIED = {401: "wrong keys", 404: "nothing of that name", 422: "cannot be read or done"}
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


def test_a_refusals_status_is_specified_or_of_a_kind_that_alpaca_leaves_out() -> None:
    for endpoint, status, *_ in REFUSALS:
        assert status in {*ENDPOINTS[endpoint]["statuses"], *UNSPECIFIED}, (endpoint, status)


def test_what_is_ours_is_told_from_what_was_seen_at_alpaca() -> None:
    assert {recorded[5] for recorded in REFUSALS} == {"code and words", "code", "ours"}


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
