"""The made-up market."""

from __future__ import annotations

import random

from stealer.simulated_alpaca import nyse
from stealer.simulated_alpaca.clock import parse_instant
from stealer.simulated_alpaca.generator import PROFILES, GeneratedMarket
from stealer.simulated_alpaca.prices import bars

START = parse_instant("2024-01-03T00:00:00Z")
WEEK = 7 * 86400


def sample(market: GeneratedMarket, times: list[float]) -> dict[tuple[str, float], float | None]:
    return {(s, t): market.price(s, t) for t in times for s in market.symbols}


def test_the_same_seed_gives_the_same_market_in_any_order() -> None:
    times = [START + n * 7919.0 for n in range(25)]
    shuffled = times[:]
    random.Random(1).shuffle(shuffled)
    reference = sample(GeneratedMarket(7), times)
    assert sample(GeneratedMarket(7), shuffled) == reference
    late = GeneratedMarket(7)
    late.price("BTC/USD", START + 300 * 86400)
    assert sample(late, times) == reference
    assert sample(GeneratedMarket(8), times) != reference


def test_levels_are_realistic_and_crypto_moves_at_weekends() -> None:
    market = GeneratedMarket(3)
    for symbol, profile in PROFILES.items():
        price = market.price(symbol, START)
        assert price is not None
        assert profile.level / 4 < price < profile.level * 4
    saturday = parse_instant("2024-01-06T12:00:00Z")
    assert market.price("BTC/USD", saturday) != market.price("BTC/USD", saturday + 60)


def test_stocks_stand_still_while_the_exchange_is_closed() -> None:
    market = GeneratedMarket(3)
    close = market.price("AAPL", parse_instant("2024-01-05T21:00:00Z"))
    for when in ("2024-01-05T23:00:00Z", "2024-01-06T12:00:00Z", "2024-01-08T14:29:59Z"):
        assert market.price("AAPL", parse_instant(when)) == close
    monday = parse_instant("2024-01-08T14:40:00Z")
    assert market.price("AAPL", monday) != close
    half_day = parse_instant("2024-11-29T18:00:00Z")
    assert market.price("AAPL", half_day) == market.price("AAPL", half_day + 7200)


def test_bars_agree_with_the_path() -> None:
    market = GeneratedMarket(3)
    for symbol in ("ETH/USD", "NVDA"):
        found = bars(market, symbol, START, START + WEEK, 900, START + WEEK, 10_000)
        assert found
        for bar in found[::25]:
            path = [market.price(symbol, bar.start + n * 5) or 0 for n in range(180)]
            assert bar.low <= min(path) * 1.0000001
            assert bar.high >= max(path) * 0.9999999
            assert bar.low <= bar.open <= bar.high
            assert bar.low <= bar.close <= bar.high
        hourly = bars(market, symbol, START, START + WEEK, 3600, START + WEEK, 10_000)
        assert max(b.high for b in hourly) == max(b.high for b in found)


def test_stocks_have_no_bars_outside_sessions() -> None:
    found = bars(GeneratedMarket(3), "AAPL", START, START + WEEK, 60, START + WEEK, 10_000)
    assert all(nyse.is_open(bar.start) for bar in found)
    assert len(found) == 5 * 390


def test_volatility_changes_its_regime_and_sometimes_jumps() -> None:
    market = GeneratedMarket(3)
    days = bars(market, "BTC/USD", START, START + 90 * 86400, 86400, START + 300 * 86400, 10_000)
    ranges = sorted((bar.high - bar.low) / bar.open for bar in days)
    assert ranges[int(len(ranges) * 0.9)] > 3 * ranges[int(len(ranges) * 0.1)]
