"""What can be traded: symbols, classes and increments, and the two spellings of a crypto symbol."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

#: Identifiers are derived from names, so that a run is reproducible.
NAMESPACE = uuid.UUID("9a1c1f0e-4f0e-5d6a-9c56-6d1f4f6f1c11")
STOCK_SYMBOL = re.compile(r"^[A-Z]{1,5}(\.[A-Z])?$")
CRYPTO_SYMBOL = re.compile(r"^([A-Z0-9]{2,10})/?(USD)$")
CRYPTO_QTY_INCREMENT = Decimal("0.000000001")
STOCK_QTY_INCREMENT = Decimal("0.000000001")
DEFAULT_CRYPTO_TICK = Decimal("0.000000001")
STOCK_TICK = Decimal("0.01")
#: Stocks under one dollar are quoted to four decimals.
SUB_DOLLAR_STOCK_TICK = Decimal("0.0001")
STOCK_MINIMUM_NOTIONAL = Decimal(1)
CRYPTO_MINIMUM_NOTIONAL = Decimal(10)

_CRYPTO_TICKS = {
    "BTC/USD": Decimal("0.01"),
    "ETH/USD": Decimal("0.01"),
    "SOL/USD": Decimal("0.001"),
    "LINK/USD": Decimal("0.0001"),
    "AVAX/USD": Decimal("0.0001"),
    "UNI/USD": Decimal("0.0001"),
}


@dataclass(frozen=True)
class Asset:
    """One tradable thing. ``symbol`` is the order spelling: ``BTC/USD`` or ``AAPL``."""

    symbol: str
    is_crypto: bool
    crypto_tick: Decimal

    @property
    def id(self) -> str:
        """A stable UUID."""
        return str(uuid.uuid5(NAMESPACE, self.symbol))

    @property
    def position_symbol(self) -> str:
        """The spelling that positions use: ``BTCUSD``."""
        return self.symbol.replace("/", "")

    @property
    def base(self) -> str:
        """The coin of a crypto pair, the symbol of a stock."""
        return self.symbol.split("/")[0]

    @property
    def asset_class(self) -> str:
        """Alpaca's name of the class."""
        return "crypto" if self.is_crypto else "us_equity"

    @property
    def minimum_notional(self) -> Decimal:
        """The smallest order, USD."""
        return CRYPTO_MINIMUM_NOTIONAL if self.is_crypto else STOCK_MINIMUM_NOTIONAL

    def tick(self, price: Decimal) -> Decimal:
        """The price increment at ``price``, USD."""
        if self.is_crypto:
            return self.crypto_tick
        return STOCK_TICK if price >= 1 else SUB_DOLLAR_STOCK_TICK


@lru_cache(maxsize=1024)
def canonical_symbol(text: str) -> str:
    """``BTCUSD`` and ``btc/usd`` as ``BTC/USD``, a stock as itself. Raises ValueError."""
    upper = text.strip().upper()
    pair = CRYPTO_SYMBOL.match(upper)
    if pair and ("/" in upper or len(upper) > 5 or f"{pair[1]}/USD" in _CRYPTO_TICKS):
        return f"{pair[1]}/{pair[2]}"
    if STOCK_SYMBOL.match(upper):
        return upper
    raise ValueError(f"not a symbol: {text!r}")


@lru_cache(maxsize=1024)
def asset_for(symbol: str) -> Asset:
    """The asset of a canonical symbol."""
    crypto = "/" in symbol
    return Asset(symbol, crypto, _CRYPTO_TICKS.get(symbol, DEFAULT_CRYPTO_TICK))
