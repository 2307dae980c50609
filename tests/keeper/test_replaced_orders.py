"""Orders that a person replaced: the charge stays until the successor is counted."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from stealer.keeper.keeper import Keeper
from stealer.model import Claim
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker, held, opened
from tests.support import ManualClock


def replaced(broker: AccountBroker, claim: Claim, qty: int = 20) -> str:
    """A person changes the claim's order: a new one under an id of the broker's; its client id."""
    order = broker.orders[claim.id]
    broker.put("by-hand", qty=Decimal(qty))
    broker._put(replace(order, status="replaced", replaced_by="id-by-hand"))
    return "by-hand"


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
