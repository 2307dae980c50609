"""Whether the account may place an order: the rules behind the 403 answers.

Order of the checks: minimum, wash trade, held quantity, shorting, buying power. Alpaca does not
document its order; clients should not rely on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from .account import ZERO, Account, Figures
from .errors import (
    ApiError,
    below_minimum,
    forbidden,
    insufficient_balance,
    insufficient_buying_power,
    insufficient_qty,
    unprocessable,
    wash_trade,
)
from .orders import Order

NUMBERS = re.compile(r"\d+(\.\d+)?(E[+-]?\d+)?")


def check_entry(
    order: Order,
    holding: Sequence[Order],
    account: Account,
    now: Figures,
    enforce_buying_power: bool = True,
) -> ApiError | None:
    """The refusal that ``order`` earns, or None. ``holding``: orders that hold something."""
    cost = order.qty * order.price
    if cost < order.asset.minimum_notional:
        return below_minimum(order.asset.minimum_notional, cost)
    opposite = [o for o in holding if o.live and o.symbol == order.symbol and o.side != order.side]
    problem = _wash_trade(order, opposite)
    if problem is None:
        reducible = _reducible(order, account)
        if reducible > 0:
            return _reduction(order, holding, reducible)
        problem = _opening(order, opposite, account, now)
    if problem is None and enforce_buying_power:
        problem = _funds(order, cost, now)
    return problem


def _wash_trade(order: Order, opposite: Sequence[Order]) -> ApiError | None:
    for other in opposite:
        if other.limit_price is None or order.limit_price is None:
            return wash_trade(other.id, "opposite side market/stop order exists")
        buy, sell = (order, other) if order.side == "buy" else (other, order)
        if (buy.limit_price or ZERO) >= (sell.limit_price or ZERO):
            return wash_trade(other.id, "opposite side limit order exists")
    return None


def _reducible(order: Order, account: Account) -> Decimal:
    """How much of an opposite holding there is for the order to reduce."""
    holding = account.qty(order.symbol)
    return max(holding if order.side == "sell" else -holding, ZERO)


def _reduction(order: Order, holding: Sequence[Order], existing: Decimal) -> ApiError | None:
    """An exit may not exceed what is there and not held: no order flips a side."""
    related = [o for o in holding if o.symbol == order.symbol and o.side == order.side]
    held = min(sum((o.remaining for o in related), ZERO), existing)
    if order.qty <= existing - held:
        return None
    asset = order.asset
    if asset.is_crypto and order.qty > existing:
        return insufficient_balance(asset.base, order.qty, existing - held, existing)
    return insufficient_qty(
        asset.position_symbol, order.qty, existing, held, [o.id for o in related]
    )


def _opening(
    order: Order, opposite: Sequence[Order], account: Account, now: Figures
) -> ApiError | None:
    """Rules for an order that opens or enlarges a position."""
    # With a flat account, an open order of the other side is an entry too: it would be crossed.
    flat = account.qty(order.symbol) == 0
    if order.side == "buy":
        if opposite and flat and not order.asset.is_crypto:
            return forbidden("cannot open a long buy while a short sell order is open")
        return None
    if order.asset.is_crypto:
        return insufficient_balance(order.asset.base, order.qty, ZERO, ZERO)
    if opposite and flat:
        return forbidden("cannot open a short sell while a long buy order is open")
    if order.qty % 1 != 0:
        return unprocessable("fractional orders cannot be sold short")
    if now.multiplier == 1:
        return forbidden("account is not allowed to short")
    return None


def _funds(order: Order, cost: Decimal, now: Figures) -> ApiError | None:
    if order.asset.is_crypto:
        if cost > now.non_marginable:
            return insufficient_balance("USD", cost, now.non_marginable, now.cash)
    elif cost > now.buying_power:
        return insufficient_buying_power(now.buying_power, cost)
    return None


def reason(error: ApiError) -> str:
    """A refusal as a key to count by: its code and its message without the numbers."""
    words = error.message.split(" (")[0].split(". ")[0]
    return f"{error.code} {NUMBERS.sub('N', words)}"


__all__ = ["check_entry", "reason"]
