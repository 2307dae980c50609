"""Named scenarios about capacity and about who may be stolen from."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stealer.model import Verdict
from tests.coordination.desk import Desk


def test_capacity_available(desk: Desk) -> None:
    assert desk.coordinator.can_open_order("AAPL", "maxdiff", 100, 200)
    decision = desk.acquire("AAPL", usd=20_000)
    assert decision.outcome is Verdict.GRANTED
    assert decision.claim
    assert decision.claim.fund == decision.claim.need
    assert (desk.charged(), desk.free()) == (20_000, 0)
    desk.send(decision.claim)
    assert (desk.charged(), desk.steals()) == (20_000, [])


def test_capacity_exceeded(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=15_000)
    assert not desk.coordinator.can_open_order("MSFT", "maxdiff", 100, 100)
    refused = desk.acquire("MSFT", pnl=0.5, usd=10_000)
    assert refused.reason == "pnl_not_better"
    assert desk.charged() == 15_000, "a refusal changes no charge"

    decision = desk.acquire("MSFT", pnl=2.0, usd=10_000)
    assert [victim.id for victim in decision.victims] == [aapl.id]
    assert decision.claim
    assert decision.claim.fund == 5_000_000_000, "what was free, and no more"
    assert (desk.charged(), desk.free()) == (20_000, 0), "the victim stays charged"
    assert desk.cancel(aapl) == 15_000_000_000
    desk.settle(decision)
    assert (desk.charged(), desk.free()) == (10_000, 10_000)


def test_protection(desk: Desk) -> None:
    near = desk.open("AAPL", usd=20_000, rests=0.004)
    refused = desk.acquire("MSFT", pnl=9.0)
    assert (refused.reason, refused.detail.split("; ")[1]) == ("all_protected", "1 near_fill")
    assert desk.coordinator.is_protected(near)
    assert desk.counter("orders_protected_total") == 1
    assert desk.charged() == 20_000

    desk.market("AAPL", away=0.0041)
    assert desk.acquire("MSFT", pnl=9.0).victims[0].id == near.id


def test_protection_counts_a_price_through_the_limit_as_distance_0(desk: Desk) -> None:
    desk.open("AAPL", usd=20_000, rests=-0.1)
    assert desk.acquire("MSFT", pnl=9.0).reason == "all_protected"


def test_protection_of_a_short_sale_looks_at_the_bid(desk: Desk) -> None:
    short = desk.open("AAPL", usd=10_000, side="sell", rests=0.02)
    desk.open("TSLA", usd=9_700, mode="probe")
    desk.coordinator.publish_quote("AAPL", "99.7", "101")
    assert desk.coordinator.is_protected(short), "the bid is 0.3 % below the limit"
    desk.coordinator.publish_quote("AAPL", "98", "100")
    assert not desk.coordinator.is_protected(short)
    assert desk.charged() == 10_300 + 9_700, "a short sale may fill above its limit"


def test_probe_protection(desk: Desk) -> None:
    desk.open("AAPL", pnl=0.1, usd=20_000, mode="probe")
    assert desk.acquire("MSFT", pnl=9.0).reason == "all_protected"
    assert (desk.charged(), desk.steals()) == (20_000, [])


def test_better_pnl_required(desk: Desk) -> None:
    desk.open("AAPL", pnl=10.0, usd=20_000)
    assert desk.acquire("MSFT", pnl=10.0).reason == "pnl_not_better"
    assert desk.acquire("MSFT", pnl=11.0).reason == "pnl_not_better", "10 % is not above 10 %"
    assert desk.charged() == 20_000
    assert desk.acquire("MSFT", pnl=11.01).outcome is Verdict.STEAL


def test_cooldown(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=20_000)
    msft = desk.settle(desk.acquire("MSFT", pnl=2.0, usd=20_000))
    desk.market("MSFT", away=0.02)

    # The victim cannot steal back from the thief, however good it has become ...
    refused = desk.acquire("AAPL", pnl=9.0, usd=20_000)
    assert (refused.reason, refused.detail.split("; ")[1]) == ("cooldown", "1 steal_back")
    # ... and cannot be a victim again, of anybody, when it is back by itself.
    desk.release(msft)
    desk.open("AAPL", pnl=1.0, usd=20_000)
    refused = desk.acquire("TSLA", pnl=9.0, usd=20_000)
    assert (refused.reason, refused.detail.split("; ")[1]) == ("cooldown", "1 cooldown")
    assert desk.charged() == 20_000

    key = desk.keys.of("cooldown", "AAPL")
    assert 290_000 < desk.client.pttl(key) <= 300_000
    assert "AAPL stolen by MSFT (2.00 over 1.00)" in str(desk.client.get(key))
    desk.expire("cooldown", "AAPL")
    assert desk.acquire("TSLA", pnl=9.0, usd=20_000).outcome is Verdict.STEAL


def take_turns(desk: Desk, times: int) -> None:
    """AAPL and MSFT steal from each other this often, cooldowns lapsing in between."""
    names = ["AAPL", "MSFT"]
    desk.open(names[0], pnl=1.0, usd=20_000)
    for turn in range(times):
        victim, thief = names[turn % 2], names[(turn + 1) % 2]
        desk.market(victim, away=0.02)
        desk.settle(desk.acquire(thief, pnl=2.0**turn * 2, usd=20_000))
        desk.expire("cooldown", victim)
        desk.market(thief, away=0.02)


def test_fighting(desk: Desk) -> None:
    take_turns(desk, 3)
    assert desk.counter("work_steal_fights_detected") == 0
    # MSFT holds the capacity now. The fourth steal of the pair is carried out, and is the fight.
    fourth = desk.acquire("AAPL", pnl=100.0, usd=20_000)
    aapl = desk.settle(fourth)
    assert desk.counter("work_steal_fights_detected") == 1
    assert [steal["fights"] for steal in desk.steals()] == ["0", "0", "0", "1"]
    key = desk.keys.of("fight", "AAPL", "MSFT")
    assert 1_790_000 < desk.client.pttl(key) <= 1_800_000

    # Both ways, although the cooldowns themselves lapse.
    desk.expire("cooldown", "MSFT")
    desk.market("AAPL", away=0.02)
    assert desk.acquire("MSFT", pnl=999.0, usd=20_000).reason == "fight"
    desk.release(aapl)
    desk.open("MSFT", pnl=1.0, usd=20_000)
    assert desk.acquire("AAPL", pnl=999.0, usd=20_000).reason == "fight"
    # It bars the pair only.
    assert desk.acquire("TSLA", pnl=999.0, usd=20_000).outcome is Verdict.STEAL
    assert desk.charged() == 20_000


def test_fighting_forgets_steals_that_are_older_than_the_window(desk: Desk) -> None:
    take_turns(desk, 3)
    key = desk.keys.of("recent", "AAPL", "MSFT")
    *later, first = desk.client.get(key).split()
    desk.client.set(key, " ".join([*later, str(int(first) - 1_801_000)]), px=60_000)
    desk.settle(desk.acquire("AAPL", pnl=100.0, usd=20_000))
    assert desk.counter("work_steal_fights_detected") == 0


def test_multiple_candidates(desk: Desk) -> None:
    claims = {
        symbol: desk.open(symbol, pnl=pnl, usd=5_000)
        for symbol, pnl in (("AAPL", 3.0), ("MSFT", 1.0), ("TSLA", 4.0), ("NVDA", 2.0))
    }
    shown = [candidate.symbol for candidate in desk.coordinator.get_steal_candidates()]
    assert shown == ["MSFT", "NVDA", "AAPL", "TSLA"]
    decision = desk.acquire("AMZN", pnl=9.0, usd=5_000)
    assert [victim.id for victim in decision.victims] == [claims["MSFT"].id], "the worst, alone"
    desk.settle(decision)
    two = desk.acquire("META", pnl=20.0, usd=7_000)
    assert [victim.symbol for victim in two.victims] == ["NVDA", "AAPL"], "worst first, until even"
    desk.settle(two)
    assert (desk.charged(), desk.free()) == (17_000, 3_000)


def test_tie_break(desk: Desk) -> None:
    first = desk.open("TSLA", pnl=1.0, usd=10_000)
    desk.open("AAPL", pnl=1.0, usd=10_000)
    decision = desk.acquire("MSFT", pnl=2.0, usd=1_000)
    assert [victim.id for victim in decision.victims] == [first.id], "on equal PnL the oldest goes"


def test_all_protected(desk: Desk) -> None:
    desk.open("AAPL", pnl=0.1, usd=5_000, mode="probe")
    desk.open("MSFT", pnl=0.1, usd=5_000, force=True)
    desk.open("TSLA", pnl=0.1, usd=5_000, rests=0.001)
    desk.open("NVDA", pnl=0.1, usd=5_000)
    desk.age_quote("NVDA", 16)
    before = desk.everything()
    refused = desk.acquire("AMZN", pnl=9.0)
    assert refused.reason == "all_protected"
    assert refused.detail.endswith("1 near_fill, 1 probe, 1 force_immediate, 1 stale_quote")
    assert desk.counter("orders_protected_total") == 4
    after = desk.everything()
    assert after[desk.keys.ledger] == before[desk.keys.ledger], "no set helps: nothing is canceled"
    assert after[desk.keys.open] == before[desk.keys.open]


@pytest.mark.parametrize(("away", "reason"), [(0.003, ""), (0.0031, "not_close_enough")])
def test_a_thief_must_be_within_0_3_percent_of_its_own_limit(
    desk: Desk, away: float, reason: str
) -> None:
    desk.open("AAPL", usd=20_000)
    assert desk.acquire("MSFT", pnl=9.0, away=away).reason == reason
    assert desk.charged() == 20_000


def test_an_order_that_covers_nothing_with_its_rest_is_no_victim(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=0.1, usd=10_000)
    tsla = desk.open("TSLA", pnl=0.2, usd=10_000)
    desk.fill(aapl, Decimal("99.99"))
    decision = desk.acquire("MSFT", pnl=9.0, usd=5_000)
    assert [victim.id for victim in decision.victims] == [tsla.id], "1 dollar of AAPL is not needed"
