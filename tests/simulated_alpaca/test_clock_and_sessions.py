"""The market clock's text and the NYSE's hours."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from stealer.simulated_alpaca import MarketClock, nyse
from stealer.simulated_alpaca.clock import parse_instant
from stealer.simulated_alpaca.market import Market
from tests.simulated_alpaca.bench import FlatMarket


def test_the_text_form_says_when_it_was_and_how_fast() -> None:
    clock = MarketClock.parse("2024-01-05T20:00:00Z@1000.5*600", read=lambda: 1002.5)
    assert clock.now() == datetime(2024, 1, 5, 20, 20, tzinfo=UTC)
    assert clock.real_at(clock.at(1010.0)) == 1010.0


def test_a_clock_survives_its_own_text() -> None:
    clock = MarketClock.starting(1704484800.25, 60, real=1795373549.123456)
    assert MarketClock.parse(str(clock)) == clock
    assert MarketClock.parse(str(MarketClock.parse("system"))) == MarketClock.parse("system")


def test_system_is_real_time() -> None:
    assert MarketClock.parse("system", read=lambda: 12.0).now().timestamp() == 12.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-01-05T20:00:00Z@1*0",
        "2024-01-05T20:00:00Z@1*-1",
        "2024-01-05@nan*1",
        "2024-13-05T20:00:00Z@1*1",
        "2024-01-05T20:00:00Z@1",
        "2024-01-05T20:00:00Z@1*inf",
    ],
)
def test_a_malformed_clock_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="market clock"):
        MarketClock.parse(text)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2024-01-05T14:29:59Z", False),
        ("2024-01-05T14:30:00Z", True),
        ("2024-01-05T20:59:59Z", True),
        ("2024-01-05T21:00:00Z", False),
        ("2024-01-06T16:00:00Z", False),
        ("2024-01-15T16:00:00Z", False),
        ("2024-11-29T17:59:00Z", True),
        ("2024-11-29T18:00:00Z", False),
        ("2024-07-05T13:30:00Z", True),
        ("2024-03-29T16:00:00Z", False),
    ],
)
def test_the_exchange_keeps_new_york_hours_holidays_and_half_days(when: str, is_open: bool) -> None:
    assert nyse.is_open(parse_instant(when)) is is_open


def test_the_next_session_skips_the_weekend_and_the_holiday() -> None:
    found = nyse.next_session(parse_instant("2024-01-12T22:00:00Z"))
    assert found.day == date(2024, 1, 16)
    assert nyse.last_close(found.open) == parse_instant("2024-01-12T21:00:00Z")


@pytest.mark.parametrize(
    ("when", "traded"),
    [
        ("2024-01-05T13:00:00Z", "2024-01-05T13:00:00Z"),
        ("2024-01-06T00:59:59Z", "2024-01-06T00:59:59Z"),
        ("2024-01-06T01:00:00Z", "2024-01-06T01:00:00Z"),
        ("2024-01-08T08:59:59Z", "2024-01-06T01:00:00Z"),
        ("2024-01-16T08:00:00Z", "2024-01-13T01:00:00Z"),
    ],
)
def test_a_stocks_quote_is_of_extended_hours_and_a_coins_of_any_moment(
    when: str, traded: str
) -> None:
    market = Market(FlatMarket(), Decimal(10), parse_instant(when))
    stock, coin = market.quote("AAPL"), market.quote("BTC/USD")
    assert stock
    assert coin
    assert (stock.when, coin.when) == (parse_instant(traded), parse_instant(when))
