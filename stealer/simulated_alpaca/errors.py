"""Every refusal of the server, in Alpaca's words: HTTP status, code, message, extra fields."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def number(value: Decimal) -> str:
    """A decimal as Alpaca prints it: plain digits, no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class ApiError(Exception):
    """A refusal with an HTTP ``status`` and a JSON ``body`` holding ``code`` and ``message``."""

    def __init__(self, status: int, code: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.body: dict[str, Any] = {"code": code, "message": message, **extra}


def malformed(message: str) -> ApiError:
    """A request that cannot be read."""
    return ApiError(422, 40010001, message)


def unprocessable(message: str) -> ApiError:
    """A request that is well formed and against a rule."""
    return ApiError(422, 42210000, message)


def duplicate_id() -> ApiError:
    """The client order id was used before, live or dead."""
    return ApiError(422, 40010001, "client_order_id must be unique")


def not_found(what: str) -> ApiError:
    """Nothing of that name."""
    return ApiError(404, 40410000, what)


def insufficient_buying_power(available: Decimal, cost: Decimal) -> ApiError:
    """A stock order beyond the buying power. USD."""
    return ApiError(
        403,
        40310000,
        "insufficient buying power",
        buying_power=number(available),
        cost_basis=number(cost),
    )


def insufficient_balance(
    currency: str, requested: Decimal, available: Decimal, balance: Decimal
) -> ApiError:
    """A crypto order beyond the cash, or a sale of coins that are not there."""
    return ApiError(
        403,
        40310000,
        f"insufficient balance for {currency} "
        f"(requested: {number(requested)}, available: {number(available)})",
        available=number(available),
        balance=number(balance),
        symbol=currency,
    )


def insufficient_qty(
    symbol: str, requested: Decimal, existing: Decimal, held: Decimal, related: list[str]
) -> ApiError:
    """The quantity is held by other open orders, or is not there."""
    available = max(existing - held, Decimal(0))
    return ApiError(
        403,
        40310000,
        f"insufficient qty available for order "
        f"(requested: {number(requested)}, available: {number(available)})",
        available=number(available),
        existing_qty=number(existing),
        held_for_orders=number(held),
        related_orders=related,
        symbol=symbol,
    )


def below_minimum(minimum: Decimal, cost: Decimal) -> ApiError:
    """An order that is too small. USD."""
    return ApiError(
        403,
        40310000,
        f"cost basis must be >= minimal amount of order {number(minimum)}",
        cost_basis=number(cost),
    )


def wash_trade(existing_order_id: str, reason: str) -> ApiError:
    """The order could trade with the account's own order."""
    return ApiError(
        403,
        40310000,
        "potential wash trade detected. use complex orders",
        existing_order_id=existing_order_id,
        reject_reason=reason,
    )


def forbidden(message: str) -> ApiError:
    """Refused for the account."""
    return ApiError(403, 40310000, message)


def already(state: str) -> ApiError:
    """A cancel or a replace that came too late."""
    return unprocessable(f'order is already in "{state}" state')


def unauthorized() -> ApiError:
    """Missing or wrong keys."""
    return ApiError(401, 40110000, "request is not authorized")


def too_many_requests() -> ApiError:
    """The rate limit."""
    return ApiError(429, 42910000, "rate limit exceeded")
