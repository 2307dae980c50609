"""Who counts as silent, what a silent owner loses, and evictions that never end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stealer.coordinator import STATUS_SECONDS, WorkStealingCoordinator
from stealer.errors import OwnerAlive
from stealer.model import Claim, Verdict
from tests.coordination.desk import Desk


def be_silent(desk: Desk, claim: Claim, seconds: float) -> None:
    """Let the owner's last sign of life be so old."""
    then = desk.coordinator.now_ms() - int(seconds * 1000)
    desk.client.zadd(desk.keys.beats, {claim.id: then})


@pytest.fixture
def orphan_seconds(desk: Desk) -> float:
    return desk.settings.orphan_seconds


# ---- silence


def test_a_reservation_is_no_orphan_before_its_launch(desk: Desk) -> None:
    claim = desk.reserve("AAA")
    assert desk.client.zscore(desk.keys.beats, claim.id) is None
    assert desk.coordinator.recount() == "", "its deadline watches over it"

    desk.coordinator.launch(claim)

    assert desk.client.zscore(desk.keys.beats, claim.id)
    assert desk.coordinator.recount() == ""


def test_a_certification_on_another_server_makes_orphans_of_nobody(
    desk: Desk, orphan_seconds: float
) -> None:
    claims = [desk.open(symbol) for symbol in ("AAA", "BBB")] + [desk.reserve("CCC")]
    for claim in claims:
        be_silent(desk, claim, orphan_seconds + 60)
    assert set(desk.coordinator.silent_claims()) == {claim.id for claim in claims}
    desk.another_server()

    desk.coordinator.certify()

    assert desk.coordinator.silent_claims() == []
    for claim in claims[:2]:
        with pytest.raises(OwnerAlive):
            desk.coordinator.evict(claim.id, "orphan", by="keeper", silent_seconds=orphan_seconds)
        assert desk.state(claim) == "open"


def test_who_is_silent_again_after_a_certification_is_an_orphan(
    desk: Desk, orphan_seconds: float
) -> None:
    claim = desk.open("AAA")
    desk.another_server()
    desk.coordinator.certify()
    be_silent(desk, claim, orphan_seconds + 1)

    assert desk.coordinator.silent_claims() == [claim.id]


def test_an_owner_that_has_spoken_meanwhile_is_not_evicted_as_silent(
    desk: Desk, orphan_seconds: float
) -> None:
    claim = desk.open("AAA")
    be_silent(desk, claim, orphan_seconds + 60)
    assert desk.coordinator.silent_claims() == [claim.id]
    desk.coordinator.heartbeat(claim)
    before = desk.everything()

    with pytest.raises(OwnerAlive):
        desk.coordinator.evict(
            claim.id, "orphan", by="keeper", raise_fence=True, silent_seconds=orphan_seconds
        )

    assert desk.everything() == before


def test_an_owner_that_stays_silent_is_evicted_and_its_fence_raised(
    desk: Desk, orphan_seconds: float
) -> None:
    claim = desk.open("AAA")
    be_silent(desk, claim, orphan_seconds + 1)

    state, order_id = desk.coordinator.evict(
        claim.id, "orphan", by="keeper", raise_fence=True, silent_seconds=orphan_seconds
    )

    assert (state, order_id) == ("evicting", f"broker-{claim.id}")
    assert desk.now(claim).fence != claim.fence


def test_an_operator_evicts_without_asking_whether_the_owner_is_silent(desk: Desk) -> None:
    claim = desk.open("AAA")

    assert desk.coordinator.evict(claim.id, "operator", by="me")[0] == "evicting"


def test_a_repeated_adoption_by_the_same_owner_answers_the_claim_again(desk: Desk) -> None:
    claim = desk.open("AAA")
    be_silent(desk, claim, 10)

    answers = [desk.raw("adopt", claim.slot, "me", 6_000, "", "") for _ in range(2)]

    assert answers == [["adopted", claim.id]] * 2
    assert desk.now(claim).owner == "me"
    assert desk.raw("adopt", claim.slot, "somebody else", 6_000, "", "")[0] == "busy"


def test_a_repeated_adoption_raises_the_fence_only_once(desk: Desk) -> None:
    claim = desk.open("AAA")
    be_silent(desk, claim, 10)
    heir = WorkStealingCoordinator(desk.client, desk.settings, owner="me")

    first, again = heir.adopt(claim.slot, 6), heir.adopt(claim.slot, 6)

    assert first
    assert again == first
    assert first.fence != claim.fence
    assert heir.heartbeat(first).state == "open"


# ---- statuses of watchers


def test_prune_takes_the_statuses_of_dead_watchers_and_leaves_the_fresh(desk: Desk) -> None:
    now = desk.coordinator.now_ms() / 1000
    ages = {"dead": STATUS_SECONDS + 60, "nearly": STATUS_SECONDS - 60, "fresh": 0.0}
    for owner, age in ages.items():
        watcher = WorkStealingCoordinator(desk.client, desk.settings, owner=owner)
        watcher.report({"symbol": "AAA", "strategy": "maxdiff", "seen": now - age, "detail": "x"})

    desk.coordinator.prune()

    assert set(desk.client.hkeys(desk.keys.watchers)) == {"nearly", "fresh"}


# ---- evictions that never end


@pytest.fixture
def evicted_since(desk: Desk) -> Callable[[Claim, float], None]:
    """Let an eviction be so many times ``reserve_seconds`` old."""

    def rewrite(claim: Claim, times: float) -> None:
        then = desk.coordinator.now_ms() - int(times * desk.settings.reserve_seconds * 1000)
        desk.client.hset(desk.keys.of("claim", claim.id), "evicted_ms", then)

    return rewrite


def test_a_stuck_eviction_is_not_inherited_and_the_thief_takes_the_worst_order(
    desk: Desk, evicted_since: Callable[[Claim, float], None]
) -> None:
    stuck = desk.open("AAA", 0.5, usd=10_000)
    worst = desk.open("BBB", 1.0, usd=10_000)
    desk.coordinator.evict(stuck.id, "orphan", by="keeper")
    evicted_since(stuck, 2.1)

    decision = desk.acquire("TTT", 50.0, usd=10_000)

    assert decision.outcome is Verdict.STEAL
    assert [victim.id for victim in decision.victims] == [worst.id]
    assert (desk.state(stuck), desk.now(stuck).heir) == ("evicting", "")
    desk.settle(decision)
    assert desk.charged() == 20_000, "what is stuck stays charged"


def test_an_eviction_that_may_still_end_is_inherited_and_kills_nobody(
    desk: Desk, evicted_since: Callable[[Claim, float], None]
) -> None:
    stuck = desk.open("AAA", 0.5, usd=10_000)
    worst = desk.open("BBB", 1.0, usd=10_000)
    desk.coordinator.evict(stuck.id, "orphan", by="keeper")
    evicted_since(stuck, 1.9)

    decision = desk.acquire("TTT", 50.0, usd=10_000)

    assert decision.victims == ()
    assert decision.claim
    assert desk.now(stuck).heir == decision.claim.id
    assert desk.state(worst) == "open"


@pytest.mark.parametrize(("times", "reason"), [(1.9, "yield"), (2.1, "")])
def test_nobody_yields_to_a_waiter_for_the_sake_of_a_stuck_eviction(
    desk: Desk, evicted_since: Callable[[Claim, float], None], times: float, reason: str
) -> None:
    stuck = desk.open("AAA", 60.0, usd=10_000)
    desk.open("BBB", 70.0, usd=8_000)
    assert desk.acquire("RRR", 9.0, usd=9_000).reason == "pnl_not_better"  # it waits for more room
    desk.coordinator.evict(stuck.id, "orphan", by="keeper")
    evicted_since(stuck, times)

    decision = desk.acquire("LLL", 1.0, usd=2_000)  # fits what is free

    assert (decision.reason, bool(decision.claim)) == (reason, not reason)
