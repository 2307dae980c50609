"""The lease: one keeper leads, a standby takes over, and a deposed one is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import Deposed
from stealer.keeper.keeper import Keeper
from stealer.keeper.leadership import Leadership
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.keeper.conftest import keeper_of
from tests.support import ManualClock


def contender(desk: Desk, clock: ManualClock, owner: str) -> Leadership:
    coordinator = WorkStealingCoordinator(desk.client, desk.settings, owner=owner)
    return Leadership(coordinator, 300, clock.time)


def test_one_leads_and_the_other_stands_by_until_the_lease_ends(
    desk: Desk, manual_clock: ManualClock
) -> None:
    first, second = (contender(desk, manual_clock, name) for name in ("a", "b"))

    assert first.renew()
    assert first.renew()
    assert not second.renew()
    assert (first.term, second.term, second.holder) == (1, None, "a")

    desk.client.delete(desk.keys.keeper)
    assert second.renew()
    assert second.term == 2
    assert not first.renew()
    assert (first.term, first.holder) == (None, "b")


def test_a_lease_given_up_needs_no_waiting_and_only_its_holder_gives_it_up(
    desk: Desk, manual_clock: ManualClock
) -> None:
    first, second = (contender(desk, manual_clock, name) for name in ("a", "b"))
    assert first.renew()

    second.release()
    assert first.renew()
    first.release()

    assert second.renew()
    assert second.term == 2


def test_the_lease_is_relied_on_only_for_its_time_on_the_own_clock(
    desk: Desk, manual_clock: ManualClock
) -> None:
    leader = contender(desk, manual_clock, "a")
    assert not leader.holds()
    leader.renew()
    manual_clock.advance(299)
    assert leader.holds()
    manual_clock.advance(2)
    assert not leader.holds()


@dataclass
class Terms:
    old: int
    new: int


@pytest.fixture
def terms(desk: Desk, manual_clock: ManualClock) -> Terms:
    """Two terms, of which the second is in force."""
    first, second = (contender(desk, manual_clock, name) for name in ("a", "b"))
    first.renew()
    desk.client.delete(desk.keys.keeper)
    second.renew()
    assert first.term
    assert second.term
    return Terms(first.term, second.term)


@pytest.mark.parametrize(
    "write",
    [
        lambda desk, term: desk.coordinator.begin_snapshot(term),
        lambda desk, term: desk.account(1, term=term, sequence=10**6),
        lambda desk, term: desk.coordinator.publish_session(False, 60, term),
        lambda desk, term: desk.coordinator.certify(term),
        lambda desk, term: desk.coordinator.condemn(desk.order(_launched(desk)), term),
        lambda desk, term: desk.coordinator.unlaunch_as_keeper(_launched(desk), term, "absent"),
    ],
    ids=["begin", "publish", "session", "certify", "condemn", "unlaunch"],
)
def test_a_deposed_keepers_writes_are_refused_and_change_nothing(
    desk: Desk, terms: Terms, write: Callable[[Desk, int], object]
) -> None:
    _launched(desk)
    before = desk.everything()

    with pytest.raises(Deposed):
        write(desk, terms.old)

    assert desk.everything() == before


def _launched(desk: Desk) -> str:
    claim = desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    if claim is None:
        claim = desk.reserve("AAPL", usd=1_000)
        desk.coordinator.launch(claim)
    return claim.id


def test_a_keeper_deposed_in_the_middle_of_a_pass_publishes_nothing_more(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    manual_clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    other = keeper_of(desk, broker, manual_clock, "keeper-b")
    assert keeper.run_once()
    broker.put("mx_paper_nobody")  # an order to condemn

    def paused() -> None:
        broker.after_positions = lambda: None
        desk.client.delete(desk.keys.keeper)
        assert other.leadership.renew()
        desk.account(7_777, term=2)

    broker.after_positions = paused

    assert not keeper.run_once()

    assert desk.figure("limit_total") == 2 * 7_777
    assert desk.coordinator.claim_ids() == []
    assert broker.cancels == []
    assert not keeper.run_once()  # and stands by from here on
    assert other.run_once()
    assert desk.figure("limit_total") == 20_000


def test_the_lease_is_given_up_at_an_orderly_end(desk: Desk, keeper: Keeper) -> None:
    stops = iter([False, False, True])

    keeper.keep(2.0, lambda: next(stops))

    assert desk.client.exists(desk.keys.keeper) == 0
