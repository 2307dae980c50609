"""Symbols at the edge: ``BTCUSD`` inside, ``BTC/USD`` in Alpaca's orders, assets and quotes.

Alpaca is not of one mind: orders and quotes say ``BTC/USD``, positions say ``BTCUSD``. Both
become ``BTCUSD`` on the way in. Which symbols are crypto is the account's set of canonical pairs;
for what the set does not name (orders placed by hand) the broker's own asset class decides.
"""

from __future__ import annotations

#: Every pair this system trades is quoted in dollars.
QUOTE_CURRENCY = "USD"


def is_crypto(symbol: str, crypto_symbols: frozenset[str], asset_class: str = "") -> bool:
    """True for a pair of the set, for anything written with a slash, and if the broker says so."""
    return (
        asset_class == "crypto" or "/" in symbol or canonical_from_broker(symbol) in crypto_symbols
    )


def canonical_from_broker(symbol: str) -> str:
    """``BTC/USD`` and ``BTCUSD`` are both ``BTCUSD``; stocks stay as they are (``BRK.B``)."""
    return symbol.strip().upper().replace("/", "")


def symbol_for_broker(symbol: str, crypto_symbols: frozenset[str]) -> str:
    """The form Alpaca wants in orders and quote requests: ``BTCUSD`` -> ``BTC/USD``.

    :param symbol: canonical; only members of *crypto_symbols* are changed.
    """
    if symbol in crypto_symbols and symbol.endswith(QUOTE_CURRENCY):
        return f"{symbol[: -len(QUOTE_CURRENCY)]}/{QUOTE_CURRENCY}"
    return symbol
