"""What is recorded and read: steals, forecasts, quotes, exact amounts, candidates."""

from __future__ import annotations

from decimal import Decimal

import pytest
import redis

from stealer.model import MAX_NEED, MICRO, InvalidIntent, OrderIntent, Verdict
from stealer.settings import Settings, SettingsError
from tests.coordination.desk import Desk


def test_record_steal_is_idempotent(desk: Desk) -> None:
    before = None
    for _ in range(2):
        desk.coordinator.record_steal("AAPL", "MSFT", steal_id="s1", from_pnl=1, to_pnl=2)
        assert desk.everything() == (before or desk.everything())
        before = desk.everything()
    assert len(desk.steals()) == desk.counter("work_steal_success_total") == 1
    assert len(desk.client.get(desk.keys.of("recent", "AAPL", "MSFT")).split()) == 1
    results = [desk.coordinator.record_steal("MSFT", "AAPL") for _ in range(3)]
    assert results == [False, False, True], "either way round: the fourth is the fight"
    assert desk.charged() == 0


def test_attempt_steal_by_the_published_forecast(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    desk.market("MSFT")
    assert desk.coordinator.attempt_steal("MSFT", "maxdiff", 100, 10) is None, "no forecast: 0"
    desk.forecast("MSFT", 5.0)
    assert desk.coordinator.attempt_steal("MSFT", "maxdiff", 100, 10) == "AAPL"
    claim = desk.coordinator.claim_in_slot("MSFT", "buy", "maxdiff")
    assert claim
    assert (claim.pnl, claim.pending, desk.state(aapl)) == (5.0, 1, "evicting")


def test_a_forecast_moves_open_orders_at_once(desk: Desk) -> None:
    a, b = desk.open("A", pnl=1.0, usd=10_000), desk.open("B", pnl=2.0, usd=10_000)

    def order() -> list[str]:
        return [candidate.id for candidate in desk.coordinator.get_steal_candidates()]

    assert order() == [a.id, b.id]
    desk.forecast("A", 3.0)
    assert order() == [b.id, a.id]
    desk.forecast("A", 3.0, strategy="another")
    desk.forecast("B", 4.0)
    assert order() == [a.id, b.id]
    assert [candidate.pnl for candidate in desk.coordinator.get_steal_candidates()] == [3.0, 4.0]
    # A claim made after its forecast is ranked by it, whatever its intent said.
    desk.account(equity=20_000)
    desk.forecast("C", 0.5)
    c = desk.open("C", pnl=99.0)
    assert order() == [c.id, a.id, b.id]
    desk.forecast("C", None)
    assert desk.coordinator.standing("C", "maxdiff").rank is None


@pytest.mark.parametrize("pnl", [float("nan"), float("inf"), "much", None])
def test_a_forecast_is_a_finite_number_or_withdrawn(desk: Desk, pnl: float | None) -> None:
    if pnl is None:
        desk.coordinator.publish_forecast("A", "maxdiff", None)
        return
    with pytest.raises(InvalidIntent):
        desk.coordinator.publish_forecast("A", "maxdiff", pnl)


def test_an_expired_forecast_is_pruned(desk: Desk) -> None:
    desk.coordinator.publish_forecast("A", "maxdiff", 1.0, ttl_seconds=60)
    desk.coordinator.prune()
    assert desk.coordinator.standing("A", "maxdiff").rank == 0
    desk.client.zadd(desk.keys.forecast_expiry, {"A|maxdiff": 1})
    desk.coordinator.prune()
    assert desk.coordinator.standing("A", "maxdiff").rank is None


@pytest.mark.parametrize(
    "need",
    [1, 2**31 - 1, 2**31, 2**31 + 1, 2**40 + 1, 999_999_999_999_999, MAX_NEED],
)
def test_amounts_are_exact_up_to_the_largest(desk: Desk, need: int) -> None:
    desk.account(equity=2_000_000_000, cash=4_000_000_000)
    usd = Decimal(need) / MICRO
    claim = desk.open("BTCUSD", pnl=1.0, usd=usd)
    held = desk.client.hmget(desk.keys.ledger, "charged_total", "charged_crypto")
    assert held == [str(need), str(need)]
    assert desk.now(claim).need == need
    desk.account(equity=2_000_000_000, cash=usd)
    thief = desk.acquire("ETHUSD", pnl=9.0, usd=usd)
    assert [victim.id for victim in thief.victims] == [claim.id]
    desk.settle(thief)
    assert desk.client.hmget(desk.keys.ledger, "charged_total", "charged_crypto") == held


def test_a_coin_of_a_fraction_of_a_cent_is_charged_upwards(desk: Desk) -> None:
    desk.coordinator.publish_quote("UNIUSD", "0.000012345", "0.000012346")
    decision = desk.coordinator.acquire(
        OrderIntent("UNI/USD", "buy", "1000003", "0.000012345", forecasted_pnl=0.1)
    )
    assert decision.claim
    assert decision.claim.need == 12_345_038, "12.345037035 dollars, rounded up"
    standing = desk.coordinator.standing("UNIUSD", "maxdiff")
    assert (standing.bid, standing.ask) == (0.000012345, 0.000012346)
    desk.coordinator.launch(decision.claim)
    desk.coordinator.confirm(decision.claim, desk.order(decision.claim))
    desk.fill(decision.claim, Decimal("333333.333333333333"))
    assert desk.now(decision.claim).filled == 4_115_001
    desk.fill(decision.claim)
    assert desk.now(decision.claim).filled == decision.claim.need


def test_a_cooldown_that_begins_anew_bars_stealing_back_from_all_its_thieves(desk: Desk) -> None:
    for thief in ("MSFT", *(f"T{letter}" for letter in "ABCDEFGHIJ"), "TSLA"):
        desk.coordinator.record_steal("AAPL", thief, from_pnl=1, to_pnl=2)
    for thief in ("MSFT", "TSLA", "NVDA"):
        desk.open(thief, pnl=1.0, usd=1_000)

    met = desk.coordinator.get_steal_candidates("AAPL")

    assert {c.symbol: c.protection for c in met} == {
        "MSFT": "steal_back",
        "TSLA": "steal_back",
        "NVDA": "",
    }


def test_wakes_that_nobody_takes_do_not_pile_up(desk: Desk) -> None:
    slot = "AAPL|buy|maxdiff"
    for _ in range(20):
        assert not desk.coordinator.await_price("AAPL", "buy", "maxdiff", 50.0)
        desk.coordinator.publish_quote("AAPL", 49, 49.01)
        desk.coordinator.publish_quote("AAPL", 100, 100.01)
        assert desk.client.llen(desk.keys.of("wake", slot)) == 1
    assert 0 < desk.client.pttl(desk.keys.of("wake", slot)) <= 60_000


def test_candidates_show_what_a_given_thief_would_meet(desk: Desk) -> None:
    desk.open("A", pnl=1.0, usd=5_000)
    desk.open("B", pnl=2.0, usd=5_000, rests=0.001)
    desk.open("C", pnl=3.0, usd=5_000)
    stolen = "MSFT stolen by C (2.00 over 1.00) at some time"
    desk.client.set(desk.keys.of("cooldown", "MSFT"), stolen, px=60_000)

    def protections(thief: str) -> list[str]:
        return [c.protection for c in desk.coordinator.get_steal_candidates(thief)]

    assert protections("") == ["", "near_fill", ""]
    assert protections("MSFT") == ["", "near_fill", "steal_back"]
    assert protections("A") == ["own_symbol", "near_fill", ""]
    assert desk.coordinator.get_steal_candidates()[1].distance == pytest.approx(0.001)
    assert desk.coordinator.is_protected("an order placed by hand")


def test_a_quote_is_stale_by_redis_clock_and_by_its_own_age(desk: Desk) -> None:
    desk.coordinator.publish_quote("A", 100, 100, age_seconds=14)
    assert desk.coordinator.standing("A", "maxdiff").ask == 100
    desk.coordinator.publish_quote("A", 100, 100, age_seconds=16)
    assert desk.coordinator.standing("A", "maxdiff").ask is None
    desk.coordinator.publish_quote("A", 0, 100)
    assert desk.coordinator.standing("A", "maxdiff").ask is None, "no bid, no quote"


def test_nothing_is_stolen_for_one_cooldown_after_a_loss_of_memory(desk: Desk) -> None:
    desk.open("A", pnl=1.0, usd=20_000)
    desk.coordinator.certify(no_steal_seconds=300)
    desk.account(equity=10_000)
    refused = desk.acquire("MSFT", pnl=9.0)
    assert (refused.reason, "lost its memory" in refused.detail) == ("no_capacity", True)
    desk.client.hset(desk.keys.ledger, "no_steal_until", 1)
    assert desk.acquire("MSFT", pnl=9.0).outcome is Verdict.STEAL


def test_a_large_improvement_is_refused_or_does_not_turn_negative_pnl_round(
    redis_client: redis.Redis,
) -> None:
    try:
        settings = Settings(min_pnl_improvement=3.0)
    except SettingsError:
        return
    desk = Desk(redis_client, settings).open_shop(equity=10_000)
    desk.open("A", pnl=-10.0, usd=10_000)
    desk.open("B", pnl=-1.0, usd=10_000)
    # What beats the better order beats the worse one, whatever the margin.
    assert desk.acquire("MSFT", pnl=1.1).outcome is Verdict.STEAL
