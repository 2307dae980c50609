"""From what went wrong on the wire to a sentence, and for reads to the right error."""

from __future__ import annotations

import requests

from stealer.broker.answers import Cleaner, ErrorAnswer
from stealer.broker.interface import (
    BrokerError,
    BrokerNotFound,
    BrokerRateLimited,
    BrokerRefused,
    BrokerUnauthorized,
    BrokerUnavailable,
    RequestBudget,
)
from stealer.broker.transport import Timeouts

#: How deep the causes of a connection failure are searched; they are three or four deep.
_MAX_DEPTH = 8


def reason_of(error: BaseException, timeouts: Timeouts, clean: Cleaner) -> str:
    """Why a call on the wire failed, in a few words without keys."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeouts.connect:g} s"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no answer within {timeouts.read:g} s"
    if isinstance(error, requests.JSONDecodeError):
        return "the answer was not JSON (a proxy's or a maintenance page?)"
    cause = _root(error)
    if isinstance(cause, OSError) and cause.strerror:
        return clean(cause.strerror)
    return clean(f"{type(cause).__name__}: {cause}")


def _root(error: BaseException) -> BaseException:
    """The innermost cause: requests and urllib3 wrap it in arguments, ``reason`` and chains."""
    for _ in range(_MAX_DEPTH):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            wrapped = [item for item in error.args if isinstance(item, BaseException)]
            inner = wrapped[0] if wrapped else error.__cause__
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def read_failure(what: str, answer: ErrorAnswer, budget: RequestBudget | None) -> BrokerError:
    """The error a read ends with after an answer outside 2xx."""
    if answer.status == 429:
        return BrokerRateLimited(what, budget.reset_at if budget is not None else None)
    if answer.status == 401 or (answer.status == 403 and answer.from_broker):
        return BrokerUnauthorized(
            f"{what}: the broker refused the keys ({answer.status}: {answer.message}); paper keys "
            "work on the paper server only, live keys on the live server only"
        )
    if answer.is_not_found:
        return BrokerNotFound(what, answer.status, answer.code, answer.message)
    if answer.is_verdict and answer.status != 404:
        return BrokerRefused(what, answer.status, answer.code, answer.message)
    hint = "; is the address right?" if answer.status == 404 else ""
    return BrokerUnavailable(f"{what}: the broker answered {answer.status}: {answer.message}{hint}")
