"""Money: positions, what open orders hold, and the account's figures.

Follows Alpaca's margin rules: `multiplier` 2 from $2,000 of equity on, stocks and their open
orders at 50 % initial margin, crypto and its open buys fully paid (so they weigh 2 in margin buying
power). USD and Decimal throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from .assets import Asset
from .orders import Order

ZERO = Decimal(0)
STOCK_MARGIN = Decimal("0.5")
CRYPTO_MARGIN = Decimal(1)
STOCK_MAINTENANCE = Decimal("0.3")
MARGIN_MULTIPLIER = Decimal(2)
#: Under this equity an account has no margin (Regulation T), USD.
MARGIN_MINIMUM_EQUITY = Decimal(2000)


@dataclass
class Position:
    """A holding: signed ``qty``, ``avg_entry`` in USD a unit."""

    asset: Asset
    qty: Decimal = ZERO
    avg_entry: Decimal = ZERO

    def apply(self, signed_qty: Decimal, price: Decimal) -> None:
        """Add a fill. The entry price moves when the holding grows or changes side."""
        before, after = self.qty, self.qty + signed_qty
        if before == 0 or before * after < 0:
            self.avg_entry = price
        elif before * signed_qty > 0:
            self.avg_entry = (self.avg_entry * before + price * signed_qty) / after
        self.qty = after
        if after == 0:
            self.avg_entry = ZERO


@dataclass
class Account:
    """Cash and positions by canonical symbol."""

    cash: Decimal
    last_equity: Decimal
    positions: dict[str, Position] = field(default_factory=dict)

    def qty(self, symbol: str) -> Decimal:
        """The signed holding of a symbol."""
        position = self.positions.get(symbol)
        return position.qty if position else ZERO

    def apply_fill(self, asset: Asset, signed_qty: Decimal, price: Decimal, cash: Decimal) -> None:
        """Add a fill's quantity (after fees) and its cash (signed, after fees)."""
        self.cash += cash
        position = self.positions.setdefault(asset.symbol, Position(asset))
        position.apply(signed_qty, price)
        if position.qty == 0:
            del self.positions[asset.symbol]


@dataclass(frozen=True)
class Figures:
    """The numbers that /v2/account shows, USD."""

    cash: Decimal
    equity: Decimal
    long_value: Decimal
    short_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    multiplier: Decimal
    buying_power: Decimal
    non_marginable: Decimal
    open_crypto_buys: Decimal


def entry_parts(orders: Iterable[Order], account: Account) -> list[tuple[Order, Decimal]]:
    """Each order with the quantity of its remainder that would enlarge a position.

    The oldest orders are matched first against the holding they would reduce.
    """
    reducible: dict[tuple[str, str], Decimal] = {}
    for symbol, position in account.positions.items():
        reducible[symbol, "sell"] = max(position.qty, ZERO)
        reducible[symbol, "buy"] = max(-position.qty, ZERO)
    parts = []
    for order in orders:
        key = (order.symbol, order.side)
        exits = min(reducible.get(key, ZERO), order.remaining)
        if exits:
            reducible[key] -= exits
        parts.append((order, order.remaining - exits))
    return parts


def figures(
    account: Account,
    holding: Iterable[Order],
    marks: Mapping[str, Decimal],
    all_buys_reduce_cash: bool = False,
) -> Figures:
    """The account's figures at ``marks``, with the orders that hold buying power.

    ``all_buys_reduce_cash``: whether stock buys, too, reduce the non-marginable buying power; that
    is not documented by Alpaca, hence a switch.
    """
    long_value = short_value = margin = maintenance = ZERO
    for symbol, position in account.positions.items():
        value = position.qty * marks[symbol]
        long_value += max(value, ZERO)
        short_value += min(value, ZERO)
        crypto = position.asset.is_crypto
        margin += abs(value) * (CRYPTO_MARGIN if crypto else STOCK_MARGIN)
        maintenance += abs(value) * (CRYPTO_MARGIN if crypto else STOCK_MAINTENANCE)
    crypto_buys = stock_buys = ZERO
    for order, qty in entry_parts(holding, account):
        notional = qty * order.price
        if order.asset.is_crypto:
            if order.side == "buy":
                crypto_buys += notional
                margin += notional * CRYPTO_MARGIN
            continue
        margin += notional * STOCK_MARGIN
        if order.side == "buy":
            stock_buys += notional
    equity = account.cash + long_value + short_value
    multiplier = MARGIN_MULTIPLIER if equity >= MARGIN_MINIMUM_EQUITY else Decimal(1)
    if multiplier == 1:
        power = max(account.cash - crypto_buys - stock_buys, ZERO)
    else:
        power = max(equity - margin, ZERO) * multiplier
    reserved = crypto_buys + (stock_buys if all_buys_reduce_cash else ZERO)
    return Figures(
        account.cash,
        equity,
        long_value,
        short_value,
        margin,
        maintenance,
        multiplier,
        power,
        max(account.cash - reserved, ZERO),
        crypto_buys,
    )
