"""The orders of one exit, one after the other, and who tells the watcher of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from stealer.evidence import BrokerOrder
from stealer.exit_ids import exit_id
from stealer.exit_records import Progress
from tests.watchers.exit_bench import TICKET, ExitBench, steps
from watchers.status import Phase

# ---- the chain


def test_a_restarted_watcher_adopts_its_order(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher().step()

    steps(exits.watcher(), exits.clock, 30)

    assert len(exits.broker.orders) == 1


def test_two_watchers_of_one_ticket_have_one_order(exits: ExitBench) -> None:
    exits.entry_runs()
    one, other = exits.watcher(), exits.watcher()
    exits.entry_filled(4)
    sizing = other._sizing
    offer = sizing.offer

    def late(left: Decimal, *, market_open: bool) -> object:
        """The other one sends between this one's last look and its POST."""
        found = offer(left, market_open=market_open)
        one.step()
        return found

    sizing.offer = late  # type: ignore[assignment,method-assign]
    other.step()
    sizing.offer = offer  # type: ignore[method-assign]
    for _ in range(10):
        steps(one, exits.clock, 1)
        steps(other, exits.clock, 1)

    assert len(exits.broker.orders) == 1
    assert exits.broker.calls.count("submit") == 2


def test_a_lost_answer_makes_no_second_order(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    exits.broker.delays_posts = True
    watcher.step()
    assert watcher.status.phase is Phase.OPENING
    exits.broker.delays_posts = False
    steps(watcher, exits.clock, 5)
    exits.broker.deliver_late()

    steps(watcher, exits.clock, 30)

    assert len(exits.broker.orders) == 1
    assert exits.broker.only().qty == 4


def test_a_fill_during_the_cancel_is_not_sold_again(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.broker.cancels_end = False
    exits.entry_filled(3)
    steps(watcher, exits.clock, 3)
    assert watcher.status.phase is Phase.ENDING
    exits.broker.fill(1)
    exits.broker.end("canceled")

    steps(watcher, exits.clock, 3)

    assert (exits.broker.sold(), exits.broker.only().qty) == (1, 6)


def test_the_chain_is_walked_when_nothing_is_remembered(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    for _ in range(3):
        exits.entry_filled(2)
        steps(watcher, exits.clock, 10)
        exits.broker.fill()
    steps(watcher, exits.clock, 10)
    exits.desk.client.delete(exits.desk.keys.of("exit", TICKET))

    steps(exits.watcher(), exits.clock, 10)

    assert (exits.broker.sold(), exits.broker.live()) == (6, [])
    assert exits.watcher().records.progress(TICKET).number == 3


def test_an_unreadable_record_is_as_good_as_none(exits: ExitBench) -> None:
    exits.desk.client.set(exits.desk.keys.of("exit", TICKET), '{"number": "x"')

    assert exits.watcher().records.progress(TICKET) == Progress()


def test_a_ticket_that_was_used_for_another_symbol_is_refused(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher().step()
    exits.broker.orders = {
        key: replace(order, symbol="MSFT") for key, order in exits.broker.orders.items()
    }

    watcher = exits.watcher()

    assert watcher.step() is Phase.IMPOSSIBLE
    assert "give another ticket" in watcher.status.detail


def test_units_of_another_symbol_are_no_evidence(exits: ExitBench) -> None:
    """Remembered: a ticket of MSFT whose orders are over. None of it was filled in AAPL."""
    exits.entry_runs()
    exits.broker.put(sold_out(exits, "MSFT", 100))
    key = exits.desk.keys.of("exit", TICKET)
    kept = '{"number": 1, "sold": "50", "proven": "100", "began_ms": 1, "of": "sell MSFT"}'
    exits.desk.client.set(key, kept)
    exits.entry_filled(4)
    exits.broker.held = Decimal(60)

    watcher = exits.watcher()

    assert watcher.step() is Phase.IMPOSSIBLE
    assert "give another ticket" in watcher.status.detail
    assert exits.broker.live() == []


def sold_out(exits: ExitBench, symbol: str, qty: int) -> BrokerOrder:
    """Order 0 of the ticket's chain: canceled when half of it was sold."""
    client_id = exit_id(exits.desk.settings.account, TICKET, 0)
    half = Decimal(qty) / 2
    return BrokerOrder("id-0", client_id, symbol, "sell", Decimal(qty), "canceled", half)


def test_an_edited_price_replaces_the_order(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher().step()

    steps(exits.watcher(limit=120), exits.clock, 5)

    assert (exits.broker.only().limit_price, exits.broker.only().qty) == (120, 4)


# ---- hearing


def test_what_the_keeper_tells_spares_the_broker(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.broker.calls.clear()
    exits.broker.fill(1)

    for _ in range(30):
        exits.keeper_lists()
        steps(watcher, exits.clock, 1)

    assert exits.broker.calls == []
    assert watcher.status.filled_qty == "1"


def test_without_a_keeper_it_looks_for_itself(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.broker.calls.clear()

    steps(watcher, exits.clock, 30)

    assert 5 <= exits.broker.calls.count("look_up") <= 7


def test_an_end_that_only_the_keeper_claims_is_not_believed(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    name = exits.broker.only().client_order_id
    exits.desk.coordinator.publish_exits([name, "canceled 0"], 30)

    steps(watcher, exits.clock, 5)

    assert len(exits.broker.orders) == 1
    assert (watcher.status.phase, watcher.status.claim) == (Phase.OPEN, name)
