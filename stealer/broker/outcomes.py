"""One order out: its body, what the answers to it and to its cancel mean, one log line each."""

from __future__ import annotations

import logging

from stealer.broker.answers import ErrorAnswer, is_over, state_blocking_cancel
from stealer.broker.symbols import symbol_for_broker
from stealer.evidence import BrokerOrder, CancelResult, NewOrder, Outcome, SubmitResult
from stealer.model import decimal_text
from stealer.order_rules import placed_as

log = logging.getLogger(__name__)


def order_fields(order: NewOrder, crypto_symbols: frozenset[str]) -> dict[str, str | bool]:
    """The body of the POST. Numbers are plain decimal text: no exponent, no rounding."""
    how = placed_as(order)
    fields: dict[str, str | bool] = {
        "symbol": symbol_for_broker(order.symbol, crypto_symbols),
        "side": order.side,
        "type": "limit",
        "qty": decimal_text(order.qty),
        "limit_price": decimal_text(order.limit_price),
        "time_in_force": how.time_in_force,
        "client_order_id": order.client_order_id,
    }
    if how.extended_hours:
        fields["extended_hours"] = True
    return fields


def confirmed_if_same(order: NewOrder, found: BrokerOrder, kind: str) -> SubmitResult:
    """Confirmed with *found*, unless it is about something else than what was asked for."""
    asked = (order.client_order_id, order.symbol, order.side)
    got = (found.client_order_id, found.symbol, found.side)
    if asked == got:
        return SubmitResult(Outcome.CONFIRMED, found, kind)
    message = f"asked for {asked}, but the broker answered about {got}"
    return SubmitResult(Outcome.UNRESOLVED, kind=kind or "server_error", message=message)


def cancel_refused(answer: ErrorAnswer) -> CancelResult:
    """What a refused cancel means. Only "already over" and "not found" are verdicts."""
    message = f"the broker answered {answer.status}: {answer.message}"
    state = state_blocking_cancel(answer)
    if state is not None and is_over(state):
        return CancelResult(Outcome.REJECTED, already_terminal=True, message=message)
    if state == "pending_cancel":  # the same request is already under way
        return CancelResult(Outcome.CONFIRMED, message=message)
    if answer.is_not_found:
        return CancelResult(Outcome.REJECTED, not_found=True, message=message)
    return CancelResult(Outcome.UNRESOLVED, message=message)


def log_submit(order: NewOrder, result: SubmitResult) -> None:
    """One line for one submit; the order's id ties it to the claim."""
    level = logging.INFO if result.outcome is Outcome.CONFIRMED else logging.WARNING
    log.log(
        level,
        "submit id=%s symbol=%s side=%s qty=%s limit=%s outcome=%s kind=%s %s",
        order.client_order_id,
        order.symbol,
        order.side,
        order.qty,
        order.limit_price,
        result.outcome,
        result.kind,
        result.message,
    )


def log_cancel(order_id: str, result: CancelResult) -> None:
    """One line for one cancel request."""
    level = logging.WARNING if result.outcome is Outcome.UNRESOLVED else logging.INFO
    log.log(level, "cancel order=%s outcome=%s %s", order_id, result.outcome, result.message)
