"""What crashed processes left is finished from evidence, in time that the keeper measured."""

from __future__ import annotations

import pytest

from stealer.broker.interface import BrokerBudgetSpent
from stealer.evidence import BrokerOrder
from stealer.keeper.keeper import Keeper
from stealer.keeper.sweep import REPEAT_DELETE_SECONDS
from stealer.model import Claim, State
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock


def launched(desk: Desk, *, overdue: bool = True) -> Claim:
    claim = desk.reserve("AAPL", usd=1_000)
    desk.coordinator.launch(claim)
    if overdue:
        desk.pass_deadline(claim)
    return claim


def opened(desk: Desk, broker: AccountBroker, symbol: str = "AAPL", usd: float = 1_000) -> Claim:
    claim = desk.open(symbol, usd=usd)
    broker.match(claim)
    return desk.now(claim)


def test_reserved_is_aborted_once_its_deadline_has_passed_and_not_before(
    desk: Desk, keeper: Keeper
) -> None:
    claim = desk.reserve("AAPL", usd=1_000)
    keeper.run_once()
    assert desk.state(claim) == "reserved"

    desk.pass_deadline(claim)
    keeper.run_once()

    assert desk.state(claim) == "gone"
    assert desk.charged() == 0


def test_an_aborted_thief_leaves_its_victim_evicting_and_the_keeper_cancels_it(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    victim = opened(desk, broker, "MSFT", 15_000)
    thief = desk.acquire("AAPL", 10.0, usd=10_000).claim
    assert thief
    desk.pass_deadline(thief)

    keeper.run_once()
    assert desk.state(thief) == "gone"
    assert (desk.state(victim), desk.now(victim).heir) == ("evicting", "")
    manual_clock.advance(REPEAT_DELETE_SECONDS)
    keeper.run_once()
    keeper.run_once()

    assert broker.cancels == [f"broker-{victim.id}"]
    assert desk.charged() == 0


def test_launching_is_freed_only_when_it_was_absent_for_the_whole_quarantine(
    desk: Desk, keeper: Keeper, manual_clock: ManualClock
) -> None:
    claim = launched(desk)
    quarantine = desk.settings.quarantine_seconds

    keeper.run_once()
    manual_clock.advance(quarantine - 0.001)
    keeper.run_once()
    assert desk.state(claim) == "launching"
    assert desk.charged() == 1_000
    manual_clock.advance(0.001)
    keeper.run_once()

    assert desk.state(claim) == "gone"
    assert desk.charged() == 0


def test_launching_in_time_is_not_even_looked_up(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = launched(desk, overdue=False)

    keeper.run_once()

    assert broker.lookups == []
    assert desk.state(claim) == "launching"


def test_an_order_that_arrives_late_is_confirmed(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = launched(desk)
    keeper.run_once()
    manual_clock.advance(desk.settings.quarantine_seconds * 0.9)
    broker.match(claim)
    broker.old_list = ()  # the listing does not show it yet; the look-up does

    keeper.run_once()
    manual_clock.advance(desk.settings.quarantine_seconds)
    keeper.run_once()

    assert desk.state(claim) == "open"
    assert desk.charged() == 1_000


def test_an_order_that_arrived_and_ended_is_closed_with_its_fill(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = launched(desk)
    broker.match(claim)
    broker.execute(claim.id)

    keeper.run_once()

    assert desk.state(claim) == "closed"
    assert desk.charged() == 1_000


def test_a_look_up_that_fails_counts_as_no_evidence(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = launched(desk)
    broker.fails = {"lookup"}
    keeper.run_once()
    manual_clock.advance(desk.settings.quarantine_seconds * 2)
    keeper.run_once()
    assert desk.state(claim) == "launching"

    broker.fails = set()
    keeper.run_once()  # the first 404: the quarantine begins here
    assert desk.state(claim) == "launching"
    manual_clock.advance(desk.settings.quarantine_seconds)
    keeper.run_once()
    assert desk.state(claim) == "gone"


def test_a_delete_is_repeated_with_pauses_until_the_order_is_over(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    desk.coordinator.evict(claim.id, "operator", by="tester")
    broker.on_cancel = "nothing"

    for _ in range(10):
        keeper.run_once()
        manual_clock.advance(1.0)

    assert len(broker.cancels) == 3
    assert desk.charged() == 1_000
    broker.on_cancel = "ends"
    manual_clock.advance(REPEAT_DELETE_SECONDS)
    keeper.run_once()
    keeper.run_once()
    assert desk.state(claim) == "gone"
    assert desk.charged() == 0


@pytest.mark.parametrize("silent", [True, False])
def test_an_open_order_whose_owner_is_silent_too_long_is_evicted_and_canceled(
    desk: Desk, keeper: Keeper, broker: AccountBroker, silent: bool
) -> None:
    claim = opened(desk, broker)
    seconds = desk.settings.orphan_seconds + (1 if silent else -5)
    desk.client.zadd(desk.keys.beats, {claim.id: desk.coordinator.now_ms() - seconds * 1000})
    broker.on_cancel = "nothing"

    keeper.run_once()

    if not silent:
        assert (desk.state(claim), broker.cancels) == ("open", [])
        return
    now = desk.now(claim)
    assert (now.state, now.cause, now.by) == (State.EVICTING, "orphan", "keeper")
    assert broker.cancels == [f"broker-{claim.id}"]
    assert desk.charged() == 1_000


def test_two_keepers_sweeping_at_once_do_no_harm(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    """The second has read the claims before the first swept them."""
    reserved = desk.reserve("AAPL", usd=1_000)
    desk.pass_deadline(reserved)
    orphan = opened(desk, broker, "MSFT")
    desk.client.zadd(desk.keys.beats, {orphan.id: 1})
    stale = desk.coordinator.claims()
    keeper.run_once()
    broker.end() if broker.live() else None

    keeper._sweeper.sweep(stale, 1)
    keeper.run_once()

    assert desk.coordinator.claim_ids() == []
    assert desk.charged() == 0


def test_without_budget_for_a_look_up_the_delete_is_repeated_all_the_same(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    manual_clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = opened(desk, broker)
    desk.coordinator.evict(claim, "operator", by="a test")
    keeper.run_once()
    manual_clock.advance(REPEAT_DELETE_SECONDS)

    def spent(client_order_id: str) -> BrokerOrder | None:
        raise BrokerBudgetSpent(f"look up order {client_order_id}", 30)

    with monkeypatch.context() as patch:
        patch.setattr(broker, "order_by_client_id", spent)
        keeper.run_once()

    assert broker.cancels == [claim.order_id]
    assert desk.state(claim) == "evicting"
    keeper.run_once()
    assert desk.charged() == 0
