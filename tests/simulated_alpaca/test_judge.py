"""The judge's verdicts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stealer.simulated_alpaca.account import Account, Position
from stealer.simulated_alpaca.assets import asset_for
from stealer.simulated_alpaca.judge import Judge
from tests.simulated_alpaca.bench import Bench


def lenient(**more: Any) -> Bench:
    """An exchange that lets clients break the cap, so that the judge can see it."""
    return Bench(enforce_buying_power=False, **more)


def test_the_cap_reached_exactly_is_not_broken() -> None:
    bench = lenient()
    bench.submit("TSLA", "buy", 2000, 100)
    judge = bench.exchange.judge
    assert judge.cap_violations == 0
    assert judge.max_ratio["total"] == 1


def test_orders_beyond_the_total_cap_are_a_violation_with_details() -> None:
    bench = lenient()
    bench.submit("TSLA", "buy", 1000, 99)
    bench.submit("AAPL", "buy", 1000, 150)
    judge = bench.exchange.judge
    assert judge.cap_violations == 1
    assert judge.violations[0]["pool"] == "total"
    assert Decimal(judge.violations[0]["exposure"]) == 249_000
    assert judge.max_ratio["total"] == Decimal("1.245")


def test_crypto_beyond_cash_breaks_the_crypto_pool_alone() -> None:
    bench = lenient()
    bench.submit("ETH/USD", "buy", 60, 1900)
    judge = bench.exchange.judge
    assert [v["pool"] for v in judge.violations] == ["crypto"]
    assert judge.max_ratio["crypto"] == Decimal("1.14")


def test_positions_count_at_mark_and_the_leverage_can_be_chosen() -> None:
    bench = lenient(leverage=Decimal(1))
    bench.submit("TSLA", "buy", 500)
    bench.wait(10)
    bench.submit("AAPL", "buy", 300, 199)
    assert bench.exchange.judge.max_ratio["total"] == Decimal("1.097")
    assert bench.exchange.judge.cap_violations == 1


@pytest.mark.parametrize(("age", "violations"), [(3.0, 0), (20.0, 1)])
def test_a_client_may_act_on_prices_inside_the_window(age: float, violations: int) -> None:
    bench = lenient(judge_window=5.0)
    bench.submit("TSLA", "buy", 1000)
    bench.wait(10)
    bench.move("TSLA", 50)
    bench.wait(age)
    # Equity fell from 100,000 to 50,000: beyond the cap now, within it at the old price.
    bench.submit("AAPL", "buy", 400, 190)
    assert bench.exchange.judge.cap_violations == violations


@pytest.mark.parametrize(("age", "violations"), [(3.0, 0), (20.0, 1)])
def test_a_client_may_not_know_yet_that_a_stock_filled_and_took_cash(
    age: float, violations: int
) -> None:
    bench = lenient(judge_window=5.0)
    bench.submit("TSLA", "buy", 500)  # 50,000 of the 100,000 dollars
    bench.wait(1)
    assert bench.exchange.account.cash < 51_000
    bench.wait(age)
    bench.submit("BTC/USD", "buy", 2, 30_000)
    assert bench.exchange.judge.cap_violations == violations


def test_crypto_that_filled_is_not_counted_as_cash_and_as_coins() -> None:
    bench = lenient(judge_window=5.0)
    bench.submit("BTC/USD", "buy", 1, 52_000)
    bench.wait(1)
    bench.submit("BTC/USD", "buy", 2, 30_000)
    assert bench.exchange.judge.cap_violations == 1


def test_an_exit_is_never_exposure_even_beyond_the_cap() -> None:
    bench = lenient()
    bench.submit("TSLA", "buy", 1900)
    bench.wait(10)
    bench.move("TSLA", 60)
    bench.wait(10)
    bench.submit("TSLA", "sell", 1900, 61)
    judge = bench.exchange.judge
    assert judge.cap_violations == 0
    assert judge.entries_judged == 1
    assert judge.orders_opened == 2


def test_a_short_sale_is_exposure() -> None:
    bench = lenient()
    bench.submit("TSLA", "sell", 2500, 101)
    assert bench.exchange.judge.cap_violations == 1


def test_a_pending_cancel_still_counts_and_a_canceled_order_does_not() -> None:
    bench = lenient(cancel_latency=1.0)
    order = bench.submit("TSLA", "buy", 1500, 99)
    bench.exchange.cancel(bench.real, order.id)
    bench.submit("AAPL", "buy", 500, 150)
    assert bench.exchange.judge.cap_violations == 1
    bench.wait(2)
    bench.submit("AAPL", "buy", 500, 150)
    assert bench.exchange.judge.cap_violations == 1


def test_only_twenty_violations_are_listed() -> None:
    bench = lenient()
    for _ in range(30):
        bench.submit("TSLA", "buy", 3000, 99)
    judge = bench.exchange.judge
    assert (judge.cap_violations, len(judge.violations)) == (30, 20)


def test_rejects_are_counted_by_reason_without_their_numbers() -> None:
    bench = Bench()
    for qty in (5000, 6000):
        with pytest.raises(Exception, match="insufficient"):
            bench.submit("AAPL", "buy", qty, 199)
    assert bench.exchange.judge.rejects == {"40310000 insufficient buying power": 2}


def test_a_price_of_a_moment_still_counts_however_often_the_market_is_looked_at() -> None:
    """A client may have read exactly that price, and there is no other that allows its order."""
    bench = lenient(judge_window=5.0)
    bench.submit("ETH/USD", "buy", 40)
    bench.wait(6)
    for price in (2000, 2100, 2000, 2000):
        bench.market.prices["ETH/USD"] = price
        bench.wait(0.001)
    # Fits the 208,000 of that moment beside 84,000 of coins, and not 200,000 beside 80,000.
    bench.submit("TSLA", "buy", 1230, 100)
    assert bench.exchange.judge.cap_violations == 0
    assert Decimal("0.99") < bench.exchange.judge.max_ratio["total"] < 1


@given(
    prices=st.lists(st.decimals(500, 5000, places=2), min_size=1, max_size=12),
    cash=st.decimals(-50_000, 100_000, places=2),
    coins=st.decimals(-20, 20, places=4),
    size=st.decimals(1, 300_000, places=2),
)
def test_the_verdict_is_that_of_every_price_vector_one_by_one(
    prices: list[Decimal], cash: Decimal, coins: Decimal, size: Decimal
) -> None:
    """Against a plain reading of the rule, in decimals only."""
    judge = Judge(Decimal(2), 5.0)
    account = Account(cash, cash)
    if coins:
        account.positions["ETH/USD"] = Position(asset_for("ETH/USD"), coins, Decimal(2000))
    for n, price in enumerate(prices):
        judge.observe(n / 10, {"ETH/USD": price, "TSLA": Decimal(100)}, account)
    order = lenient().submit("TSLA", "buy", size)
    judge.order_accepted(order, [order], account, 0.0)
    exposures = [abs(coins * price) + order.qty * order.price for price in prices]
    limits = [2 * (cash + coins * price) for price in prices]
    pairs = list(zip(exposures, limits, strict=True))
    assert judge.cap_violations == all(e > limit + Decimal("0.01") for e, limit in pairs)
    ratios = [e / limit if limit > 0 else Decimal(10) ** 9 for e, limit in pairs]
    assert float(judge.max_ratio["total"]) == pytest.approx(float(min(ratios)))
