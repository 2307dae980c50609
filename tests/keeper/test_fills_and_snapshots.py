"""Every fill is counted, in a claim or in the positions, whenever the account is read."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stealer.keeper.keeper import Keeper
from stealer.signals import StopFlag
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker, opened
from tests.keeper.conftest import keeper_of
from tests.support import ManualClock


@pytest.mark.parametrize("moment", ["after_orders", "after_positions"])
@pytest.mark.parametrize("qty", [4.0, 10.0])
@pytest.mark.parametrize("told", [True, False])
def test_a_fill_during_a_snapshot_is_never_counted_zero_times(
    desk: Desk, keeper: Keeper, broker: AccountBroker, moment: str, qty: float, told: bool
) -> None:
    claim = opened(desk, broker)
    seen: list[float] = []

    def fills() -> None:
        order = broker.execute(claim.id, qty)
        if told and order.is_terminal:
            desk.coordinator.close(claim.id, order)
        elif told:
            desk.coordinator.confirm(claim, order)
        setattr(broker, moment, lambda: None)

    setattr(broker, moment, fills)
    real = keeper.coordinator.publish_account

    def publish_and_look(*arguments: object, **more: object) -> None:
        real(*arguments, **more)  # type: ignore[arg-type]
        seen.append(float(desk.charged() + desk.figure("positions_total")))

    keeper.coordinator.publish_account = publish_and_look  # type: ignore[method-assign]

    for _ in range(3):
        keeper.run_once()
        seen.append(float(desk.charged() + desk.figure("positions_total")))

    assert len(seen) == 6
    assert min(seen) >= 1_000  # the whole order, filled or resting, all the time


def test_of_a_claim_that_goes_on_filling_only_what_was_noted_first_is_absorbed(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    desk.coordinator.confirm(claim, broker.execute(claim.id, 4))
    desk.client.zadd(desk.keys.unabsorbed, {claim.id: 1})  # older than the lag

    def fills_the_rest() -> None:
        desk.coordinator.close(claim.id, broker.execute(claim.id))

    broker.after_positions = fills_the_rest
    keeper.run_once()

    assert desk.figure("positions_total") == 400
    assert desk.charged() == 600


def test_a_position_that_lags_behind_its_fill_is_not_absorbed_too_early(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    order = broker.execute(claim.id)
    desk.coordinator.close(claim.id, order)
    broker.held.clear()  # the broker shows the position a moment later

    keeper.run_once()
    assert desk.charged() == 1_000

    broker.held["AAPL"] = order.qty
    desk.client.zadd(desk.keys.unabsorbed, {claim.id: 1})  # the fill is older than the lag now
    keeper.run_once()
    assert (desk.charged(), desk.figure("positions_total")) == (0, 1_000)
    assert desk.state(claim) == "gone"


def test_positions_are_read_later_than_orders_by_the_time_they_may_lag(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    """A person's order that filled just before the listing would be in neither reading."""
    keeper = keeper_of(desk, broker, manual_clock, "keeper-a")
    between: list[float] = []
    keeper._pause = between.append
    read: list[int] = []
    broker.after_orders = lambda: read.append(len(between))

    keeper.run_once()

    assert between == [desk.settings.position_lag_seconds]
    assert read == [1], "after the orders, before the positions"


def test_a_stop_does_not_cut_the_wait_for_positions_short(
    desk: Desk, broker: AccountBroker
) -> None:
    """A keeper that is told to stop during a pass would else publish what counts a fill nowhere."""
    stop, slept = StopFlag(), list[float]()
    stop.set()
    keeper = Keeper(
        desk.coordinator, broker, lease_seconds=300, sleep=stop.wait, pause=slept.append
    )

    keeper.run_once()

    assert slept == [desk.settings.position_lag_seconds]


def test_an_order_of_several_legs_with_our_prefix_does_not_cost_the_certificate(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    """It has neither symbol nor side; its claim has, or the ledger would count as spoiled."""
    broker.put("mx_paper_legs", "", side="", qty=Decimal(0))

    keeper.run_once()

    assert desk.state("mx_paper_legs") == "evicting"
    assert desk.coordinator.recount(1) == ""
    keeper.run_once()
    assert desk.coordinator.server().certified


def test_the_lease_is_renewed_after_the_wait_for_positions(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    keeper = Keeper(
        desk.coordinator,
        broker,
        lease_seconds=3,
        sleep=lambda _: None,
        pause=manual_clock.advance,
        monotonic=manual_clock.time,
    )
    broker.after_positions = lambda: manual_clock.advance(2)  # slow, after the lag of 2 s
    desk.open("AAPL")

    assert keeper.run_once()

    assert broker.quote_calls, "the steps after the account are not left out"
