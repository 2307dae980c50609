"""Ledger and broker compared: each difference is mended by rule, and by evidence."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.evidence import BrokerOrder, CancelResult
from stealer.keeper.keeper import Keeper
from stealer.keeper.reconcile import LOOKUPS_A_PASS
from stealer.model import Claim, State
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker, held, launched, opened

STRAY = "mx_paper_18d00000000000001abc123_nn_p1.00_maxdiff"


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


def closes(desk: Desk) -> list[dict[str, str]]:
    return [f for _, f in desk.client.xrange(desk.keys.audit) if f["what"] == "close"]


def test_an_order_that_was_canceled_without_an_eviction_is_closed_with_an_audit_entry(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    broker.end()

    keeper.run_once()

    (entry,) = closes(desk)
    assert (entry["claim"], entry["who"]) == (claim.id, "keeper")
    assert "canceled without an eviction" in entry["why"]


def test_an_order_that_ends_by_itself_needs_no_audit_entry(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    order = broker.end()
    broker.orders[claim.id] = replace(order, time_in_force="ioc")

    keeper.run_once()

    assert desk.state(claim) == "gone"
    assert closes(desk) == []


def test_ends_that_we_asked_for_and_fills_are_closed_without_an_audit_entry(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    evicted, filled = opened(desk, broker), opened(desk, broker, "MSFT")
    broker.execute(filled.id)
    broker.end()
    # Evicted when the list has been compared already: the claim's state as it is now decides.
    read = broker.order_by_client_id

    def evicting_first(client_order_id: str) -> BrokerOrder | None:
        if client_order_id == evicted.id:
            desk.coordinator.evict(evicted, "stopping")
        return read(client_order_id)

    broker.order_by_client_id = evicting_first  # type: ignore[method-assign]
    keeper.run_once()

    assert desk.state(evicted) == "gone"
    assert desk.state(filled) in ("closed", "gone")
    assert closes(desk) == []


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


def test_an_order_newer_than_the_list_is_not_looked_up(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    """It could not be listed, so that its absence says nothing; a look-up is a request."""
    newer: list[Claim] = []
    broker.after_orders = lambda: newer.append(opened(desk, broker))
    keeper.run_once()
    assert broker.lookups == []

    broker.after_orders = lambda: None
    broker.end()
    keeper.run_once()

    assert broker.lookups == [newer[0].id]
    assert desk.state(newer[0]) == "gone"


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
