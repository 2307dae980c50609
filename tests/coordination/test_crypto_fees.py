"""Crypto's fee is in every figure of an order, and in all of them alike."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
import redis

from stealer.settings import Settings
from tests.coordination.desk import Desk, micro


@pytest.fixture
def desk(redis_client: redis.Redis) -> Desk:
    """10,000 dollars for crypto, 20,000 in all; 25 basis points of fee."""
    return Desk(redis_client, Settings()).open_shop(equity=10_000)


def test_a_coin_is_charged_with_its_fee_and_a_stock_without(desk: Desk) -> None:
    coin, stock = desk.reserve("BTC/USD", usd=1_000), desk.reserve("AAPL", usd=1_000)

    assert (coin.need, stock.need) == (micro(1_002.50), micro(1_000))
    assert desk.charged("crypto") == Decimal("1002.5")


def test_cash_that_would_not_pay_the_fee_is_not_enough(desk: Desk) -> None:
    assert desk.acquire("BTC/USD", usd=10_000).reason == "no_capacity"
    assert desk.coordinator.can_open_order("BTC/USD", "maxdiff", 100, 100) is False
    assert desk.acquire("BTC/USD", usd=9_975).claim


@pytest.mark.parametrize("symbol", ["BTC/USD", "AAPL"])
def test_an_order_found_at_the_broker_needs_what_its_claim_was_charged(
    desk: Desk, symbol: str
) -> None:
    claim = desk.open(symbol, usd=1_234)
    order = desk.order(claim, "partially_filled", filled=3)

    found = desk.coordinator.listed(order)

    assert found.need == claim.need
    desk.coordinator.confirm(claim, order)
    assert desk.now(claim).filled == found.filled
    assert desk.coordinator.mend(order, 0) is False
    assert desk.coordinator.recount() == ""
    desk.assert_charges_equal_claims()


def test_a_rebuilt_claim_is_charged_as_the_lost_one_was(desk: Desk) -> None:
    claim = desk.open("BTC/USD", usd=1_000)
    order = desk.order(claim)
    charged = desk.charged("crypto")
    desk.client.flushall()

    desk.coordinator.certify(orders=[desk.coordinator.listed(order)])

    assert desk.now(claim).need == claim.need
    assert desk.charged("crypto") == charged == Decimal("1002.5")
    assert desk.coordinator.recount() == ""


def test_an_order_that_grew_at_the_broker_is_charged_with_the_fee_of_the_larger(desk: Desk) -> None:
    claim = desk.open("BTC/USD", usd=1_000)
    grown = replace(desk.order(claim), qty=claim.qty * 2)

    assert desk.coordinator.mend(grown, 0)
    assert desk.charged("crypto") == Decimal(2_005)


def test_after_its_fill_is_position_nothing_of_it_is_charged(desk: Desk) -> None:
    claim = desk.open("BTC/USD", usd=1_000)
    desk.fill(claim)
    assert desk.charged("crypto") == Decimal("1002.5")

    desk.account(9_997.5, cash=9_997.5, crypto_positions=997.5)

    assert desk.charged("crypto") == desk.charged() == 0
    assert desk.free() == Decimal(19_995) - Decimal("997.5")
    assert desk.coordinator.claim_ids() == []
