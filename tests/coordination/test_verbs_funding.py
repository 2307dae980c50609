"""Where a thief's money comes from: victims, heirs, inheritance, justification."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stealer.errors import Refused, Underfunded
from stealer.model import Claim, Decision, Verdict
from tests.coordination.desk import Desk, micro


def steal(desk: Desk, symbol: str = "MSFT", pnl: float = 9.0, usd: float = 10_000) -> Decision:
    decision = desk.acquire(symbol, pnl=pnl, usd=usd)
    assert decision.outcome is Verdict.STEAL, (decision.reason, decision.detail)
    return decision


def thief_of(decision: Decision) -> Claim:
    assert decision.claim
    return decision.claim


def test_the_heir_is_paid_only_when_the_victim_is_terminal(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    thief = thief_of(steal(desk))
    assert (thief.fund, thief.pending) == (0, 1)
    with pytest.raises(Underfunded):
        desk.coordinator.launch(thief)
    assert desk.coordinator.topup(thief).outcome is Verdict.STEAL, "still pending"
    # A cancel that is only requested says nothing.
    desk.coordinator.confirm(aapl, desk.order(aapl, "pending_cancel"))
    with pytest.raises(ValueError, match="pending_cancel is not terminal"):
        desk.coordinator.close(aapl, desk.order(aapl, "pending_cancel"))
    assert (desk.charged(), desk.now(thief).fund) == (20_000, 0)
    desk.cancel(aapl)
    assert (desk.charged(), desk.now(thief).fund) == (10_000, 10_000_000_000)
    assert desk.coordinator.launch(thief) == 10.0


def test_a_victim_that_filled_gives_the_heir_nothing(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    thief = thief_of(steal(desk))
    assert desk.fill(aapl) == 0
    assert (desk.charged(), desk.now(thief).fund, desk.now(thief).pending) == (20_000, 0, 0)
    with pytest.raises(Underfunded):
        desk.coordinator.launch(thief)
    assert desk.coordinator.topup(thief).reason == "no_capacity"
    desk.coordinator.abort(thief)
    assert desk.charged() == 20_000, "the fill is charged until a snapshot shows it"
    desk.account(equity=10_000, positions=20_000)
    assert (desk.charged(), desk.free(), desk.state(aapl)) == (0, 0, "gone")


def test_a_victim_that_filled_in_part_gives_the_rest(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    thief = thief_of(steal(desk, usd=15_000))
    assert desk.cancel(aapl, filled=80) == 12_000_000_000
    assert (desk.now(thief).fund, desk.charged(), desk.free()) == (12_000_000_000, 20_000, 0)
    assert desk.coordinator.topup(thief).outcome is Verdict.DENIED
    assert desk.state(aapl) == "closed"


def test_what_an_heir_does_not_need_is_free(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    desk.settle(steal(desk, usd=3_000))
    assert (desk.charged(), desk.free(), desk.state(aapl)) == (3_000, 17_000, "gone")


def test_victims_of_a_thief_that_gave_up_are_inherited_before_anything_else(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=10_000)
    tsla = desk.open("TSLA", pnl=0.5, usd=10_000, mode="probe")
    first = thief_of(steal(desk, usd=10_000))
    desk.coordinator.abort(first)
    assert (desk.state(aapl), desk.now(aapl).heir) == ("evicting", ""), "irrevocable"
    second = desk.acquire("MSFT", pnl=9.0, usd=8_000)
    assert (second.victims, second.inherits) == ((), 1)
    assert len(desk.steals()) == 1, "to inherit is no steal"
    assert desk.now(aapl).heir == thief_of(second).id
    with pytest.raises(Underfunded):
        desk.coordinator.launch(thief_of(second))
    desk.cancel(aapl)
    desk.send(thief_of(second))
    assert (desk.charged(), desk.state(tsla)) == (18_000, "open")


def test_an_inheritance_may_be_topped_up_by_victims(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=10_000)
    tsla = desk.open("TSLA", pnl=2.0, usd=10_000)
    desk.coordinator.evict(aapl.id, "operator")
    decision = steal(desk, usd=15_000)
    assert ([v.id for v in decision.victims], decision.inherits) == ([tsla.id], 1)
    assert thief_of(decision).pending == 2
    desk.cancel(aapl)
    desk.settle(decision)
    assert (desk.charged(), desk.free()) == (15_000, 5_000)


def test_the_best_victims_not_needed_after_all_are_let_go(desk: Desk) -> None:
    sizes = {"A": (1.0, 2_000), "B": (2.0, 3_000), "C": (3.0, 5_000), "D": (4.0, 10_000)}
    for symbol, (pnl, usd) in sizes.items():
        desk.open(symbol, pnl=pnl, usd=usd)
    # Worst first gives A, B, C, D (the first three have 10,000); D alone is not enough for
    # 12,000, and of the others the best that can be spared, C, goes free.
    decision = steal(desk, pnl=99.0, usd=12_000)
    assert [victim.symbol for victim in decision.victims] == ["A", "D"]
    assert desk.counter("work_steal_success_total") == 1, "one steal, two victims"
    assert desk.steals()[0]["victims"] == "A D"
    assert [desk.client.exists(desk.keys.of("cooldown", s)) for s in "ABCD"] == [1, 0, 0, 1]


def test_a_thief_must_beat_the_victims_together(desk: Desk) -> None:
    desk.open("A", pnl=4.0, usd=10_000)
    desk.open("B", pnl=5.0, usd=10_000)
    refused = desk.acquire("MSFT", pnl=9.9, usd=20_000)
    assert (refused.reason, "together" in refused.detail) == ("pnl_not_better", True)
    assert steal(desk, pnl=9.91, usd=20_000).victims


def test_justification_adds_up_over_topups(desk: Desk) -> None:
    a = desk.open("A", pnl=4.0, usd=10_000)
    b = desk.open("B", pnl=5.0, usd=10_000)
    thief = thief_of(steal(desk, pnl=9.9, usd=10_000))
    desk.fill(a)
    again = desk.coordinator.topup(thief)
    assert (again.outcome, again.reason) == (Verdict.DENIED, "pnl_not_better"), "4 + 5 is spent"
    desk.forecast("MSFT", 9.91)
    again = desk.coordinator.topup(thief)
    assert [victim.id for victim in again.victims] == [b.id]
    replay = desk.coordinator.topup(thief)
    assert (replay.outcome, replay.victims, len(desk.steals())) == (again.outcome, again.victims, 2)
    desk.cancel(b)
    desk.send(thief)
    assert desk.charged() == 20_000


def test_topup_takes_what_has_become_free(desk: Desk) -> None:
    a = desk.open("A", pnl=1.0, usd=10_000)
    b = desk.open("B", pnl=9.0, usd=10_000)
    thief = thief_of(steal(desk, pnl=5.0, usd=10_000))
    desk.fill(a)
    desk.release(b)
    done = desk.coordinator.topup(thief)
    assert (done.outcome, desk.free()) == (Verdict.GRANTED, 0)
    assert desk.coordinator.topup(thief) == done
    desk.send(thief)


@pytest.mark.parametrize(
    ("thief", "victim", "justified"),
    [
        (-4.0, -5.0, True),
        (-4.5, -5.0, False),
        (-5.2, -5.0, False),
        (0.0, -5.0, True),
        (0.0, 0.0, False),
        (0.01, 0.0, True),
    ],
)
def test_negative_pnl_does_not_turn_the_comparison_round(
    desk: Desk, thief: float, victim: float, justified: bool
) -> None:
    desk.open("AAPL", pnl=victim, usd=20_000)
    assert bool(desk.acquire("MSFT", pnl=thief)) is justified


def test_the_positive_pnl_of_the_victims_counts_and_the_negative_does_not(desk: Desk) -> None:
    desk.open("A", pnl=-8.0, usd=10_000)
    desk.open("B", pnl=5.0, usd=10_000)
    assert desk.acquire("MSFT", pnl=5.5, usd=20_000).reason == "pnl_not_better"
    assert len(steal(desk, pnl=5.6, usd=20_000).victims) == 2


def test_a_victim_serves_one_thief_only(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=20_000)
    first = steal(desk, usd=2_000)
    other = desk.acquire("TSLA", pnl=50.0, usd=2_000)
    assert other.outcome is Verdict.DENIED
    assert desk.now(first.victims[0].id).heir == thief_of(first).id


def test_nothing_is_canceled_when_no_set_covers_the_shortfall(desk: Desk) -> None:
    for symbol in "AB":
        desk.open(symbol, pnl=1.0, usd=5_000)
    desk.open("P", pnl=1.0, usd=10_000, mode="probe")
    assert desk.acquire("MSFT", pnl=99.0, usd=10_001).reason == "all_protected"
    assert [desk.coordinator.is_protected(i) for i in desk.coordinator.claim_ids()] == [
        False,
        False,
        True,
    ]


def test_two_claims_of_one_symbol_make_one_pair(desk: Desk) -> None:
    for strategy in ("one", "two"):
        desk.open("AAPL", pnl=1.0, usd=10_000, strategy=strategy)
    assert len(steal(desk, usd=20_000).victims) == 2
    assert len(desk.client.get(desk.keys.of("recent", "AAPL", "MSFT")).split()) == 1


def test_a_halt_stops_a_thief_before_it_kills_again(desk: Desk) -> None:
    a = desk.open("A", pnl=1.0, usd=10_000)
    b = desk.open("B", pnl=2.0, usd=10_000)
    thief = thief_of(steal(desk))
    desk.fill(a)
    desk.coordinator.halt("stop", "alice")
    again = desk.coordinator.topup(thief)
    assert (again.outcome, again.reason) == (Verdict.DENIED, "halted")
    assert desk.state(b) == "open", "its thief could not launch anyway"


def test_a_topup_steals_nothing_by_an_old_account(desk: Desk) -> None:
    a = desk.open("A", pnl=1.0, usd=10_000)
    b = desk.open("B", pnl=2.0, usd=10_000)
    thief = thief_of(steal(desk))
    desk.fill(a)
    desk.age_account(16)
    assert desk.coordinator.topup(thief).reason == "stale_account"
    assert desk.state(b) == "open"


def test_a_partly_filled_victim_helps_with_its_rest_only(desk: Desk) -> None:
    a = desk.open("A", pnl=1.0, usd=10_000)
    b = desk.open("B", pnl=2.0, usd=10_000)
    desk.fill(a, Decimal(60))
    decision = steal(desk, usd=5_000)
    assert [victim.id for victim in decision.victims] == [b.id], "A's 4,000 would not do"


def test_a_funded_claim_is_not_asked_to_cover_a_deficit_of_the_account(desk: Desk) -> None:
    """Its victim gave it what it lacked; that the account is overdrawn now is `launch`'s to say."""
    victim = desk.open("AAPL", pnl=1.0, usd=16_000)
    desk.open("TSLA", pnl=1.5, usd=1_000)
    desk.market("MSFT")
    thief = desk.acquire("MSFT", pnl=9.0, usd=4_000).claim
    assert thief
    desk.cancel(victim.id, filled=150)
    desk.client.hincrby(desk.keys.ledger, "limit_total", -micro(1_000))
    assert desk.free() == -1_000

    funded = desk.coordinator.topup(thief)

    assert (funded.outcome, funded.victims) == (Verdict.GRANTED, ())
    with pytest.raises(Refused, match="overdrawn"):
        desk.coordinator.launch(thief)
