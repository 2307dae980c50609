"""What the broker would refuse is found before anything is reserved."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stealer.evidence import Asset, NewOrder, Placed
from stealer.order_rules import (
    Limits,
    Objection,
    Placement,
    Surroundings,
    check,
    form,
    least_qty,
    neighbours,
    placed_as,
    price_tick,
)
from stealer.settings import Settings

D = Decimal

STOCK = Asset("AAPL", is_crypto=False, tradable=True, fractionable=True, shortable=True)
COIN = Asset(
    "BTCUSD",
    is_crypto=True,
    tradable=True,
    fractionable=True,
    shortable=False,
    min_order_size=D("0.0001"),
    min_trade_increment=D("0.000000001"),
    price_increment=D("0.01"),
)
OPEN, CLOSED = Surroundings(market_open=True), Surroundings(market_open=False)


def stock(qty: str = "1", price: str = "190.01", side: str = "buy", **more: Any) -> NewOrder:
    return NewOrder("", "AAPL", side, D(qty), D(price), False, **more)


def coin(qty: str = "0.1", price: str = "60000", side: str = "buy", **more: Any) -> NewOrder:
    return NewOrder("", "BTCUSD", side, D(qty), D(price), True, **more)


def besides(**placed: str) -> Surroundings:
    """In stock hours, with this in the account already."""
    given = {name: D(value) for name, value in placed.items()}
    return Surroundings(market_open=True, placed=Placed(**given))


def codes(order: NewOrder, asset: Asset, around: Surroundings) -> set[str]:
    return {objection.code for objection in check(order, asset, around)}


@pytest.mark.parametrize(
    ("order", "asset", "around"),
    [
        (stock(), STOCK, OPEN),
        (stock(side="sell"), STOCK, OPEN),
        (stock(qty="0.5"), STOCK, OPEN),
        (stock(qty="2", price="0.5001"), STOCK, OPEN),
        (stock(qty="1", price="1"), STOCK, OPEN),
        (stock(time_in_force="gtc"), STOCK, OPEN),
        (stock(qty="0.5", time_in_force="day", extended_hours=True), STOCK, OPEN),
        (coin(), COIN, OPEN),
        (coin(), COIN, CLOSED),
        (coin(time_in_force="ioc"), COIN, CLOSED),
        (coin(qty="0.0002", price="50000"), COIN, CLOSED),
        (coin(), replace(COIN, price_increment=None, min_trade_increment=None), CLOSED),
        (
            coin(qty="900000", price="0.00001234"),
            replace(COIN, price_increment=D("0.00000001")),
            CLOSED,
        ),
        (coin(price="100"), COIN, besides(lowest_sell="100.01")),
        (stock(), STOCK, besides(lowest_sell="190.02", position="5")),
        (stock(side="sell", qty="5"), STOCK, besides(position="5", closable="5")),
        (stock(qty="7"), STOCK, besides(position="-7", closable="7")),
        (stock(qty="9"), STOCK, besides(position="7", closable="7")),
    ],
)
def test_a_sound_order_has_nothing_against_it(
    order: NewOrder, asset: Asset, around: Surroundings
) -> None:
    assert check(order, asset, around) == ()


LASTING, PASSING = True, False


@pytest.mark.parametrize(
    ("order", "asset", "around", "part", "lasting"),
    [
        (stock(), replace(STOCK, tradable=False), OPEN, "not tradable", PASSING),
        (coin(), replace(COIN, tradable=False), OPEN, "not tradable", PASSING),
        (stock(), STOCK, CLOSED, "market is closed", PASSING),
        (stock(price="190.001"), STOCK, OPEN, "0.01 dollars; the nearest allowed: 190 and 190.01",
         LASTING),
        (stock(price="1.0001"), STOCK, OPEN, "0.01 dollars; the nearest allowed: 1 and 1.01",
         LASTING),
        (stock(price="0.50001", qty="3"), STOCK, OPEN, "nearest allowed: 0.5 and 0.5001", LASTING),
        (stock(price="0.00001", qty="1e6"), STOCK, OPEN, "nearest allowed: 0.0001", LASTING),
        (stock(price="0.99995", qty="3"), STOCK, OPEN, "nearest allowed: 0.9999 and 1", LASTING),
        (stock(qty="0.001"), STOCK, OPEN, "that is 0.005262881 AAPL", LASTING),
        (stock(qty="0.5"), replace(STOCK, fractionable=False), OPEN, "whole shares", LASTING),
        (stock(qty="1.5", side="sell"), STOCK, OPEN, "nearest allowed: 1 and 2", LASTING),
        (stock(side="sell"), replace(STOCK, shortable=False), OPEN, "sold short", PASSING),
        (stock(side="sell"), replace(STOCK, easy_to_borrow=False), OPEN, "hard to borrow", PASSING),
        (stock(qty="1.0000000001"), STOCK, OPEN, "nearest allowed: 1 and 1.000000001", LASTING),
        (stock(qty="1.5", time_in_force="gtc"), STOCK, OPEN, "day orders only", LASTING),
        (stock(time_in_force="ioc"), STOCK, OPEN, "sent as day or gtc only here", LASTING),
        (stock(time_in_force="gtc", extended_hours=True), STOCK, OPEN, "only with time", LASTING),
        (coin(time_in_force="day"), COIN, OPEN, "crypto takes gtc or ioc", LASTING),
        (coin(extended_hours=True), COIN, OPEN, "at all hours", LASTING),
        (coin(side="sell"), replace(COIN, shortable=True), OPEN, "is crypto, which", LASTING),
        (coin(qty="0.00001"), replace(COIN, min_order_size=D("0.001")),
         Surroundings(True, Limits(min_crypto=D(0))), "below the least for", PASSING),
        (coin(qty="0.0001", price="60000"), COIN, OPEN, "that is 0.000166667 BTCUSD", LASTING),
        (coin(qty="4"), COIN, OPEN, "above the largest, 200000 for crypto", LASTING),
        (stock(qty="4"), STOCK, Surroundings(True, Limits(max_stock=D(500))), "largest", LASTING),
        (coin(price="60000.001"), COIN, OPEN, "nearest allowed: 60000 and 60000.01", LASTING),
        (coin(qty="0.1000000000000001"), COIN, OPEN, "allowed: 0.1 and 0.100000001", LASTING),
        (stock(), COIN, OPEN, "does not match", LASTING),
        (coin(), replace(COIN, is_crypto=False), OPEN, "CRYPTO_SYMBOLS", LASTING),
        (coin(qty="0"), COIN, OPEN, "not above 0", LASTING),
        (coin(price="NaN"), COIN, OPEN, "not above 0", LASTING),
        (coin(side="short"), COIN, OPEN, "neither buy nor sell", LASTING),
        (coin(price="100", qty="1"), COIN, besides(lowest_sell="100"), "sell order of BTCUSD at",
         PASSING),
        (coin(), COIN, besides(lowest_sell="0"), "at any price", PASSING),
        (stock(side="sell"), STOCK, besides(highest_buy="190.01"), "could trade", PASSING),
        (stock(side="sell"), STOCK, besides(highest_buy="Infinity"), "at any price", PASSING),
        (stock(), STOCK, besides(lowest_sell="200"), "side by side", PASSING),
        (stock(side="sell", qty="6"), STOCK, besides(position="5", closable="5"), "turn", PASSING),
        (stock(side="sell"), STOCK, besides(position="5", closable="0"), "turn", PASSING),
        (stock(qty="6"), STOCK, besides(position="-5", closable="5"), "turn", PASSING),
    ],
)  # fmt: skip
def test_an_order_the_broker_would_refuse_gets_a_sentence(
    order: NewOrder, asset: Asset, around: Surroundings, part: str, lasting: bool
) -> None:
    found = check(order, asset, around)
    assert len(found) == 1, found
    assert part in found[0].sentence
    assert found[0].lasting is lasting


def test_all_objections_are_told_and_what_lasts_first() -> None:
    found = check(stock(qty="1.5", price="190.001", side="sell"), STOCK, CLOSED)

    assert [objection.code for objection in found] == ["quantity", "price_tick", "market_closed"]
    assert [objection.lasting for objection in found] == [True, True, False]


cents = st.integers(min_value=100, max_value=10**9).map(lambda cents: D(cents) / 100)
sub_dollar = st.integers(min_value=1, max_value=9999).map(lambda ticks: D(ticks) / 10_000)
shares = st.integers(min_value=1, max_value=10**6).map(D)
positive = st.decimals(
    min_value="1e-12", max_value="1e12", allow_nan=False, allow_infinity=False, places=12
)


@settings(deadline=None)
@given(cents | sub_dollar, shares)
def test_whole_shares_on_the_tick_worth_a_dollar_are_always_fine(price: D, qty: D) -> None:
    assume(price * qty >= 1)
    assert check(stock(str(qty), str(price)), STOCK, OPEN) == ()


@settings(deadline=None)
@given(positive, positive)
def test_a_stock_order_without_objection_keeps_every_rule(qty: D, price: D) -> None:
    if not check(stock(str(qty), str(price)), STOCK, OPEN):
        places = 2 if price >= 1 else 4
        assert price == round(price, places)
        assert qty * price >= 1


@settings(deadline=None)
@given(st.integers(1, 10**12), st.integers(1, 10**12), st.integers(0, 12), st.integers(0, 12))
def test_a_crypto_order_on_its_increments_fails_only_for_its_size(
    lots: int, ticks: int, lot_places: int, tick_places: int
) -> None:
    lot, tick = D(1).scaleb(-lot_places), D(1).scaleb(-tick_places)
    asset = replace(COIN, min_trade_increment=lot, price_increment=tick, min_order_size=lot)
    qty, price = lots * lot, ticks * tick
    expected = {"min_notional"} if qty * price < 10 else set()
    expected |= {"max_notional"} if qty * price > 200_000 else set()
    assert codes(coin(str(qty), str(price)), asset, CLOSED) == expected


@settings(deadline=None)
@given(positive, st.sampled_from([COIN, STOCK]), st.integers(0, 12))
def test_the_neighbours_that_are_named_are_allowed_and_the_nearest(
    price: D, asset: Asset, places: int
) -> None:
    asset = replace(asset, price_increment=D(1).scaleb(-places)) if asset.is_crypto else asset
    make = coin if asset.is_crypto else stock
    if "price_tick" not in codes(make("1", str(price)), asset, OPEN):
        return
    step = price_tick(price, asset)
    assert step
    for named in neighbours(price, step):
        assert abs(named - price) < step
        assert "price_tick" not in codes(make("1", str(named)), asset, OPEN)


@settings(deadline=None)
@given(cents | sub_dollar, st.booleans(), st.integers(0, 9))
def test_the_least_quantity_that_is_named_is_allowed_and_less_is_not(
    price: D, is_crypto: bool, places: int
) -> None:
    step = D(1).scaleb(-places)
    fine = replace(COIN, min_trade_increment=step, price_increment=D("0.0001"))
    asset = fine if is_crypto else STOCK
    make = coin if is_crypto else stock
    least = least_qty(price, asset, Limits(max_crypto=D(0)))
    around = Surroundings(market_open=True, limits=Limits(max_crypto=D(0)))
    assert check(make(str(least), str(price)), asset, around) == ()
    less = least - (step if is_crypto else D("1e-9"))
    too_small = {"min_notional", "min_order_size"}
    assert less <= 0 or codes(make(str(less), str(price)), asset, around) & too_small


def test_one_dollar_exactly_moves_in_cents() -> None:
    assert price_tick(D(1), STOCK) == D("0.01")
    assert price_tick(D("0.9999"), STOCK) == D("0.0001")


def test_increments_finer_than_usual_are_no_trouble() -> None:
    fine = D("1e-20")
    asset = replace(COIN, price_increment=fine, min_trade_increment=fine, min_order_size=fine)
    around = Surroundings(market_open=False, limits=Limits(max_crypto=D(0)))
    assert check(coin("123456789012", "123456789012.5"), asset, around) == ()


def test_crypto_is_good_till_canceled_and_stocks_for_the_day_unless_asked_otherwise() -> None:
    assert placed_as(coin()) == Placement("gtc", False)
    assert placed_as(stock()) == Placement("day", False)
    assert placed_as(coin(time_in_force="ioc")) == Placement("ioc", False)
    assert placed_as(stock(time_in_force="gtc")) == Placement("gtc", False)
    assert placed_as(stock(extended_hours=True)) == Placement("day", True)


def test_what_needs_no_asset_can_be_said_before_one_is_known() -> None:
    assert form(stock()) == form(coin()) == ()
    (objection,) = form(coin(time_in_force="day"))
    assert isinstance(objection, Objection)
    assert objection.lasting


def test_the_accounts_limits_come_from_its_settings() -> None:
    chosen = Settings(min_stock_order=5, min_crypto_order=20.5, max_stock_order=1e5,
                      max_crypto_order=0)  # fmt: skip
    assert Limits.of(chosen) == Limits(D(5), D("20.5"), D(100_000), D(0))
    assert Limits.of(Settings()) == Limits()
