"""One exit watcher, step by step: it follows its entry, and never sells what is not there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from stealer.exit_ids import exit_id
from stealer.model import OrderIntent
from tests.watchers.exit_bench import TICKET, ExitBench, steps
from watchers.exit_growth import FOLLOW_SECONDS
from watchers.exit_source import SILENT_SECONDS
from watchers.exit_task import Position
from watchers.status import Phase

# ---- following the entry


def test_it_waits_for_fills_and_sells_what_was_filled(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    watcher.step()
    assert (watcher.status.phase, exits.broker.orders) == (Phase.WAITING_FOR_ENTRY, {})

    exits.entry_filled(4)
    watcher.step()

    order = exits.broker.only()
    assert (order.side, order.qty, order.limit_price) == ("sell", 4, 110)
    assert order.client_order_id == exit_id("paper", TICKET, 0)
    assert (watcher.status.phase, watcher.status.kind) == (Phase.OPEN, "exit")


def test_the_fills_of_the_claim_that_is_open_count_too(exits: ExitBench) -> None:
    desk = exits.desk
    desk.market("AAPL")
    intent = OrderIntent("AAPL", "buy", 10, 100, "maxdiff", 1.0)
    claim = desk.coordinator.acquire(intent, ticket=TICKET).claim
    assert claim
    desk.coordinator.launch(claim)
    desk.coordinator.confirm(claim, desk.order(claim, filled=3))
    exits.broker.buy(3)
    watcher = exits.watcher()
    exits.clock.advance(60)

    steps(watcher, exits.clock, 3)

    assert exits.broker.only().qty == 3
    desk.coordinator.close(claim, desk.order(claim, filled=3, status="canceled"))
    steps(watcher, exits.clock, 3)
    assert (watcher.filled, exits.broker.only().qty) == (3, 3)


def test_the_order_grows_with_the_fills(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.entry_filled(3)

    steps(watcher, exits.clock, 3)

    assert exits.broker.only().qty == 7
    assert [o.status for o in exits.broker.orders.values()] == ["canceled", "new"]


def test_many_small_fills_are_not_followed_one_by_one(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    for _ in range(4):
        exits.entry_filled(1, settle=False)
        steps(watcher, exits.clock, 1, apart=FOLLOW_SECONDS / 5)
    assert exits.broker.only().qty == 4

    steps(watcher, exits.clock, 6)
    assert (exits.broker.only().qty, len(exits.broker.orders)) == (8, 2)


def test_a_growth_below_the_smallest_order_waits_for_the_entrys_end(exits: ExitBench) -> None:
    exits.broker.crypto, exits.broker.symbol = True, "BTCUSD"
    exits.entry_runs()
    watcher = exits.watcher(limit=100)
    exits.entry_filled("4")
    watcher.step()
    exits.entry_filled("0.05")  # 5 dollars; the least is 10
    steps(watcher, exits.clock, 20)
    assert exits.broker.only().qty == 4

    exits.entry_ends()
    steps(watcher, exits.clock, 50)

    assert exits.broker.only().qty == Decimal("4.05")


def test_a_position_that_lags_behind_the_fills_is_waited_for(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    watcher.step()
    exits.entry_filled(4, settle=False)
    exits.broker.held = Decimal(1)
    filled_at, lag = exits.clock.time(), exits.desk.settings.position_lag_seconds

    def positions_follow(call: str, when: str) -> None:
        if call == "positions" and exits.clock.time() - filled_at >= lag:
            exits.broker.held = Decimal(4)

    exits.broker.around = positions_follow
    watcher.step()

    assert exits.broker.only().qty == 4


def test_the_fee_of_a_crypto_buy_is_missing_from_the_position_and_not_sold(
    exits: ExitBench,
) -> None:
    broker = exits.broker
    broker.crypto, broker.symbol = True, "BTCUSD"
    exits.entry_runs()
    watcher = exits.watcher(limit=60_000)
    exits.entry_filled("0.25")
    broker.held -= Decimal("0.000625")

    for _ in range(60):
        exits.keeper_lists()
        steps(watcher, exits.clock, 1)

    assert broker.only().qty == Decimal("0.249375")
    assert len(broker.orders) == 1, "not canceled and sent again for what is not there"
    exits.entry_ends()
    broker.fill()
    exits.keeper_lists()
    assert steps(watcher, exits.clock, 60) is Phase.DONE
    assert broker.held == 0


def test_it_ends_when_the_entry_is_over_and_all_is_sold(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    broker = exits.broker
    broker.fill()
    assert steps(watcher, exits.clock, 60) is None, "the entry may fill more"

    exits.entry_ends()
    ended = steps(watcher, exits.clock, int(SILENT_SECONDS / 2) + 10)

    assert (ended, broker.live(), broker.sold()) == (Phase.DONE, [], 4)
    assert watcher.status.filled_qty == "4"


def test_with_the_entrys_target_filled_it_ends_at_once(exits: ExitBench) -> None:
    watcher = exits.watcher(entry_target=Decimal(4))
    exits.entry_filled(4)
    watcher.step()
    exits.broker.fill()

    assert steps(watcher, exits.clock, 8) is Phase.DONE


def test_it_ends_when_the_entry_ended_and_filled_nothing(exits: ExitBench) -> None:
    exits.desk.client.set(exits.desk.keys.of("ticket", TICKET), "1")

    assert steps(exits.watcher(), exits.clock, 60) is Phase.DONE
    assert exits.broker.orders == {}


def test_it_waits_for_an_entry_that_has_not_begun(exits: ExitBench) -> None:
    assert steps(exits.watcher(), exits.clock, 100) is None


def test_a_short_is_bought_back(exits: ExitBench) -> None:
    watcher = exits.watcher(limit=90, position=Position.SHORT, qty=Decimal(5), ticket="short")
    exits.broker.held, exits.broker.bought = Decimal(-5), Decimal(5)

    watcher.step()

    assert (exits.broker.only().side, exits.broker.only().qty) == ("buy", 5)


def test_a_quantity_of_an_existing_position_is_closed_once(exits: ExitBench) -> None:
    exits.broker.buy(20)
    watcher = exits.watcher(qty=Decimal(5), ticket="five")
    watcher.step()
    exits.broker.fill()

    assert steps(watcher, exits.clock, 8) is Phase.DONE
    assert exits.watcher(qty=Decimal(5), ticket="five").step() is Phase.DONE
    assert (exits.broker.sold(), exits.broker.held) == (5, 15)


# ---- never more than is there


def test_it_never_sells_what_is_not_there(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(10)
    exits.broker.held = Decimal(3)  # somebody else sold 7

    steps(watcher, exits.clock, 3)
    assert exits.broker.only().qty == 3

    exits.broker.fill()
    steps(watcher, exits.clock, 60)
    assert (exits.broker.live(), exits.broker.held) == ([], 0)


def test_a_short_position_is_not_sold_further(exits: ExitBench) -> None:
    watcher = exits.watcher()
    exits.entry_filled(10)
    exits.broker.held = Decimal(-5)

    steps(watcher, exits.clock, 30)

    assert exits.broker.orders == {}


def test_what_other_orders_are_closing_is_left_to_them(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(10)
    watcher.step()
    mine = exits.broker.only()
    exits.broker.end()
    theirs = replace(mine, id="p", client_order_id="person", qty=Decimal(8), status="new")
    exits.broker.put(theirs)

    steps(watcher, exits.clock, 30)

    assert exits.broker.only().qty == 2


def test_a_position_that_lags_behind_a_sale_is_not_sold_again(exits: ExitBench) -> None:
    """Another order sold it a moment ago: it is listed no more, and the position shows it later."""
    exits.broker.buy(10)
    watcher = exits.watcher(qty=Decimal(10))
    sold_at, lag = exits.clock.time(), exits.desk.settings.position_lag_seconds

    def positions_follow(call: str, when: str) -> None:
        if call == "positions" and exits.clock.time() - sold_at >= lag:
            exits.broker.held = Decimal(0)

    exits.broker.around = positions_follow
    steps(watcher, exits.clock, 20)

    assert "positions" in exits.broker.calls
    assert exits.broker.orders == {}


def test_a_stop_while_positions_are_waited_for_sends_nothing(exits: ExitBench) -> None:
    exits.broker.buy(10)
    stopped = False
    watcher = exits.watcher(qty=Decimal(10), should_stop=lambda: stopped)

    def stop(call: str, when: str) -> None:
        nonlocal stopped
        stopped = stopped or call == "open_orders"  # the wait that follows is cut short

    exits.broker.around = stop

    assert watcher.run() is Phase.STOPPED
    assert exits.broker.orders == {}
