"""How much of a marketable order fills at once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from .orders import Order, round_qty


@dataclass(frozen=True)
class FillModel:
    """Random partial fills, drawn from the seed and the order, not from a shared stream.

    So one order's luck does not depend on how many others there are.
    """

    seed: int
    partial_probability: float

    def quantity(self, order: Order) -> Decimal:
        """The quantity of the next execution: the remainder, or now and then a part of it."""
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
