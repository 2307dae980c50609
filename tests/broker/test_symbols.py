"""Symbols: one form inside, Alpaca's forms outside."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stealer.broker.symbols import canonical_from_broker, is_crypto, symbol_for_broker
from stealer.model import canonical_symbol

CRYPTO = frozenset({"BTCUSD", "ETHUSD", "USDCUSD", "USDTUSD"})

coins = st.from_regex(r"[A-Z0-9]{2,10}", fullmatch=True).map(lambda coin: coin + "USD")
stocks = st.from_regex(r"[A-Z]{1,5}(\.[A-Z]{1,2})?", fullmatch=True)


@settings(deadline=None)
@given(st.frozensets(coins, min_size=1))
def test_every_pair_survives_the_way_out_and_back(pairs: frozenset[str]) -> None:
    for pair in pairs:
        outside = symbol_for_broker(pair, pairs)
        assert outside.count("/") == 1
        assert outside.endswith("/USD")
        assert canonical_from_broker(outside) == pair
        assert canonical_symbol(outside, pairs) == pair
        assert is_crypto(outside, pairs)
        assert is_crypto(pair, pairs)


@settings(deadline=None)
@given(stocks)
def test_stocks_are_the_same_inside_and_outside(symbol: str) -> None:
    assert symbol_for_broker(symbol, CRYPTO) == symbol
    assert canonical_from_broker(symbol) == symbol
    assert not is_crypto(symbol, CRYPTO)


@settings(deadline=None)
@given(st.frozensets(coins, min_size=2))
def test_different_pairs_stay_different_outside(pairs: frozenset[str]) -> None:
    assert len({symbol_for_broker(pair, pairs) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("inside", "outside"), [("BTCUSD", "BTC/USD"), ("USDCUSD", "USDC/USD"), ("USDTUSD", "USDT/USD")]
)
def test_the_dollar_at_the_end_is_the_quote_currency(inside: str, outside: str) -> None:
    assert symbol_for_broker(inside, CRYPTO) == outside


def test_a_stock_that_ends_like_a_pair_stays_a_stock() -> None:
    assert symbol_for_broker("XUSD", CRYPTO) == "XUSD"


def test_the_brokers_asset_class_decides_for_pairs_not_in_the_set() -> None:
    assert is_crypto("DOGEUSD", CRYPTO, "crypto")
    assert not is_crypto("DOGEUSD", CRYPTO, "us_equity")
