"""What the broker would refuse, found before anything is reserved or stolen. Pure.

A victim must not die for an order the broker will not take (PROTOCOL, "Choosing victims"), so a
watcher asks here first. Each rule is a small function that gives its objections; all of them are
told at once. The rules are a copy of the broker's, who keeps the last word.

Nothing is rounded. A price off its tick has two neighbours: one costs more or fills less often, the
other is another order than was asked for. Which of them is meant only the one who asked can say, so
both are named and neither is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from stealer.evidence import Asset, NewOrder, Placed
from stealer.model import OrderIntent, TimeInForce, decimal_text
from stealer.settings import Settings

#: Stock prices move in cents from this price up (dollars), in hundredths of a cent below.
WHOLE_CENTS_FROM = Decimal(1)
STOCK_TICK = Decimal("0.01")
SUB_DOLLAR_STOCK_TICK = Decimal("0.0001")

#: The finest fraction of a share, in shares.
STOCK_FRACTION = Decimal("0.000000001")

#: Times in force of the two classes; the first is taken when none is asked for. Crypto's are the
#: broker's; of a stock's these are the ones whose course this system follows.
CRYPTO_TIMES = (TimeInForce.GTC, TimeInForce.IOC)
STOCK_TIMES = (TimeInForce.DAY, TimeInForce.GTC)

#: Digits in which quotients of prices and increments are exact.
_DIGITS = 80


@dataclass(frozen=True, slots=True)
class Objection:
    """Why the broker would refuse an order. ``lasting``: no waiting changes it, only another order
    would do; else it may pass by itself.
    """

    code: str
    sentence: str
    lasting: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Least and largest value of one order, in dollars; a largest of 0 is none."""

    min_stock: Decimal = Decimal(1)
    min_crypto: Decimal = Decimal(10)
    max_stock: Decimal = Decimal(0)
    max_crypto: Decimal = Decimal(200_000)

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The account's."""
        return cls(
            *(
                Decimal(str(dollars))
                for dollars in (
                    settings.min_stock_order,
                    settings.min_crypto_order,
                    settings.max_stock_order,
                    settings.max_crypto_order,
                )
            )
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What besides the asset decides whether an order can be placed.

    :param market_open: the stock exchange is open for this order now: in regular hours, or in the
        extended ones if it asks for them. Crypto does not care.
    :param placed: what the account has in the symbol already.
    :param closes: the order closes a position and is bounded by it, so it sells nothing short.
    """

    market_open: bool
    limits: Limits = field(default_factory=Limits)
    placed: Placed = field(default_factory=Placed)
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """How an order goes out; ``extended_hours`` is about stocks only."""

    time_in_force: str
    extended_hours: bool


def placed_as(order: NewOrder) -> Placement:
    """How *order* is sent: as it asks, else ``gtc`` for crypto, which knows no day, and ``day``
    for stocks, the only one that fractions and extended hours may have.
    """
    allowed = CRYPTO_TIMES if order.is_crypto else STOCK_TIMES
    return Placement(order.time_in_force or allowed[0].value, order.extended_hours)


def draft(intent: OrderIntent, symbol: str, is_crypto: bool) -> NewOrder:
    """The order that *intent* asks for, without an id."""
    return NewOrder(
        "",
        symbol,
        intent.side,
        intent.qty,
        intent.limit_price,
        is_crypto,
        intent.time_in_force,
        intent.extended_hours,
    )


def check(order: NewOrder, asset: Asset, around: Surroundings) -> tuple[Objection, ...]:
    """Everything for which the broker would refuse *order*; empty if nothing stands against it.

    What lasts comes first.

    :param asset: what the broker says about the order's symbol.
    """
    found = list(_belongs(order, asset))
    if not found:  # the others mean nothing for numbers that are none, or for another asset
        found = [*form(order), *(o for rule in _RULES for o in rule(order, asset, around))]
    return tuple(sorted(found, key=lambda objection: not objection.lasting))


def form(order: NewOrder) -> tuple[Objection, ...]:
    """What can be said against *order* without knowing the asset: the class's own rules."""
    return tuple(o for rule in (_time_in_force, _extended_hours) for o in rule(order))


def no_asset(symbol: str) -> Objection:
    """The broker positively knows nothing by the name of *symbol*."""
    return Objection("no_asset", f"{symbol} is no asset of the broker; is it spelled right?")


def told(objections: tuple[Objection, ...]) -> str:
    """All of them in one line."""
    return "; ".join(objection.sentence for objection in objections)


def price_tick(price: Decimal, asset: Asset) -> Decimal | None:
    """The step in dollars that a limit price near *price* must be a multiple of, if there is one.

    Crypto: the asset's own increment (a coin of 0.00001234 dollars has a finer one than cents).
    """
    if asset.is_crypto:
        return asset.price_increment
    return STOCK_TICK if price >= WHOLE_CENTS_FROM else SUB_DOLLAR_STOCK_TICK


def neighbours(number: Decimal, step: Decimal) -> tuple[Decimal, ...]:
    """The multiples of *step* nearest to *number*, lower first; 0 is none."""
    with localcontext() as context:
        context.prec = _DIGITS
        lower = number // step * step
        if lower == number:
            return (number,)
        return tuple(value for value in (lower, lower + step) if value > 0)


def least_qty(limit_price: Decimal, asset: Asset, limits: Limits) -> Decimal:
    """The smallest quantity of a buy at *limit_price* that the broker takes, in units."""
    least = limits.min_crypto if asset.is_crypto else limits.min_stock
    if asset.is_crypto:
        step = asset.min_trade_increment or STOCK_FRACTION
    else:
        step = STOCK_FRACTION if asset.fractionable else Decimal(1)
    with localcontext() as context:
        context.prec = _DIGITS
        qty = max(least / limit_price, asset.min_order_size or Decimal(0))
        return qty if qty % step == 0 else (qty // step + 1) * step


# ---- the rules


def _belongs(order: NewOrder, asset: Asset) -> Iterator[Objection]:
    if order.symbol != asset.symbol or order.is_crypto != asset.is_crypto:
        kinds = {True: "crypto", False: "stock"}
        yield Objection(
            "symbol",
            f"{order.symbol} as {kinds[order.is_crypto]} does not match the broker's asset "
            f"{asset.symbol}, which is {kinds[asset.is_crypto]}; check CRYPTO_SYMBOLS",
        )
    if order.side not in ("buy", "sell"):
        yield Objection("side", f"side {order.side!r} is neither buy nor sell")
    for name, number in (("quantity", order.qty), ("limit price", order.limit_price)):
        if not number.is_finite() or number <= 0:
            yield Objection("number", f"{name} {number} is not above 0")


def _time_in_force(order: NewOrder) -> Iterator[Objection]:
    allowed = CRYPTO_TIMES if order.is_crypto else STOCK_TIMES
    asked = placed_as(order).time_in_force
    if asked not in allowed:
        times = " or ".join(allowed)
        if order.is_crypto:
            why = f"crypto takes {times}, not {asked}"
        else:
            why = f"stocks are sent as {times} only here, though the broker knows others"
        yield Objection("time_in_force", f"time in force {asked}: {why}")
    elif not order.is_crypto and asked != TimeInForce.DAY and not _is_multiple(order.qty, _ONE):
        yield Objection(
            "time_in_force",
            f"time in force {asked}: fractions of a share ({decimal_text(order.qty)} "
            f"{order.symbol}) are day orders only",
        )


def _extended_hours(order: NewOrder) -> Iterator[Objection]:
    if not order.extended_hours:
        return
    asked = placed_as(order).time_in_force
    if order.is_crypto:
        yield Objection("extended_hours", f"extended hours: {order.symbol} trades at all hours")
    elif asked != TimeInForce.DAY:
        yield Objection(
            "extended_hours", f"extended hours: only with time in force day, not {asked}"
        )


def _tradable(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    if not asset.tradable:
        yield Objection(
            "not_tradable", f"{order.symbol} is not tradable at the broker now", lasting=False
        )
    if not order.is_crypto and not around.market_open:
        yield Objection(
            "market_closed",
            f"the stock market is closed: an order for {order.symbol} would be queued "
            "until the next session"
            + ("" if around.closes else " and hold capacity all that time"),
            lasting=False,
        )


def _short(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    if order.side != "sell" or around.closes:
        return
    if order.is_crypto:
        yield Objection("short", f"{order.symbol} is crypto, which cannot be sold short")
    elif not asset.shortable:
        yield Objection(
            "short", f"{order.symbol} cannot be sold short at the broker now", lasting=False
        )
    elif not asset.easy_to_borrow:
        yield Objection(
            "short",
            f"{order.symbol} is hard to borrow now, so it cannot be sold short",
            lasting=False,
        )


def _quantity(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    qty = decimal_text(order.qty)
    step = asset.min_trade_increment if order.is_crypto else _ONE
    if order.is_crypto:
        if not _is_multiple(order.qty, step):
            yield _off("quantity", f"quantity {qty} of {order.symbol}", order.qty, step, "")
    elif not _is_multiple(order.qty, _ONE):
        if not asset.fractionable:
            what = f"{order.symbol} trades in whole shares only: quantity {qty}"
            yield _off("quantity", what, order.qty, step, "")
        elif order.side == "sell" and not around.closes:
            what = f"fractions of a share cannot be sold short: quantity {qty} of {order.symbol}"
            yield _off("quantity", what, order.qty, step, "")
        elif not _is_multiple(order.qty, STOCK_FRACTION):
            yield _off(
                "quantity", f"quantity {qty} of {order.symbol}", order.qty, STOCK_FRACTION, ""
            )
    if asset.min_order_size is not None and order.qty < asset.min_order_size:
        # Alpaca's least quantity of a coin follows its price, so it may fall.
        yield Objection(
            "min_order_size",
            f"quantity {qty} is below the least for {order.symbol} now, "
            f"{decimal_text(asset.min_order_size)}",
            lasting=False,
        )


def _price(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    step = price_tick(order.limit_price, asset)
    if not _is_multiple(order.limit_price, step):
        what = f"limit price {decimal_text(order.limit_price)} of {order.symbol}"
        yield _off("price_tick", what, order.limit_price, step, " dollars")


def _value(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    limits, kind = around.limits, "crypto" if order.is_crypto else "stocks"
    least = limits.min_crypto if order.is_crypto else limits.min_stock
    most = limits.max_crypto if order.is_crypto else limits.max_stock
    with localcontext() as context:
        context.prec = _DIGITS
        value = order.qty * order.limit_price
    if value < least:
        enough = decimal_text(least_qty(order.limit_price, asset, limits))
        yield Objection(
            "min_notional",
            f"order value {decimal_text(value)} dollars is below the least, {decimal_text(least)} "
            f"for {kind}: at this limit that is {enough} {order.symbol}",
        )
    if most and value > most:
        yield Objection(
            "max_notional",
            f"order value {decimal_text(value)} dollars is above the largest, "
            f"{decimal_text(most)} for {kind}",
        )


def _own_orders(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    """Alpaca refuses what could trade with the account's own order (a wash trade), and a long and
    a short that would be opened side by side.
    """
    placed = around.placed
    other = placed.lowest_sell if order.side == "buy" else placed.highest_buy
    if other is None:
        return
    name = "sell" if order.side == "buy" else "buy"
    crosses = order.limit_price >= other if order.side == "buy" else order.limit_price <= other
    if crosses:
        at = f" at {decimal_text(other)}" if other.is_finite() and other > 0 else " at any price"
        yield Objection(
            "wash_trade",
            f"the account's own {name} order of {order.symbol}{at} is open: a {order.side} at "
            f"{decimal_text(order.limit_price)} could trade with it, which the broker refuses",
            lasting=False,
        )
    elif not order.is_crypto and placed.position == 0:
        yield Objection(
            "opposite_order",
            f"a {name} order of {order.symbol} is open and the account holds none of it: the "
            f"broker opens no long and short side by side",
            lasting=False,
        )


def _own_position(order: NewOrder, asset: Asset, around: Surroundings) -> Iterator[Objection]:
    """An order against a position closes it, and may not exceed it: none turns it round."""
    placed = around.placed
    against = placed.position if order.side == "sell" else -placed.position
    if against > 0 and order.qty > placed.closable:
        yield Objection(
            "opposite_position",
            f"the account holds {decimal_text(placed.position)} {order.symbol}, of which "
            f"{decimal_text(placed.closable)} no order is closing yet: a {order.side} of "
            f"{decimal_text(order.qty)} would turn the position round, which the broker refuses",
            lasting=False,
        )


Rule = Callable[[NewOrder, Asset, Surroundings], Iterator[Objection]]
_RULES: tuple[Rule, ...] = (
    _short,
    _quantity,
    _price,
    _value,
    _tradable,
    _own_orders,
    _own_position,
)

_ONE = Decimal(1)


def _off(code: str, what: str, number: Decimal, step: Decimal | None, unit: str) -> Objection:
    """*number* is between two multiples of *step*, which are named."""
    assert step is not None
    nearest = " and ".join(decimal_text(value) for value in neighbours(number, step))
    return Objection(
        code,
        f"{what} is not a multiple of {decimal_text(step)}{unit}; the nearest allowed: {nearest}",
    )


def _is_multiple(number: Decimal, step: Decimal | None) -> bool:
    if step is None or step <= 0:
        return True
    with localcontext() as context:
        context.prec = _DIGITS  # the default 28 digits would raise on a huge quotient
        return number % step == 0
