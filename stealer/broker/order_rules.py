"""What the broker would refuse, found before anything is reserved or stolen.

A victim must not die for an order the broker will not take (PROTOCOL, "Choosing victims"), so a
watcher asks here first. Each rule is a small function that answers with a sentence or None; the
first sentence wins. The broker keeps the last word: these rules are a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext

from stealer.evidence import Asset, NewOrder
from stealer.model import decimal_text

#: Least order value in dollars that Alpaca takes.
MIN_CRYPTO_DOLLARS = Decimal(10)
MIN_STOCK_DOLLARS = Decimal(1)

#: Stock prices move in cents from this price up (dollars), in hundredths of a cent below.
WHOLE_CENTS_FROM = Decimal(1)
STOCK_TICK = Decimal("0.01")
SUB_DOLLAR_STOCK_TICK = Decimal("0.0001")

#: The finest fraction of a share, in shares.
STOCK_FRACTION = Decimal("0.000000001")

Rule = Callable[[NewOrder, Asset, bool], str | None]


def why_not(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    """Why the broker would refuse *order*, as a sentence; None if nothing stands against it.

    :param asset: what the broker says about the order's symbol.
    :param market_open: the stock exchange is open now; crypto does not care.
    """
    for rule in _RULES:
        sentence = rule(order, asset, market_open)
        if sentence:
            return sentence
    return None


def time_in_force(order: NewOrder) -> str:
    """``gtc`` for crypto, which knows no day; ``day`` for stocks, the only one for fractions."""
    return "gtc" if order.is_crypto else "day"


def price_tick(price: Decimal, asset: Asset) -> Decimal | None:
    """The step in dollars that a limit price near *price* must be a multiple of, if there is one.

    Crypto: the asset's own increment (a coin of 0.00001234 dollars has a finer one than cents).
    """
    if asset.is_crypto:
        return asset.price_increment
    return STOCK_TICK if price >= WHOLE_CENTS_FROM else SUB_DOLLAR_STOCK_TICK


def _is_multiple(number: Decimal, step: Decimal | None) -> bool:
    if step is None or step <= 0:
        return True
    with localcontext() as context:
        context.prec = 80  # the default 28 digits would raise on a huge quotient
        return number % step == 0


def _belongs(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    if order.symbol != asset.symbol or order.is_crypto != asset.is_crypto:
        kinds = {True: "crypto", False: "stock"}
        return (
            f"{order.symbol} as {kinds[order.is_crypto]} does not match the broker's asset "
            f"{asset.symbol}, which is {kinds[asset.is_crypto]}; check CRYPTO_SYMBOLS"
        )
    if order.side not in ("buy", "sell"):
        return f"side {order.side!r} is neither buy nor sell"
    for name, number in (("quantity", order.qty), ("limit price", order.limit_price)):
        if not number.is_finite() or number <= 0:
            return f"{name} {number} is not above 0"
    return None


def _tradable(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    if not asset.tradable:
        return f"{order.symbol} is not tradable at the broker now"
    if not order.is_crypto and not market_open:
        return (
            f"the stock market is closed: a day order for {order.symbol} would be queued "
            "until the next session and hold capacity all that time"
        )
    return None


def _short(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    if order.side != "sell":
        return None
    if order.is_crypto:
        return f"{order.symbol} is crypto, which cannot be sold short"
    if not asset.shortable:
        return f"{order.symbol} cannot be sold short at the broker now"
    return None


def _quantity(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    qty = decimal_text(order.qty)
    if asset.min_order_size is not None and order.qty < asset.min_order_size:
        return f"quantity {qty} is below the least for {order.symbol}, {asset.min_order_size}"
    if order.is_crypto:
        if not _is_multiple(order.qty, asset.min_trade_increment):
            step = decimal_text(asset.min_trade_increment or Decimal(0))
            return f"quantity {qty} of {order.symbol} is not a multiple of {step}"
        return None
    if _is_multiple(order.qty, Decimal(1)):
        return None
    if not asset.fractionable:
        return f"{order.symbol} trades in whole shares only, not {qty}"
    if order.side == "sell":
        return f"quantity {qty}: fractions of a share cannot be sold short"
    if not _is_multiple(order.qty, STOCK_FRACTION):
        return f"quantity {qty}: a share divides into {decimal_text(STOCK_FRACTION)} at the finest"
    return None


def _price(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    step = price_tick(order.limit_price, asset)
    if step is None or _is_multiple(order.limit_price, step):
        return None
    return (
        f"limit price {decimal_text(order.limit_price)} of {order.symbol} is not a multiple of "
        f"its tick, {decimal_text(step)} dollars"
    )


def _value(order: NewOrder, asset: Asset, market_open: bool) -> str | None:
    least = MIN_CRYPTO_DOLLARS if order.is_crypto else MIN_STOCK_DOLLARS
    with localcontext() as context:
        context.prec = 80
        value = order.qty * order.limit_price
    if value >= least:
        return None
    return (
        f"order value {decimal_text(value)} dollars is below the broker's least, "
        f"{least} for {'crypto' if order.is_crypto else 'stocks'}"
    )


_RULES: tuple[Rule, ...] = (_belongs, _tradable, _short, _quantity, _price, _value)
