"""Reading the broker's refusals: which of its words mean which outcome.

One code has several meanings at Alpaca (40310000 is missing buying power, a wash trade or held
quantity), so the message decides as well. What is not a JSON object with a message did not come
from Alpaca's order desk and is never taken for its verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from stealer.evidence import TERMINAL_STATUSES

#: Alpaca's code for "there is no such order, asset or position".
NOT_FOUND = 40410000

#: The longest piece of a broker's answer that is repeated in a message, in characters.
_MAX_TEXT = 200

#: Shorter keys are a simulator's ("k"): hiding them would tear holes into ordinary words.
_MIN_SECRET = 8

_STATE = re.compile(r'already in "?(\w+)"? state')

#: First match wins; fragments of Alpaca's messages, in lower case.
_KINDS: tuple[tuple[str, str], ...] = (
    ("client_order_id must be unique", "duplicate_id"),
    ("insufficient buying power", "insufficient_buying_power"),
    ("insufficient balance", "insufficient_balance"),
    ("wash trade", "wash_trade"),
    ("insufficient qty", "held_quantity"),
    ("held_for_orders", "held_quantity"),
    ("cost basis must be", "minimum"),
    ("minimal amount", "minimum"),
    ("minimal qty", "minimum"),
    ("sub-penny", "price_tick"),
    ("pricing criteria", "price_tick"),
    ("price increment", "price_tick"),
    ("not tradable", "not_tradable"),
    ("not active", "not_tradable"),
    ("asset not found", "not_tradable"),
    ("could not find asset", "not_tradable"),
    ("sold short", "not_tradable"),
)

#: 4xx that are about the wire and not a verdict on the order: a proxy's or server's timeout.
_NO_VERDICT = frozenset({408, 499})


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An answer outside 2xx. ``from_broker``: it is JSON in Alpaca's form; else text is noise."""

    status: int
    from_broker: bool
    code: int | None
    message: str

    @property
    def is_verdict(self) -> bool:
        """True if the broker itself refused: nothing exists. Never for 5xx or foreign bodies."""
        return self.from_broker and 400 <= self.status < 500 and self.status not in _NO_VERDICT

    @property
    def is_not_found(self) -> bool:
        """True only for 404 with Alpaca's own code: a wrong address answers 404 as well."""
        return self.from_broker and self.status == 404 and self.code == NOT_FOUND


class Cleaner:
    """Makes foreign text fit to be shown: one short line, without the account's keys."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _MIN_SECRET)

    def __call__(self, text: object) -> str:
        line = " ".join(str(text).split())
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 3] + "..."

    def __repr__(self) -> str:
        return "Cleaner(***)"


def read_error(status: int, text: str, clean: Cleaner) -> ErrorAnswer:
    """Understand the body of an answer outside 2xx, whatever it is."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        return ErrorAnswer(status, False, None, clean(text) or "an empty answer")
    code = body.get("code")
    number = int(code) if isinstance(code, int | str) and str(code).isdecimal() else None
    return ErrorAnswer(status, True, number, clean(body["message"]))


def refusal_kind(answer: ErrorAnswer) -> str:
    """Our short name for why an order was refused (the list is in ``SubmitResult``)."""
    if answer.status == 429:
        return "rate_limited"
    message = answer.message.lower()
    for fragment, kind in _KINDS:
        if fragment in message:
            return kind
    if answer.status == 401 or (answer.status == 403 and _is_about_keys(message)):
        return "unauthorized"
    return "other"


def _is_about_keys(message: str) -> bool:
    return "forbidden" in message or "not authorized" in message or "unauthorized" in message


def state_blocking_cancel(answer: ErrorAnswer) -> str | None:
    """The order's state if that is why a cancel was refused: ``already in "filled" state``."""
    found = _STATE.search(answer.message.lower()) if answer.from_broker else None
    return found.group(1) if answer.status == 422 and found else None


def is_over(state: str) -> bool:
    """True if an order in *state* can never fill again."""
    return state in TERMINAL_STATUSES
