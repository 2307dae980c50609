"""Account snapshots: their order, and that a fill is never counted zero times."""

from __future__ import annotations

import pytest

from stealer.errors import StaleSnapshot
from stealer.model import Verdict
from tests.coordination.desk import Desk


def test_a_snapshot_absorbs_only_fills_noted_when_it_began(desk: Desk) -> None:
    claim = desk.open("AAPL", usd=10_000)
    desk.fill(claim, 30)
    noted = desk.coordinator.begin_snapshot(lag_ms=0)
    desk.fill(claim, 50)  # after the snapshot began: its positions may or may not show it
    assert desk.charged() == 10_000
    desk.account(equity=10_000, positions=3_000, sequence=noted)
    assert (desk.charged(), desk.free()) == (7_000, 10_000)
    desk.fill(claim)
    desk.account(equity=10_000, positions=10_000)
    assert (desk.state(claim), desk.charged(), desk.free()) == ("gone", 0, 10_000)


def test_a_fill_younger_than_the_lag_stays_charged(desk: Desk) -> None:
    claim = desk.open("AAPL", usd=10_000)
    desk.fill(claim)
    sequence = desk.coordinator.begin_snapshot(lag_ms=60_000)
    desk.account(equity=10_000, positions=10_000, sequence=sequence)
    assert (desk.charged(), desk.free()) == (10_000, 0), "twice for a moment is fine, never zero"
    desk.account(equity=10_000, positions=10_000)
    assert (desk.charged(), desk.free()) == (0, 10_000)


def test_a_snapshot_begun_before_the_fill_was_known_absorbs_nothing(desk: Desk) -> None:
    claim = desk.open("AAPL", usd=10_000)
    sequence = desk.coordinator.begin_snapshot(lag_ms=0)
    desk.fill(claim)
    desk.account(equity=10_000, sequence=sequence)
    assert desk.charged() == 10_000


def test_a_snapshot_out_of_order_is_refused(desk: Desk) -> None:
    first = desk.coordinator.begin_snapshot()
    second = desk.coordinator.begin_snapshot()
    desk.account(equity=5_000, sequence=second)
    before = desk.everything()
    for sequence in (first, second, second + 100):
        with pytest.raises(StaleSnapshot):
            desk.account(equity=50_000, sequence=sequence)
    assert desk.everything() == before


def test_a_snapshot_begun_before_certification_is_refused(desk: Desk) -> None:
    sequence = desk.coordinator.begin_snapshot()
    desk.coordinator.certify()
    with pytest.raises(StaleSnapshot):
        desk.account(equity=50_000, sequence=sequence)


def test_an_overtaken_snapshot_is_refused_and_absorbs_nothing(desk: Desk) -> None:
    claim = desk.open("AAPL", usd=10_000)
    desk.fill(claim, 30)
    first = desk.coordinator.begin_snapshot(lag_ms=0)
    desk.coordinator.begin_snapshot(lag_ms=0)
    with pytest.raises(StaleSnapshot):
        desk.account(equity=10_000, sequence=first)
    assert desk.charged() == 10_000


def test_a_partly_filled_order_closed_after_absorption_frees_the_rest_once(desk: Desk) -> None:
    claim = desk.open("BTCUSD", usd=10_000)
    desk.fill(claim, 30)
    desk.account(equity=10_000, cash=10_000, crypto_positions=3_000)
    assert (desk.charged(), desk.charged("crypto")) == (7_000, 7_000)
    assert desk.cancel(claim, filled=40) == 6_000_000_000
    assert (desk.charged(), desk.charged("crypto")) == (1_000, 1_000)
    desk.account(equity=10_000, cash=10_000, crypto_positions=4_000)
    assert (desk.charged(), desk.charged("crypto"), desk.free("crypto")) == (0, 0, 6_000)


def test_when_equity_falls_nothing_is_shed_and_a_steal_covers_the_deficit(desk: Desk) -> None:
    desk.open("A", pnl=1.0, usd=10_000)
    desk.open("B", pnl=2.0, usd=10_000)
    desk.account(equity=9_000)
    assert (desk.charged(), desk.free()) == (20_000, -2_000)
    assert not desk.coordinator.can_open_order("MSFT", "maxdiff", 100, 1)
    one = desk.acquire("MSFT", pnl=9.0, usd=8_001)
    assert [victim.symbol for victim in one.victims] == ["A", "B"], "need and deficit"
    assert one.claim
    desk.coordinator.abort(one.claim)
    for victim in one.victims:
        desk.cancel(victim.id)
    assert (desk.charged(), desk.free()) == (0, 18_000)


def test_a_thief_is_not_paid_out_of_a_deficit_into_a_launch(desk: Desk) -> None:
    desk.open("A", pnl=1.0, usd=10_000)
    desk.open("B", pnl=2.0, usd=10_000)
    desk.account(equity=9_000)
    decision = desk.acquire("MSFT", pnl=9.0, usd=8_000)
    assert [victim.symbol for victim in decision.victims] == ["A"]
    desk.settle(decision)
    assert (desk.charged(), desk.free()) == (18_000, 0)


# ---- the broker's own figures, the second clamp


def test_the_brokers_own_buying_power_clamps(desk: Desk) -> None:
    desk.account(equity=10_000, power=3_000)
    assert desk.acquire("AAPL", usd=3_001).reason == "no_capacity"
    assert desk.acquire("BTCUSD", usd=1_501).reason == "no_capacity", "crypto weighs 2"
    assert desk.acquire("BTCUSD", usd=1_000)
    assert desk.acquire("AAPL", usd=1_001).reason == "no_capacity"
    assert desk.acquire("AAPL", usd=1_000)
    assert desk.charged() == 2_000


def test_the_brokers_cash_clamps_crypto_only(desk: Desk) -> None:
    desk.account(equity=10_000, power_cash=500)
    assert desk.acquire("BTCUSD", usd=501).reason == "no_capacity"
    assert desk.acquire("AAPL", usd=20_000)


def test_what_a_victim_holds_at_the_broker_counts_for_its_thief(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=10_000)
    desk.account(equity=10_000, power=2_000)  # the broker's figure shows AAPL's order
    decision = desk.acquire("MSFT", pnl=9.0, usd=12_000)
    assert decision.outcome is Verdict.STEAL
    desk.settle(decision)
    assert desk.acquire("TSLA", usd=1).reason != "granted"


def test_a_charge_before_the_snapshot_began_is_not_counted_twice_at_the_broker(
    desk: Desk,
) -> None:
    desk.open("AAPL", usd=10_000)
    desk.account(equity=10_000, power=10_000)
    assert desk.acquire("MSFT", usd=10_000)


def test_a_charge_after_the_snapshot_began_counts_against_its_figures(desk: Desk) -> None:
    sequence = desk.coordinator.begin_snapshot()
    desk.open("AAPL", pnl=5.0, usd=10_000)
    desk.account(equity=10_000, power=12_000, sequence=sequence)
    assert desk.acquire("MSFT", usd=2_001).reason == "pnl_not_better"
    assert desk.acquire("MSFT", usd=2_000)


def test_a_reservation_given_up_is_room_at_the_broker_again(desk: Desk) -> None:
    desk.account(equity=10_000, power=20_000)
    for _ in range(3):
        desk.coordinator.abort(desk.reserve("AAPL", usd=10_000))
    assert (desk.charged(), desk.free()) == (0, 20_000)


def fits(desk: Desk, usd: float) -> bool:
    return desk.coordinator.can_open_order("BTCUSD", "maxdiff", 100, usd / 100)


def test_a_stocks_fill_is_paid_in_cash_that_no_crypto_order_is_granted_again(desk: Desk) -> None:
    """Until a snapshot shows it, the broker's figure still has the cash."""
    desk.account(20_000, cash=10_000, power_cash=10_000)
    stock = desk.open("AAPL", usd=8_000)
    assert fits(desk, 9_900)
    desk.fill(stock, 40)  # 4,000 dollars
    assert not fits(desk, 6_001)
    assert fits(desk, 6_000)
    desk.cancel(stock, filled=60)
    assert not fits(desk, 4_001)
    assert fits(desk, 4_000)


def test_a_short_sales_fill_takes_no_cash(desk: Desk) -> None:
    desk.account(20_000, cash=10_000, power_cash=10_000)
    stock = desk.open("AAPL", usd=8_000, side="sell")
    desk.fill(stock, 40)
    assert fits(desk, 9_900)
