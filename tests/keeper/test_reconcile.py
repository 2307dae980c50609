"""Ledger and broker compared: each difference is mended by rule, and by evidence."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.evidence import CancelResult
from stealer.keeper.endings import VANISHED_LOOKS
from stealer.keeper.keeper import Keeper
from stealer.keeper.reconcile import LOOKUPS_A_PASS
from stealer.model import Claim, State
from stealer.signals import StopFlag
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.keeper.conftest import keeper_of
from tests.support import ManualClock

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


# ---- orders that a person replaced


def replaced(broker: AccountBroker, claim: Claim, qty: int = 20) -> str:
    """A person changes the claim's order: a new one under an id of the broker's; its client id."""
    order = broker.orders[claim.id]
    broker.put("by-hand", qty=Decimal(qty))
    broker._put(replace(order, status="replaced", replaced_by="id-by-hand"))
    return "by-hand"


def held(desk: Desk) -> float:
    """All that the ledger counts."""
    return float(desk.charged() + desk.figure("positions_total") + desk.figure("foreign_total"))


def test_a_replaced_order_keeps_its_charge_until_its_successor_is_counted(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    keeper.run_once()
    new = replaced(broker, claim)
    broker.fails = {"positions"}  # no account can be published
    for _ in range(3):
        manual_clock.advance(60)
        keeper.run_once()
    assert (desk.state(claim), held(desk)) == ("open", 1_000)

    broker.fails = set()
    seen = []
    for _ in range(3):
        manual_clock.advance(2)
        keeper.run_once()
        seen.append(held(desk))
    assert min(seen) >= 2_000
    assert desk.state(claim) == "gone"
    assert (desk.charged(), desk.figure("foreign_total")) == (0, 2_000)
    assert broker.cancels == []
    assert broker.orders[new].status == "new"  # a person's order is never touched
    (audit,) = [f for _, f in desk.client.xrange(desk.keys.audit)]
    assert (audit["what"], audit["claim"]) == ("close", claim.id)
    assert "replaced by hand by order id-by-hand" in audit["why"]


def test_a_chain_of_replacements_is_followed_to_its_end(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    broker.put("third")
    broker.put("second", status="replaced", replaced_by="id-third")
    broker._put(replace(broker.orders[claim.id], status="replaced", replaced_by="id-second"))

    for _ in range(3):
        keeper.run_once()
        manual_clock.advance(2)

    assert desk.state(claim) == "gone"
    assert desk.figure("foreign_total") == 1_000


def test_a_successor_that_filled_at_once_is_in_the_positions_before_the_claim_is_gone(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    new = replaced(broker, claim)
    broker.execute(new)
    shown = broker.held.pop("AAPL")  # the broker shows the position a moment later

    keeper.run_once()
    assert (desk.state(claim), held(desk)) == ("open", 1_000)
    broker.held["AAPL"] = shown
    manual_clock.advance(2)
    keeper.run_once()

    assert desk.state(claim) == "gone"
    assert held(desk) == 2_000


def test_a_successor_that_fills_after_the_last_account_is_counted_before_the_claim_is_gone(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    new = replaced(broker, claim)
    broker.old_list = ()  # the listing lags behind: no account counts the new order while it lives
    for _ in range(3):
        keeper.run_once()
        manual_clock.advance(60)
    broker.old_list = None
    # It fills between a reading of the account and the look-up that follows.
    broker.after_positions = lambda: broker.execute(new)
    manual_clock.advance(60)
    broker.old_list = ()
    keeper.run_once()
    broker.old_list, broker.after_positions = None, lambda: None
    assert broker.orders[new].status == "filled"
    assert held(desk) >= 1_000

    manual_clock.advance(60)
    keeper.run_once()
    assert (desk.state(claim), held(desk)) == ("gone", 2_000)


def test_a_second_successor_is_not_taken_for_the_first_that_was_counted(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    """Made small by hand and large again: what was counted of the small one does not cover it."""
    claim = opened(desk, broker)
    keeper.run_once()
    broker.put("small", qty=Decimal(1))
    broker._put(replace(broker.orders[claim.id], status="replaced", replaced_by="id-small"))
    keeper.run_once()  # the replacement is seen; the account is too young to free anything
    assert held(desk) >= 1_000

    def replaced_again() -> None:
        broker.put("large", status="filled", filled_qty=Decimal(10))
        broker._put(replace(broker.orders["small"], status="replaced", replaced_by="id-large"))

    broker.after_positions = replaced_again
    manual_clock.advance(60)
    keeper.run_once()
    broker.after_positions = lambda: None
    assert held(desk) >= 1_000

    broker.held["AAPL"] = Decimal(10)
    manual_clock.advance(60)
    keeper.run_once()
    assert (desk.state(claim), held(desk)) == ("gone", 1_000)


def test_a_successor_that_no_published_account_lists_frees_nothing_yet(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    replaced(broker, claim)
    broker.old_list = ()  # the listing lags behind
    for _ in range(3):
        keeper.run_once()
        manual_clock.advance(60)
    assert (desk.state(claim), held(desk)) == ("open", 1_000)

    broker.old_list = None
    keeper.run_once()
    assert (desk.state(claim), held(desk)) == ("gone", 2_000)


def test_a_successor_that_filled_after_the_last_account_was_read_is_not_counted_zero_times(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    """The list lagged, so no account counted the successor live; then it filled."""
    claim = opened(desk, broker)
    new = replaced(broker, claim)
    broker.old_list = ()
    keeper.run_once()
    manual_clock.advance(60)
    shown = []

    def fill() -> None:
        broker.execute(new)
        shown.append(broker.held.pop("AAPL"))
        broker.after_positions = lambda: None

    broker.after_positions = fill
    keeper.run_once()
    assert (desk.state(claim), held(desk)) == ("open", 1_000)

    broker.held["AAPL"] = shown[0]
    manual_clock.advance(2)
    keeper.run_once()

    assert (desk.state(claim), held(desk)) == ("gone", 2_000)


def test_a_successor_nobody_knows_frees_nothing(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker)
    broker._put(replace(broker.only(), status="replaced", replaced_by="another"))

    for _ in range(5):
        keeper.run_once()
        manual_clock.advance(60)

    assert (desk.state(claim), desk.charged()) == ("open", 1_000)


# ---- orders the broker has forgotten


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


# ---- orders that are other than their claims say


@pytest.mark.parametrize(("qty", "limit", "charge"), [(30, 100, 3_000), (5, 100, 1_000)])
def test_a_claim_says_what_its_order_says_and_is_charged_for_the_larger(
    desk: Desk, keeper: Keeper, broker: AccountBroker, qty: int, limit: int, charge: int
) -> None:
    claim = opened(desk, broker)
    broker._put(replace(broker.only(), qty=Decimal(qty), limit_price=Decimal(limit)))
    counted: list[Decimal] = []
    real = keeper.coordinator.publish_account

    def publish(*arguments: object, **more: object) -> None:
        counted.append(desk.charged())
        real(*arguments, **more)  # type: ignore[arg-type]

    keeper.coordinator.publish_account = publish  # type: ignore[method-assign]
    keeper.run_once()
    keeper.run_once()

    after = desk.now(claim)
    assert (after.qty, after.limit_price, after.state) == (qty, limit, State.OPEN)
    assert counted == [charge, charge]  # before anything can be granted by that account
    mends = [f["why"] for _, f in desk.client.xrange(desk.keys.audit) if f["what"] == "mend"]
    assert mends == [f"the order is {qty} at {limit}, the claim said 10 at 100"]
    broker.execute(claim.id)
    keeper.run_once()
    assert held(desk) >= qty * limit


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
