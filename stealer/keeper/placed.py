"""What the account has in each symbol, for those who are about to place an order there. Pure.

The broker refuses an order that could trade with one of the same account, whoever sent that: a
watcher on the other side, or a person's exit. Only the keeper sees all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from stealer.evidence import AccountSnapshot, BrokerOrder, BrokerPosition, Placed

#: Seconds for which it counts: some passes of the keeper. Older, it would keep watchers from
#: entering because of orders that are over.
PLACED_SECONDS = 30.0


def placed_in(snapshot: AccountSnapshot) -> dict[str, Placed]:
    """By canonical symbol; orders of several legs have none, and are in no symbol."""
    return placed_of(snapshot.orders, snapshot.positions)


def placed_of(
    orders: Iterable[BrokerOrder], positions: Iterable[BrokerPosition]
) -> dict[str, Placed]:
    """The same of orders and of positions that were read after them."""
    held = {p.symbol: p.qty for p in positions}
    live: dict[str, list[BrokerOrder]] = {symbol: [] for symbol in held}
    for order in orders:
        if order.symbol and not order.is_terminal:
            live.setdefault(order.symbol, []).append(order)
    found = {}
    for symbol, its in live.items():
        buys = [_price(o) for o in its if o.side == "buy"]
        sells = [_price(o) for o in its if o.side == "sell"]
        position = held.get(symbol, Decimal(0))
        closing = _remaining(its, "sell" if position > 0 else "buy")
        found[symbol] = Placed(
            max(buys, default=None),
            min(sells, default=None),
            position,
            max(abs(position) - closing, Decimal(0)),
        )
    return found


def _price(order: BrokerOrder) -> Decimal:
    """The limit; an order without one trades at any price."""
    if order.limit_price is not None:
        return order.limit_price
    return Decimal("Infinity") if order.side == "buy" else Decimal(0)


def _remaining(orders: Iterable[BrokerOrder], side: str) -> Decimal:
    return sum((o.remaining_qty for o in orders if o.side == side), Decimal(0))
