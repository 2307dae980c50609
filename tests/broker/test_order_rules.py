"""What the broker would refuse is found before anything is reserved."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stealer.broker.order_rules import price_tick, time_in_force, why_not
from stealer.evidence import Asset, NewOrder

from .conftest import new_order

STOCK = Asset("AAPL", is_crypto=False, tradable=True, fractionable=True, shortable=True)
COIN = Asset(
    "BTCUSD",
    is_crypto=True,
    tradable=True,
    fractionable=True,
    shortable=False,
    min_order_size=Decimal("0.0001"),
    min_trade_increment=Decimal("0.000000001"),
    price_increment=Decimal("0.01"),
)


def stock_order(qty: str = "1", price: str = "190.01", side: str = "buy") -> NewOrder:
    return new_order(
        symbol="AAPL", is_crypto=False, qty=Decimal(qty), limit_price=Decimal(price), side=side
    )


def coin_order(qty: str = "0.1", price: str = "60000", side: str = "buy") -> NewOrder:
    return new_order(qty=Decimal(qty), limit_price=Decimal(price), side=side)


@pytest.mark.parametrize(
    ("order", "asset", "market_open"),
    [
        (stock_order(), STOCK, True),
        (stock_order(side="sell"), STOCK, True),
        (stock_order(qty="0.5"), STOCK, True),
        (stock_order(qty="2", price="0.5001"), STOCK, True),
        (stock_order(qty="1", price="1"), STOCK, True),
        (coin_order(), COIN, True),
        (coin_order(), COIN, False),
        (coin_order(qty="0.0002", price="50000"), COIN, False),
        (coin_order(), replace(COIN, price_increment=None, min_trade_increment=None), False),
        (
            coin_order(qty="900000", price="0.00001234"),
            replace(COIN, price_increment=Decimal("0.00000001")),
            False,
        ),
    ],
)
def test_a_sound_order_has_nothing_against_it(
    order: NewOrder, asset: Asset, market_open: bool
) -> None:
    assert why_not(order, asset, market_open) is None


@pytest.mark.parametrize(
    ("order", "asset", "market_open", "part"),
    [
        (stock_order(), replace(STOCK, tradable=False), True, "not tradable"),
        (coin_order(), replace(COIN, tradable=False), True, "not tradable"),
        (stock_order(), STOCK, False, "market is closed"),
        (stock_order(price="190.001"), STOCK, True, "tick, 0.01"),
        (stock_order(price="1.0001"), STOCK, True, "tick, 0.01"),
        (stock_order(price="0.50001", qty="3"), STOCK, True, "tick, 0.0001"),
        (stock_order(qty="0.001"), STOCK, True, "least, 1 for stocks"),
        (stock_order(qty="0.5"), replace(STOCK, fractionable=False), True, "whole shares"),
        (stock_order(qty="1.5", side="sell"), STOCK, True, "cannot be sold short"),
        (stock_order(side="sell"), replace(STOCK, shortable=False), True, "cannot be sold short"),
        (stock_order(qty="1.0000000001"), STOCK, True, "at the finest"),
        (coin_order(side="sell"), replace(COIN, shortable=True), True, "is crypto, which"),
        (coin_order(qty="0.00001"), COIN, True, "below the least"),
        (coin_order(qty="0.0001", price="60000"), COIN, True, "least, 10 for crypto"),
        (coin_order(price="60000.001"), COIN, True, "tick, 0.01"),
        (coin_order(qty="0.1000000000000001"), COIN, True, "not a multiple"),
        (stock_order(), COIN, True, "does not match"),
        (coin_order(), replace(COIN, is_crypto=False), True, "CRYPTO_SYMBOLS"),
        (coin_order(qty="0"), COIN, True, "not above 0"),
        (coin_order(price="NaN"), COIN, True, "not above 0"),
        (coin_order(side="short"), COIN, True, "neither buy nor sell"),
    ],
)
def test_an_order_the_broker_would_refuse_gets_a_sentence(
    order: NewOrder, asset: Asset, market_open: bool, part: str
) -> None:
    sentence = why_not(order, asset, market_open)
    assert sentence is not None
    assert part in sentence


cents = st.integers(min_value=100, max_value=10**9).map(lambda cents: Decimal(cents) / 100)
sub_dollar = st.integers(min_value=1, max_value=9999).map(lambda ticks: Decimal(ticks) / 10_000)
shares = st.integers(min_value=1, max_value=10**6).map(Decimal)
positive = st.decimals(
    min_value="1e-12", max_value="1e12", allow_nan=False, allow_infinity=False, places=12
)


@settings(deadline=None)
@given(cents | sub_dollar, shares)
def test_whole_shares_on_the_tick_worth_a_dollar_are_always_fine(
    price: Decimal, qty: Decimal
) -> None:
    assume(price * qty >= 1)
    assert why_not(stock_order(str(qty), str(price)), STOCK, True) is None


@settings(deadline=None)
@given(positive, positive)
def test_a_stock_order_without_objection_keeps_every_rule(qty: Decimal, price: Decimal) -> None:
    if why_not(stock_order(str(qty), str(price)), STOCK, True) is None:
        places = 2 if price >= 1 else 4
        assert price == round(price, places)
        assert qty * price >= 1


@settings(deadline=None)
@given(st.integers(1, 10**12), st.integers(1, 10**12), st.integers(0, 12), st.integers(0, 12))
def test_a_crypto_order_on_its_increments_fails_only_for_its_size(
    lots: int, ticks: int, lot_places: int, tick_places: int
) -> None:
    lot, tick = Decimal(1).scaleb(-lot_places), Decimal(1).scaleb(-tick_places)
    asset = replace(COIN, min_trade_increment=lot, price_increment=tick, min_order_size=lot)
    qty, price = lots * lot, ticks * tick
    sentence = why_not(coin_order(str(qty), str(price)), asset, False)
    assert (sentence is None) == (qty * price >= 10)


@settings(deadline=None)
@given(positive)
def test_half_a_tick_off_is_refused(price: Decimal) -> None:
    tick = price_tick(price, STOCK)
    assert tick is not None
    off = (price // tick) * tick + tick / 2
    assert why_not(stock_order("1", str(off)), STOCK, True) is not None


def test_one_dollar_exactly_moves_in_cents() -> None:
    assert price_tick(Decimal(1), STOCK) == Decimal("0.01")
    assert price_tick(Decimal("0.9999"), STOCK) == Decimal("0.0001")


def test_increments_finer_than_usual_are_no_trouble() -> None:
    fine = Decimal("1e-20")
    asset = replace(COIN, price_increment=fine, min_trade_increment=fine, min_order_size=fine)
    assert why_not(coin_order("123456789012", "123456789012.5"), asset, False) is None


def test_crypto_is_good_till_canceled_and_stocks_for_the_day() -> None:
    assert time_in_force(coin_order()) == "gtc"
    assert time_in_force(stock_order()) == "day"
