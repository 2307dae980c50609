"""Ledger and broker compared: each difference is mended by rule, and by evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.evidence import CancelResult
from stealer.keeper.keeper import Keeper
from stealer.keeper.reconcile import LOOKUPS_A_PASS
from stealer.model import Claim, State
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker

#: An id in our own form that no claim stands behind.
STRAY = "mx_paper_18d00000000000001abc123_nn_p1.00_maxdiff"


def opened(desk: Desk, broker: AccountBroker, symbol: str = "AAPL", usd: float = 1_000) -> Claim:
    claim = desk.open(symbol, usd=usd)
    broker.match(claim)
    return claim


def launched(desk: Desk, symbol: str = "AAPL") -> Claim:
    claim = desk.reserve(symbol, usd=1_000)
    desk.coordinator.launch(claim)
    return claim


def test_what_agrees_is_left_alone_and_needs_no_look_up(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)

    keeper.run_once()

    assert broker.lookups == []
    assert desk.now(claim).state is State.OPEN
    assert desk.charged() == 1_000


def test_an_order_without_a_claim_is_charged_and_canceled_once(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    broker.put(STRAY)
    broker.on_cancel = "nothing"

    keeper.run_once()
    keeper.run_once()

    assert broker.cancels == [f"id-{STRAY}"]
    condemned = desk.now(STRAY)
    assert (condemned.state, condemned.cause, condemned.slot) == (
        State.EVICTING,
        "condemned",
        "AAPL|buy|maxdiff",
    )
    assert desk.charged() == 1_000
    assert desk.counter("condemned_total") == 1

    broker.on_cancel = "ends"
    broker.cancel(f"id-{STRAY}")
    keeper.run_once()
    assert desk.state(STRAY) == "gone"
    assert desk.charged() == 0


def test_a_condemned_order_is_charged_even_below_zero(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    desk.open("MSFT", usd=20_000)
    broker.match(desk.now(desk.coordinator.claim_ids()[0]))
    broker.put(STRAY)
    broker.on_cancel = "nothing"

    keeper.run_once()

    assert desk.free() == -1_000


@pytest.mark.parametrize("trouble", ["lookup", "cancel"])
def test_a_stray_order_is_never_uncounted_in_a_fresh_account(
    desk: Desk, keeper: Keeper, broker: AccountBroker, trouble: str
) -> None:
    """Whatever fails on the way to condemning it, no snapshot is published that overlooks it."""
    broker.put(STRAY)
    before = desk.figure("account_ms")
    if trouble == "lookup":
        broker.fails = {"lookup"}
    else:
        broker.cancel = _no_connection  # type: ignore[method-assign]

    keeper.run_once()

    counted = desk.charged() + desk.figure("foreign_total") >= 1_000
    assert counted or desk.figure("account_ms") == before


def _no_connection(order_id: str) -> CancelResult:
    raise BrokerUnavailable("no connection")


def test_a_stray_order_that_fills_while_the_account_is_read_is_not_published_around(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    broker.put(STRAY)
    before = desk.figure("account_ms")
    broker.after_positions = lambda: broker.execute(STRAY)

    keeper.run_once()
    assert desk.figure("account_ms") == before  # those positions do not show it

    broker.after_positions = lambda: None
    keeper.run_once()
    assert desk.figure("positions_total") == 1_000
    assert desk.figure("account_ms") > before


def test_somebody_elses_order_is_exposure_and_never_touched(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    broker.put("by hand")
    broker.put(STRAY.replace("paper", "other"), "MSFT")

    keeper.run_once()

    assert broker.cancels == []
    assert desk.figure("foreign_total") == 2_000
    assert desk.coordinator.claim_ids() == []


def test_a_claim_whose_order_ended_is_closed_and_its_capacity_free(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    broker.end()

    keeper.run_once()

    assert broker.lookups == [claim.id]
    assert desk.state(claim) == "gone"
    assert desk.charged() == 0


def test_a_launching_claim_whose_order_shows_is_confirmed(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = launched(desk)
    broker.match(claim)

    keeper.run_once()

    assert desk.now(claim).state is State.OPEN
    assert desk.now(claim).order_id == f"broker-{claim.id}"


def test_a_launching_claim_whose_order_does_not_show_is_left_alone(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = launched(desk)

    keeper.run_once()

    assert desk.state(claim) == "launching"
    assert desk.charged() == 1_000


def test_new_fills_in_the_list_reach_the_claim(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    broker.execute(claim.id, 4)

    keeper.run_once()

    assert desk.now(claim).filled_qty == 4


@pytest.mark.parametrize("fills", [True, False])
def test_a_list_older_than_a_close_condemns_nothing(
    desk: Desk, keeper: Keeper, broker: AccountBroker, fills: bool
) -> None:
    claim = opened(desk, broker)

    def ends_meanwhile() -> None:
        order = broker.execute(claim.id) if fills else broker.end()
        desk.coordinator.close(claim.id, order)
        broker.after_orders = lambda: None

    broker.after_orders = ends_meanwhile
    keeper.run_once()

    assert desk.counter("condemned_total") == 0
    assert broker.cancels == []
    assert desk.state(claim) == ("closed" if fills else "gone")
    assert desk.figure("account_ms") > 0


def test_a_closed_claim_whose_order_is_still_live_is_condemned(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    """Closed on false evidence; the order is still there and must be counted whole again."""
    claim = opened(desk, broker)
    broker.execute(claim.id, 4)
    desk.cancel(claim, filled=4)
    broker.on_cancel = "nothing"

    keeper.run_once()

    assert desk.state(claim) == "evicting"
    assert desk.charged() + desk.figure("positions_total") >= 1_000
    assert broker.cancels == [f"broker-{claim.id}"]


def test_look_ups_are_bounded_and_every_claim_has_its_turn(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    """Claims the broker knows nothing of must not keep the others from being looked at."""
    claims = [desk.open("AAPL", usd=10, strategy=f"s{i}") for i in range(LOOKUPS_A_PASS + 5)]
    last = claims[-1]
    broker.match(last)
    broker.end()

    keeper.run_once()
    assert len(broker.lookups) == LOOKUPS_A_PASS
    keeper.run_once()
    assert len(broker.lookups) <= 2 * LOOKUPS_A_PASS

    assert desk.state(last) == "gone"
    assert {desk.state(c) for c in claims[:-1]} == {"open"}  # a 404 frees nothing


def test_a_claim_without_any_order_is_said_once(
    desk: Desk, keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    desk.open("AAPL", usd=1_000)

    for _ in range(3):
        keeper.run_once()

    assert caplog.text.count("the broker knows no such order") == 1
    assert desk.charged() == 1_000


def test_an_order_without_our_form_behind_our_prefix_is_ours(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    broker.put("mx_paper_something else")

    keeper.run_once()

    assert broker.cancels == ["id-mx_paper_something else"]
    assert desk.counter("condemned_total") == 1


# ---- fills and snapshots


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


def test_an_order_replaced_by_hand_is_closed(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    broker._put(replace(broker.only(), status="replaced", replaced_by="another"))

    keeper.run_once()

    assert desk.state(claim) == "gone"
