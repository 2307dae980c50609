"""A watcher whose ledger was lost: it takes its order up again, and knows what its task filled."""

from __future__ import annotations

from tests.coordination.desk import Desk
from tests.watchers.bench import Bench
from watchers.entry_watcher import EntryWatcher
from watchers.status import Phase


def lose_memory(desk: Desk, bench: Bench) -> None:
    """A flush, and a certification that rebuilds from what the broker has."""
    desk.client.flushall()
    rows = [desk.coordinator.listed(order) for order in bench.broker.live()]
    desk.coordinator.certify(orders=rows)
    desk.stock_hours()
    desk.account(10_000)
    desk.market("AAPL", away=0.02)


def filled(bench: Bench, watcher: EntryWatcher, qty: float) -> None:
    """The watcher's order is canceled by somebody after *qty* of it filled."""
    bench.broker.fill(qty)
    bench.broker.end()
    assert watcher.claim
    watcher.entries.settle(watcher.claim.id)
    watcher.step()
    assert watcher.claim is None


def test_a_running_watcher_takes_up_its_rebuilt_order_at_once(bench: Bench) -> None:
    watcher = bench.open()
    order = bench.broker.only()
    lose_memory(bench.desk, bench)

    for _ in range(3):
        watcher.step()

    assert (watcher.status.phase, bench.broker.only()) == (Phase.OPEN, order)
    claim = bench.desk.now(order.client_order_id)
    assert (claim.owner, claim.ticket) == (watcher.coordinator.owner, "t-AAPL")
    assert (bench.broker.posts, bench.broker.cancels) == (1, [])


def test_a_restarted_watcher_takes_it_up_after_the_silence(bench: Bench) -> None:
    bench.open()
    order = bench.broker.only()
    lose_memory(bench.desk, bench)
    watcher = bench.watcher()

    watcher.step()
    assert watcher.claim is None
    bench.desk.client.zadd(bench.desk.keys.beats, {order.client_order_id: 1})
    watcher.step()

    assert watcher.claim
    assert bench.desk.now(order.client_order_id).ticket == "t-AAPL"
    assert (bench.broker.posts, bench.broker.cancels) == (1, [])


def test_another_watcher_of_the_slot_does_not_take_it_at_once(bench: Bench) -> None:
    mine = bench.open()
    bench.desk.client.flushall()
    rows = [bench.desk.coordinator.listed(order) for order in bench.broker.live()]
    bench.desk.coordinator.certify(orders=rows)
    bench.desk.stock_hours()
    bench.desk.account(10_000)

    other = bench.watcher(ticket="another")
    other.step()
    assert other.claim is None
    mine.step()
    assert mine.claim


def test_what_a_running_watchers_task_had_filled_is_not_bought_again(bench: Bench) -> None:
    watcher = bench.open(qty=10)
    filled(bench, watcher, 4)
    bench.desk.market("AAPL")
    watcher.step()  # orders the 6 that are missing
    assert bench.broker.only().qty == 6
    lose_memory(bench.desk, bench)

    watcher.step()
    bench.broker.fill(6)
    assert watcher.claim
    watcher.entries.settle(watcher.claim.id)

    assert watcher.step() is Phase.DONE
    assert watcher.status.filled_qty == "10"
    assert bench.broker.posts == 2
    # The ledger knows it again, for a watcher that restarts from here on.
    assert bench.desk.coordinator.task("t-AAPL", 3600).filled_qty == 10


def test_what_filled_before_its_watcher_had_taken_the_order_up_counts(bench: Bench) -> None:
    watcher = bench.open(qty=10)
    order = bench.broker.only()
    lose_memory(bench.desk, bench)
    bench.broker.fill()
    watcher.entries.settle(order.client_order_id)  # by the keeper, say

    assert watcher.step() is Phase.DONE
    assert bench.broker.posts == 1


def test_the_time_of_a_task_goes_on_after_its_ledger_was_lost(bench: Bench) -> None:
    watcher = bench.watcher(expiry=3600)
    bench.desk.market("AAPL", away=0.5)
    watcher.step()
    bench.clock.advance(3_000)
    lose_memory(bench.desk, bench)
    watcher.step()
    assert 2_999 < bench.desk.coordinator.task("t-AAPL", 3600).age_seconds < 3_010

    bench.clock.advance(601)
    assert watcher.step() is Phase.EXPIRED


def test_a_fill_that_both_know_counts_once(bench: Bench) -> None:
    watcher = bench.open(qty=10)
    filled(bench, watcher, 4)
    for _ in range(3):
        watcher.step()

    assert watcher.status.filled_qty == "4"
    assert bench.desk.client.llen(bench.desk.keys.of("fills", "t-AAPL")) == 1
