"""Named scenarios about hours and tiers: who enters at once, and how close the others must be."""

from __future__ import annotations

from datetime import datetime

import pytest

from stealer.sessions import NEW_YORK, session_at
from stealer.tiers import Tier
from tests.coordination.desk import Desk


def rank_three_cryptos(desk: Desk) -> None:
    for symbol, pnl in (("BTCUSD", 3.0), ("ETHUSD", 2.0), ("UNIUSD", 1.0)):
        desk.forecast(symbol, pnl)


def test_top_crypto_forced(desk: Desk) -> None:
    rank_three_cryptos(desk)
    desk.forecast("AAPL", 99.0)  # closed stocks do not push crypto down
    desk.out_of_hours()
    tier = desk.tier("BTCUSD")
    assert (tier.tier, tier.tolerance_pct) == (Tier.FORCE_IMMEDIATE, None)

    # At any price, even an unknown one; and as a thief at any distance.
    assert desk.acquire("BTCUSD", usd=1_000, away=None)
    assert desk.charged("crypto") == 1_000


def test_top_crypto_forced_may_steal_from_far_away_and_is_nobodys_victim(desk: Desk) -> None:
    rank_three_cryptos(desk)
    eth = desk.open("ETHUSD", usd=10_000)
    desk.out_of_hours()
    decision = desk.acquire("BTCUSD", usd=10_000, away=0.5)
    assert [victim.id for victim in decision.victims] == [eth.id]
    btc = desk.settle(decision)
    assert (desk.charged(), desk.free("crypto")) == (10_000, 0)

    desk.market("BTCUSD", away=0.5)
    assert desk.coordinator.is_protected(btc)
    assert [c.protection for c in desk.coordinator.get_steal_candidates()] == ["force_immediate"]
    desk.stock_hours()
    assert not desk.coordinator.is_protected(btc), "forced is a matter of now, not of admission"


def test_second_crypto_1_6_percent(desk: Desk) -> None:
    rank_three_cryptos(desk)
    desk.out_of_hours()
    for symbol in ("ETHUSD", "UNIUSD"):
        assert desk.tier(symbol).tolerance_pct == 0.016
        assert desk.tier(symbol).tier is not Tier.FORCE_IMMEDIATE
    assert desk.acquire("ETHUSD", away=0.016), "free capacity asks for no distance of its own"
    assert desk.charged("crypto") == 1_000


def test_stock_hours_0_66_percent(desk: Desk) -> None:
    rank_three_cryptos(desk)
    for symbol in ("BTCUSD", "ETHUSD", "UNIUSD"):
        assert desk.tier(symbol).tolerance_pct == 0.0066
    for number in range(8):
        desk.forecast("ABCDEFGH"[number], 50.0 - number)
    assert desk.tier("A").tier is Tier.TIGHT_TOLERANCE
    assert desk.tier("H").tolerance_pct == 0.0066
    assert desk.tier("BTCUSD").tier is Tier.STEAL_ONLY


def test_a_watcher_started_on_sunday_loses_force_immediate_on_monday_at_9_30(desk: Desk) -> None:
    desk.forecast("BTCUSD", 3.0)
    desk.out_of_hours()
    assert desk.tier("BTCUSD").tier is Tier.FORCE_IMMEDIATE
    # The keeper said until when: scripts flip the session by themselves when the moment comes.
    desk.client.hset(desk.keys.ledger, "session_until", 1)
    assert desk.tier("BTCUSD").tier is Tier.TIGHT_TOLERANCE
    assert desk.acquire("BTCUSD", away=None).reason == "stale_quote", "no longer at any price"
    assert desk.charged() == 0


@pytest.mark.parametrize(
    ("what", "moment", "is_open"),
    [
        ("weekend", datetime(2024, 1, 6, 12, 0, tzinfo=NEW_YORK), False),
        ("after-hours", datetime(2024, 1, 3, 16, 0, tzinfo=NEW_YORK), False),
        ("pre-market", datetime(2024, 1, 3, 9, 29, 59, tzinfo=NEW_YORK), False),
        ("the open", datetime(2024, 1, 3, 9, 30, tzinfo=NEW_YORK), True),
        ("the last second", datetime(2024, 1, 3, 15, 59, 59, tzinfo=NEW_YORK), True),
        ("a holiday", datetime(2024, 7, 4, 12, 0, tzinfo=NEW_YORK), False),
        ("an early close", datetime(2024, 7, 3, 13, 0, tzinfo=NEW_YORK), False),
    ],
)
def test_hours_detection(desk: Desk, what: str, moment: datetime, is_open: bool) -> None:
    session = session_at(moment)
    assert session.is_open is is_open, what
    left = (session.until - moment).total_seconds()
    desk.coordinator.publish_session(session.is_open, left)
    desk.forecast("BTCUSD", 1.0)
    assert desk.coordinator.standing("BTCUSD", "maxdiff").session_open is is_open
    assert (desk.tier("BTCUSD").tier is Tier.FORCE_IMMEDIATE) is not is_open
