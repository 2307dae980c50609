"""When an order fills, how much of it, and what a fill moves."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from .orders import Order, round_qty
from .prices import BPS, Quote


@dataclass(frozen=True)
class FillModel:
    """Random partial fills, drawn from the seed and the order, not from a shared stream.

    So one order's luck does not depend on how many others there are.
    """

    seed: int
    partial_probability: float

    def quantity(self, order: Order) -> Decimal:
        """The quantity of the next execution: the remainder, or now and then a part of it."""
        if order.time_in_force == "fok":
            return order.remaining
        draw = random.Random(f"{self.seed}:{order.sequence}:{order.filled_qty}")
        if draw.random() >= self.partial_probability:
            return order.remaining
        return self.fraction(order, Decimal(draw.randint(10, 90)) / 100) or order.remaining

    @staticmethod
    def fraction(order: Order, part: Decimal) -> Decimal:
        """``part`` of the remainder, in whole shares when the order is in whole shares."""
        qty = order.remaining * part
        if not order.asset.is_crypto and order.remaining % 1 == 0:
            return qty.quantize(Decimal(1), ROUND_DOWN)
        return round_qty(qty)


def opposite(order: Order, quote: Quote) -> Decimal:
    """The side of the quote that the order would trade with, USD."""
    return quote.ask if order.side == "buy" else quote.bid


def marketable(order: Order, price: Decimal) -> bool:
    """Whether the opposite side's ``price`` satisfies the order's limit."""
    if order.limit_price is None:
        return True
    return price <= order.limit_price if order.side == "buy" else price >= order.limit_price


def triggered(order: Order, quote: Quote) -> bool:
    """Whether a stop has been reached, now or before; true for an order without one."""
    if order.stop_price is None or order.stop_triggered:
        return True
    price = opposite(order, quote)
    return price >= order.stop_price if order.side == "buy" else price <= order.stop_price


def fill_during_cancel(order: Order, quote: Quote) -> tuple[Decimal, Decimal]:
    """Quantity and price at which an order fills while its cancel is under way (a fault)."""
    price = opposite(order, quote)
    if not marketable(order, price):
        price = order.price
    part = order.partial_fraction if order.cancel_outcome == "partial" else Decimal(1)
    return FillModel.fraction(order, part), price


def proceeds(
    order: Order, qty: Decimal, price: Decimal, fee_bps: Decimal
) -> tuple[Decimal, Decimal]:
    """What a fill moves: signed units and signed USD; a crypto fee comes off what is received."""
    sign = Decimal(1) if order.side == "buy" else Decimal(-1)
    units, cash = sign * qty, -sign * qty * price
    if order.asset.is_crypto:
        kept = 1 - fee_bps * BPS
        if order.side == "buy":
            units = round_qty(qty * kept)
        else:
            cash *= kept
    return units, cash
