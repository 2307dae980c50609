"""What an order may cost at worst: the price by which it is charged. Pure.

The one home of that rule: claims, rebuilt, condemned and mended ones, and the orders of others that
count as exposure are all charged by it, so no two figures of one order differ.
"""

from __future__ import annotations

from decimal import Decimal

from stealer.model import Side
from stealer.settings import Settings


def worst_price(side: str, price: Decimal, is_crypto: bool, settings: Settings) -> Decimal:
    """Dollars a unit by which an order at *price* is charged.

    A short sale can execute above its limit, and Alpaca values it with a margin on the ask
    (ALPACA.md): ``short_sale_margin_pct`` is added.

    Crypto pays a fee, ``crypto_fee_pct``, out of what is received: a buy costs its price and brings
    fewer coins. So the equity falls by the fee, the limit by ``leverage`` times that, and the
    position is smaller by the fee: what is free falls by ``leverage - 1`` times the fee more than
    was charged. That is added, and never less than the fee itself.
    """
    if is_crypto:
        times = max(Decimal(str(settings.leverage)) - 1, Decimal(1))
        price *= 1 + Decimal(str(settings.crypto_fee_pct)) * times
    if side == Side.SELL:
        price *= 1 + Decimal(str(settings.short_sale_margin_pct))
    return price
