"""Tiers and tolerances: DESIGN part 1, and its order where two rules speak."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stealer.sessions import NEW_YORK, session_at
from stealer.settings import Settings
from stealer.tiers import Standing, Tier, TierDecision, decide_tier, distance, standings

SETTINGS = Settings()
TOP = SETTINGS.max_concurrent_orders


def decide(symbol: str = "BTCUSD", **changes: Any) -> TierDecision:
    """The decision about a symbol; by default the second crypto, rank 1, out of hours."""
    arguments: dict[str, Any] = {
        "is_crypto": symbol.endswith("USD"),
        "rank": 1,
        "crypto_rank": 1 if symbol.endswith("USD") else None,
        "session_open": False,
        "explicit_force": False,
        "settings": SETTINGS,
    }
    return decide_tier(symbol, **(arguments | changes))


def test_top_crypto_is_forced_out_of_hours() -> None:
    decision = decide(rank=0, crypto_rank=0)
    assert decision.tier is Tier.FORCE_IMMEDIATE
    assert decision.tolerance_pct is None
    assert "out of hours" in decision.reason


def test_second_crypto_uses_1_6_percent_out_of_hours() -> None:
    decision = decide(rank=1, crypto_rank=1)
    assert (decision.tier, decision.tolerance_pct) == (Tier.TIGHT_TOLERANCE, 0.016)


@pytest.mark.parametrize("rank", [0, TOP - 1, TOP, 2 * TOP - 1])
def test_crypto_uses_0_66_percent_in_stock_hours(rank: int) -> None:
    decision = decide(rank=rank, crypto_rank=rank, session_open=True)
    assert decision.tolerance_pct == 0.0066
    assert decision.tier is (Tier.TIGHT_TOLERANCE if rank < TOP else Tier.NORMAL)


@pytest.mark.parametrize(
    ("rank", "tier", "tolerance"),
    [
        (0, Tier.TIGHT_TOLERANCE, 0.005),
        (TOP - 1, Tier.TIGHT_TOLERANCE, 0.005),
        (TOP, Tier.NORMAL, 0.0066),
        (2 * TOP - 1, Tier.NORMAL, 0.0066),
        (2 * TOP, Tier.STEAL_ONLY, 0.003),
        (1000, Tier.STEAL_ONLY, 0.003),
        (None, Tier.STEAL_ONLY, 0.003),
    ],
)
def test_a_stocks_tier_comes_from_its_rank(rank: int | None, tier: Tier, tolerance: float) -> None:
    decision = decide("AAPL", rank=rank, session_open=True)
    assert (decision.tier, decision.tolerance_pct) == (tier, tolerance)
    assert decision.steal_only is (tier is Tier.STEAL_ONLY)


@pytest.mark.parametrize("session_open", [True, False])
def test_steal_only_beats_the_session_rule_of_crypto(session_open: bool) -> None:
    decision = decide(rank=2 * TOP, crypto_rank=5, session_open=session_open)
    assert (decision.tier, decision.tolerance_pct) == (Tier.STEAL_ONLY, 0.003)


def test_force_beats_steal_only() -> None:
    by_session = decide(rank=2 * TOP, crypto_rank=0)
    by_intent = decide("AAPL", rank=None, session_open=True, explicit_force=True)
    assert by_session.tier is by_intent.tier is Tier.FORCE_IMMEDIATE
    assert "intent" in by_intent.reason


def test_only_crypto_out_of_hours_is_forced_by_rank() -> None:
    assert decide(rank=0, crypto_rank=0, session_open=True).tier is Tier.TIGHT_TOLERANCE
    assert decide("AAPL", rank=0).tier is Tier.TIGHT_TOLERANCE
    assert decide(rank=None, crypto_rank=None).tier is Tier.STEAL_ONLY


def test_the_forced_count_is_a_setting() -> None:
    two = Settings(crypto_out_of_hours_force_count=2)
    none = Settings(crypto_out_of_hours_force_count=0)
    assert decide(crypto_rank=1, settings=two).tier is Tier.FORCE_IMMEDIATE
    assert decide(crypto_rank=2, settings=two).tier is not Tier.FORCE_IMMEDIATE
    assert decide(crypto_rank=0, settings=none).tier is not Tier.FORCE_IMMEDIATE


def test_every_tolerance_is_a_setting() -> None:
    own = Settings(
        crypto_out_of_hours_tolerance_pct=0.1,
        crypto_normal_tolerance_pct=0.2,
        tight_tolerance_pct=0.3,
        entry_tolerance_pct=0.4,
        max_concurrent_orders=1,
    )
    assert decide(rank=0, settings=own).tolerance_pct == 0.1
    assert decide(rank=0, settings=own, session_open=True).tolerance_pct == 0.2
    assert decide("AAPL", rank=0, settings=own, session_open=True).tolerance_pct == 0.3
    assert decide("AAPL", rank=1, settings=own, session_open=True).tolerance_pct == 0.2
    assert decide("AAPL", rank=2, settings=own, session_open=True).tolerance_pct == 0.4


def test_a_watcher_started_on_sunday_loses_force_immediate_on_monday_at_9_30() -> None:
    bell = datetime(2024, 1, 8, 9, 30, tzinfo=NEW_YORK)
    before = session_at(bell - timedelta(seconds=1)).is_open
    after = session_at(bell).is_open
    assert decide(rank=0, crypto_rank=0, session_open=before).tier is Tier.FORCE_IMMEDIATE
    assert decide(rank=0, crypto_rank=0, session_open=after).tolerance_pct == 0.0066


@pytest.mark.parametrize("changes", [{"rank": -1}, {"crypto_rank": -1}])
def test_ranks_count_from_zero(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="count from 0"):
        decide(**changes)


def test_closed_stocks_do_not_push_crypto_down() -> None:
    ranking = [("AAPL", False), ("BTCUSD", True), ("MSFT", False), ("ETHUSD", True)]
    assert standings(ranking, session_open=False) == {
        "AAPL": Standing(None, None),
        "BTCUSD": Standing(0, 0),
        "MSFT": Standing(None, None),
        "ETHUSD": Standing(1, 1),
    }
    assert standings(ranking, session_open=True) == {
        "AAPL": Standing(0, None),
        "BTCUSD": Standing(1, 0),
        "MSFT": Standing(2, None),
        "ETHUSD": Standing(3, 1),
    }


@pytest.mark.parametrize(
    ("side", "limit", "bid", "ask", "expected"),
    [
        ("buy", 100.0, 100.9, 101.0, 0.01),
        ("buy", 100.0, 99.0, 100.0, 0.0),
        ("buy", 100.0, 90.0, 95.0, 0.0),  # through the limit: marketable, not far away
        ("sell", 100.0, 99.0, 99.1, 0.01),
        ("sell", 100.0, 100.0, 101.0, 0.0),
        ("sell", 100.0, 105.0, 110.0, 0.0),
        ("buy", 100.0, math.nan, 101.0, 0.01),  # the other side is not looked at
        ("sell", 100.0, 99.0, 0.0, 0.01),
    ],
)
def test_distance_knows_the_side(
    side: str, limit: float, bid: float, ask: float, expected: float
) -> None:
    assert distance(side, limit, bid, ask) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("side", "limit", "bid", "ask"),
    [
        ("hold", 1.0, 1.0, 1.0),
        ("buy", 0.0, 1.0, 1.0),
        ("buy", -1.0, 1.0, 1.0),
        ("buy", 1.0, 1.0, 0.0),
        ("buy", 1.0, 1.0, math.inf),
        ("sell", 1.0, math.nan, 1.0),
        ("sell", math.nan, 1.0, 1.0),
    ],
)
def test_distance_without_a_price_is_refused(
    side: str, limit: float, bid: float, ask: float
) -> None:
    with pytest.raises(ValueError, match=r"neither buy nor sell|not a positive price"):
        distance(side, limit, bid, ask)


prices = st.floats(1e-9, 1e9)


@given(limit=prices, price=prices)
def test_a_buy_and_a_sell_at_one_limit_are_never_both_away(limit: float, price: float) -> None:
    buy = distance("buy", limit, price, price)
    sell = distance("sell", limit, price, price)
    assert buy >= 0
    assert sell >= 0
    assert min(buy, sell) == 0
