"""Orders the broker has forgotten are given up by evidence, and late."""

from __future__ import annotations

from stealer.keeper.endings import VANISHED_LOOKS
from stealer.keeper.keeper import Keeper
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker, opened
from tests.support import ManualClock


def test_an_order_that_vanished_is_given_up_after_the_quarantine_and_several_looks(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    keeper.run_once()
    broker.orders.clear()  # the paper account was reset
    for _ in range(VANISHED_LOOKS - 1):
        keeper.run_once()
    manual_clock.advance(desk.settings.quarantine_seconds - 0.1)
    keeper.run_once()
    assert (desk.state(claim), desk.charged()) == ("open", 1_000)

    manual_clock.advance(0.1)
    keeper.run_once()

    assert (desk.state(claim), desk.charged()) == ("gone", 0)
    assert desk.coordinator.heartbeat(claim).ended == "vanished"
    assert "unknown to the broker" in desk.client.xrange(desk.keys.audit)[-1][1]["why"]


def test_the_quarantine_alone_is_not_enough_and_every_sight_begins_it_anew(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    order = broker.orders.pop(claim.id)
    for _ in range(3):
        keeper.run_once()
        manual_clock.advance(desk.settings.quarantine_seconds)
    assert desk.state(claim) == "open"  # long enough, but few looks

    broker._put(order)
    keeper.run_once()
    broker.orders.clear()
    broker.fails = set()
    for _ in range(VANISHED_LOOKS):
        keeper.run_once()
    assert desk.state(claim) == "open"  # looks enough, but not long


def test_an_order_that_was_filled_in_part_and_vanished_keeps_its_fill(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    broker.execute(claim.id, 4)
    keeper.run_once()
    broker.orders.clear()
    broker.held.clear()
    for _ in range(VANISHED_LOOKS + 1):
        keeper.run_once()
        manual_clock.advance(desk.settings.quarantine_seconds)

    assert desk.coordinator.heartbeat(claim).filled_qty == 4
