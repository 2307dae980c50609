"""Alpaca's JSON into records: lenient where it can be, clear where it cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stealer.broker import convert
from stealer.broker.interface import BrokerMalformed

from .conftest import CRYPTO, ORDER_ID, account_json, order_json


def test_an_order_is_read_exactly() -> None:
    order = convert.order_record(
        order_json(
            qty="123456789.123456789",
            filled_qty="0.1",
            filled_avg_price="0.00001234",
            replaced_by="other",
            status="partially_filled",
            time_in_force="ioc",
        ),
        CRYPTO,
    )
    assert order.qty == Decimal("123456789.123456789")
    assert order.filled_avg_price == Decimal("0.00001234")
    assert order.submitted_at == datetime(2026, 5, 1, 12, 0, 0, 123456, UTC).timestamp()
    assert (order.symbol, order.is_crypto, order.replaced_by) == ("BTCUSD", True, "other")
    assert order.time_in_force == "ioc"


def test_what_alpaca_py_would_refuse_is_read() -> None:
    raw = order_json(submitted_at=None, status="invented_tomorrow", asset_class=None, legs=[])
    order = convert.order_record(raw, CRYPTO)
    assert order.submitted_at is None
    assert order.is_crypto
    assert not order.is_terminal


def test_an_order_of_several_legs_keeps_the_list_readable() -> None:
    warnings: list[str] = []
    raw = order_json(symbol=None, side=None, asset_class="", order_class="mleg", qty="1")
    order = convert.order_record(raw, CRYPTO, warnings)
    assert (order.symbol, order.side) == ("", "")
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("changes", "dollars"),
    [
        ({"limit_price": "50"}, 500),
        ({"limit_price": None}, 500),
        ({"limit_price": None, "filled_avg_price": "25", "filled_qty": "4"}, 500),
        ({"limit_price": None, "filled_avg_price": "0.001", "filled_qty": "400000"}, 500),
    ],
)
def test_an_order_in_dollars_is_worth_its_dollars(changes: dict[str, Any], dollars: int) -> None:
    order = convert.order_record(order_json(qty=None, notional="500") | changes, CRYPTO)
    assert order.limit_price is not None
    assert order.qty * order.limit_price == dollars
    assert order.qty >= order.filled_qty


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": 7},
        {"status": None},
        {"status": ""},
        {"qty": "NaN"},
        {"qty": "Infinity"},
        {"qty": "-1"},
        {"qty": True},
        {"qty": []},
        {"qty": "1e999999"},
        {"qty": None, "notional": None},
        {"limit_price": "cheap"},
        {"submitted_at": "yesterday"},
        {"submitted_at": 5},
    ],
)
def test_a_field_that_is_used_and_unreadable_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(BrokerMalformed) as caught:
        convert.order_record(order_json() | changes, CRYPTO)
    assert any(name in str(caught.value) for name in [*changes, "quantity"])


#: Few letters: building tables of all of Unicode takes seconds. These make numbers and times.
words = st.text("0123456789.-+:eENaTZ", max_size=12)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(order_json())), json_values))
def test_whatever_an_order_holds_it_is_a_record_or_a_clear_error(changes: dict[str, Any]) -> None:
    try:
        order = convert.order_record(order_json() | changes, CRYPTO)
    except BrokerMalformed:
        return
    assert order.qty.is_finite()
    assert order.status


@settings(deadline=None)
@given(json_values)
def test_whatever_arrives_is_a_record_or_a_clear_error(raw: Any) -> None:
    for read in (
        lambda: convert.order_record(raw, CRYPTO),
        lambda: convert.position_record(raw, CRYPTO),
        lambda: convert.account_record(raw),
        lambda: convert.asset_record(raw),
        lambda: convert.clock_record(raw),
        lambda: convert.quote_record("AAPL", raw),
    ):
        try:
            read()
        except BrokerMalformed:
            continue


@pytest.mark.parametrize(
    ("fields", "qty", "value"),
    [
        ({"qty": "2", "market_value": "380", "side": "long"}, "2", "380"),
        ({"qty": "-2", "market_value": "-380", "side": "short"}, "-2", "-380"),
        ({"qty": "2", "market_value": "380", "side": "short"}, "-2", "-380"),
        ({"qty": "-2", "market_value": "-380"}, "-2", "-380"),
        ({"qty": "2", "market_value": None, "current_price": "190"}, "2", "380"),
        ({"qty": "2", "current_price": None, "avg_entry_price": "100"}, "2", "200"),
    ],
)
def test_positions_are_signed_and_valued(fields: dict[str, Any], qty: str, value: str) -> None:
    position = convert.position_record({"symbol": "AAPL"} | fields, CRYPTO)
    assert (position.qty, position.market_value) == (Decimal(qty), Decimal(value))


def test_a_position_of_crypto_is_known_without_a_slash() -> None:
    raw = {"symbol": "BTCUSD", "qty": "1", "market_value": "60000"}
    assert convert.position_record(raw, CRYPTO).is_crypto
    other = raw | {"symbol": "DOGEUSD", "asset_class": "crypto"}
    assert convert.position_record(other, CRYPTO).is_crypto


def test_an_account_needs_no_day_trade_fields() -> None:
    account = convert.account_record(account_json())
    assert account.buying_power == Decimal("15000.25")
    assert account.multiplier == 2
    assert not account.trading_blocked


@pytest.mark.parametrize("flag", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
def test_an_account_blocked_in_any_way_is_blocked(flag: str) -> None:
    assert convert.account_record(account_json(**{flag: True})).trading_blocked


@pytest.mark.parametrize("name", ["equity", "cash", "buying_power", "non_marginable_buying_power"])
def test_an_account_without_a_figure_that_limits_us_is_an_error(name: str) -> None:
    with pytest.raises(BrokerMalformed, match=name):
        convert.account_record(account_json(**{name: None}))


def test_an_inactive_asset_is_not_tradable() -> None:
    raw = {"symbol": "AAPL", "class": "us_equity", "status": "inactive", "tradable": True}
    assert not convert.asset_record(raw).tradable
    assert convert.asset_record(raw | {"status": "active"}).tradable


def test_the_id_of_an_order_is_kept() -> None:
    assert convert.order_record(order_json(), CRYPTO).id == ORDER_ID
