"""From one reading of the account to the ledger's figures (DESIGN part 2, PROTOCOL "Account
snapshot"). Pure.

Positions count at their market value, whoever made them. Orders that are not ours count only for
what they would add to |position|: an exit is no exposure. Our own orders are claims and are charged
there, so they are not counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from stealer.costs import worst_price
from stealer.evidence import AccountSnapshot, BrokerOrder
from stealer.model import MICRO
from stealer.replies import AccountFigures
from stealer.settings import Settings

#: From here on the ledger's figures would not be exact, in micro-dollars.
LARGEST = 2**53

#: The price of a symbol in dollars, for foreign orders without a limit and for short sales; None
#: when unknown.
PriceOf = Callable[[str], Decimal | None]


class UnusableAccount(ValueError):
    """An account that cannot be published: its figures are none."""


class UnpricedOrder(UnusableAccount):
    """A foreign order whose size in dollars cannot be told; the account cannot be published."""


def figures(
    snapshot: AccountSnapshot,
    settings: Settings,
    is_ours: Callable[[str], bool],
    price_of: PriceOf,
) -> AccountFigures:
    """The ledger's figures; limits are rounded down, exposure up.

    :raises UnpricedOrder: a foreign market order in a symbol nobody has a price for.
    :raises UnusableAccount: a figure beyond what the ledger counts exactly.
    """
    account = snapshot.account
    base: Decimal = getattr(account, settings.base_figure)
    total = sum((abs(p.market_value) for p in snapshot.positions), Decimal(0))
    crypto = sum((abs(p.market_value) for p in snapshot.positions if p.is_crypto), Decimal(0))
    foreign = [o for o in snapshot.orders if not o.is_terminal and not is_ours(o.client_order_id)]
    added = _added_exposure(foreign, snapshot, price_of, settings)
    added_crypto = sum((v for (_, is_crypto), v in added.items() if is_crypto), Decimal(0))
    found = AccountFigures(
        limit_total=_down(base * Decimal(str(settings.leverage))),
        limit_crypto=_down(account.cash + crypto),
        positions_total=_up(total),
        positions_crypto=_up(crypto),
        foreign_total=_up(sum(added.values(), Decimal(0))),
        foreign_crypto=_up(added_crypto),
        power_margin=_down(account.buying_power),
        power_cash=_down(account.non_marginable_buying_power),
    )
    for name, value in asdict(found).items():
        if abs(value) >= LARGEST:
            raise UnusableAccount(f"the broker's figures give {name} = {value}: too large to be so")
    return found


def _added_exposure(
    orders: Iterable[BrokerOrder],
    snapshot: AccountSnapshot,
    price_of: PriceOf,
    settings: Settings,
) -> dict[tuple[str, bool], Decimal]:
    """Dollars that foreign orders would add to |position|, by (symbol, is crypto).

    They are charged as our own are (``stealer.costs``): a short's margin, a crypto fee.
    """
    held = {p.symbol: p.qty for p in snapshot.positions}
    marks = {p.symbol: abs(p.market_value / p.qty) for p in snapshot.positions if p.qty}
    added: dict[tuple[str, bool], Decimal] = {}
    for side, sign in (("buy", 1), ("sell", -1)):
        # What would only close a position is no exposure. The cheapest orders are taken to close
        # it, so that the dearest remain as exposure.
        reducible = {symbol: max(-sign * qty, Decimal(0)) for symbol, qty in held.items()}
        priced = [(o, _price(o, marks, price_of)) for o in orders if o.side == side]
        for order, price in sorted(priced, key=lambda pair: pair[1]):
            closing = min(reducible.get(order.symbol, Decimal(0)), order.remaining_qty)
            reducible[order.symbol] = reducible.get(order.symbol, Decimal(0)) - closing
            key = (order.symbol, order.is_crypto)
            unit = worst_price(side, price, order.is_crypto, settings)
            added[key] = added.get(key, Decimal(0)) + (order.remaining_qty - closing) * unit
    return added


def _price(order: BrokerOrder, marks: dict[str, Decimal], price_of: PriceOf) -> Decimal:
    """What one unit may cost. A sale's limit is the least it brings: the market may pay more."""
    # A credit of several legs has a negative limit; what it puts at risk is no less than that.
    price = None if order.limit_price is None else abs(order.limit_price)
    if price is None or order.side == "sell":
        market = marks.get(order.symbol) or price_of(order.symbol)
        price = max((p for p in (price, market) if p is not None), default=None)
    if price is None:
        raise UnpricedOrder(
            f"order {order.id} ({order.side} {order.qty} {order.symbol}, not ours) has no limit "
            "and the symbol no price: its exposure is unknown"
        )
    return price


def _up(dollars: Decimal) -> int:
    return int((dollars * MICRO).to_integral_value(rounding=ROUND_CEILING))


def _down(dollars: Decimal) -> int:
    return int((dollars * MICRO).to_integral_value(rounding=ROUND_FLOOR))
