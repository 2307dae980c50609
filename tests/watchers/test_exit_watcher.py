"""One exit watcher, step by step: following fills, restarts, losses, rules, ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
import redis

from stealer.evidence import BrokerOrder
from stealer.exit_ids import exit_id
from stealer.exit_records import Progress
from stealer.model import OrderIntent
from tests.coordination.desk import Desk
from tests.support import ManualClock
from tests.watchers.exit_bench import TICKET, ExitBench, steps
from tests.watchers.exit_broker import ExitBroker
from watchers.exit_growth import FOLLOW_SECONDS
from watchers.exit_source import SILENT_SECONDS
from watchers.exit_task import Position
from watchers.status import REPORT_SECONDS, Phase


@pytest.fixture
def exits(desk: Desk, manual_clock: ManualClock) -> Iterator[ExitBench]:
    bench = ExitBench(desk, ExitBroker(), manual_clock)
    yield bench
    assert bench.broker.wrongs == []


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


# ---- what goes wrong


def test_when_redis_forgets_the_order_stays_and_is_sent_anew_in_full(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.desk.client.flushall()
    exits.desk.open_shop()

    steps(watcher, exits.clock, 30)
    restarted = exits.watcher()
    steps(restarted, exits.clock, 30)
    assert [o.qty for o in exits.broker.exits()] == [4]
    assert len(exits.broker.orders) == 1

    exits.broker.fill(1)
    exits.broker.end("expired")
    steps(restarted, exits.clock, 30)
    assert exits.broker.only().qty == 3


def test_fills_from_before_and_after_a_loss_of_memory_are_both_covered(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4, claim="mx_1")
    watcher.step()
    exits.desk.client.flushall()
    exits.desk.open_shop()
    exits.entry_runs()
    exits.entry_filled(3, claim="mx_2")

    steps(watcher, exits.clock, 20)

    assert exits.broker.only().qty == 7


def test_without_redis_its_order_stays(exits: ExitBench, monkeypatch: pytest.MonkeyPatch) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    slept: list[float] = []
    watcher = exits.watcher(should_stop=lambda: len(slept) > 5)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        exits.clock.advance(seconds)
        if len(slept) == 2:
            away = redis.exceptions.ConnectionError("away")
            monkeypatch.setattr(watcher.coordinator.client, "hget", _raising(away))
            monkeypatch.setattr(watcher.coordinator.client, "lrange", _raising(away))
        if len(slept) == 4:
            assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "redis")

    watcher._sleep = sleep

    assert watcher.run() is Phase.STOPPED
    assert exits.broker.only().qty == 4


def _raising(error: Exception) -> object:
    def call(*arguments: object, **named: object) -> object:
        raise error

    return call


def test_without_the_broker_it_waits_longer_each_time(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    watcher.step()
    exits.entry_filled(4)
    exits.broker.is_down = True
    tries: list[float] = []
    offer = watcher._look

    def counted(chain: object) -> None:
        tries.append(exits.clock.time())
        offer(chain)  # type: ignore[arg-type]

    watcher._look = counted  # type: ignore[method-assign]
    steps(watcher, exits.clock, 100)

    apart = [round(b - a) for a, b in pairwise(tries)]
    assert apart == sorted(apart)
    assert (apart[0], apart[-1]) == (6, 60)
    exits.broker.is_down = False
    steps(watcher, exits.clock, 40)
    assert exits.broker.only().qty == 4


def test_a_refused_order_is_tried_again_later(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    exits.broker.refuses = "held_quantity"
    watcher.step()
    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "held_quantity")
    posts = exits.broker.calls.count("submit")
    watcher.step()
    assert exits.broker.calls.count("submit") == posts
    exits.broker.refuses = ""

    steps(watcher, exits.clock, 5)

    assert exits.broker.only().qty == 4


def test_a_day_order_that_expires_is_sent_anew_next_session(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.broker.fill(1)
    exits.desk.out_of_hours()
    exits.broker.end("expired")
    steps(watcher, exits.clock, 30)
    assert (watcher.status.reason, exits.broker.live()) == ("market_closed", [])

    exits.desk.stock_hours()
    steps(watcher, exits.clock, 30)

    assert exits.broker.only().qty == 3


def test_while_the_market_is_closed_the_broker_is_asked_nothing(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.desk.out_of_hours()
    exits.entry_filled(4)
    watcher.step()
    exits.broker.calls.clear()

    steps(watcher, exits.clock, 100)

    assert watcher.status.reason == "market_closed"
    assert [call for call in exits.broker.calls if call != "asset"] == []


def test_a_cancel_that_does_not_end_is_repeated_less_and_less(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher().step()
    exits.broker.cancels_end = False
    watcher = exits.watcher(limit=120)

    steps(watcher, exits.clock, 300, apart=0.5)

    assert watcher.status.phase is Phase.ENDING
    assert exits.broker.calls.count("cancel") <= 9
    assert exits.broker.calls.count("look_up") <= 30


def test_a_broker_that_is_away_at_the_start_is_left_alone(exits: ExitBench) -> None:
    exits.broker.is_down = True
    watcher = exits.watcher()
    walks: list[float] = []
    look = watcher._look
    watcher._look = lambda chain: (walks.append(0), look(chain))[1]  # type: ignore[func-returns-value,method-assign]

    steps(watcher, exits.clock, 30)

    assert watcher.status.reason == "broker"
    assert 2 <= len(walks) <= 5


def test_an_order_that_somebody_cancels_comes_back_later_each_time(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    waits = []
    for _ in range(3):
        exits.broker.end("canceled")
        exits.keeper_lists()
        began, number = exits.clock.time(), len(exits.broker.orders)
        while len(exits.broker.orders) == number:
            steps(watcher, exits.clock, 1, apart=1)
        waits.append(exits.clock.time() - began)

    assert waits == sorted(waits)
    assert waits[2] >= 20


def test_a_replaced_order_ends_the_exit(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    exits.broker.end("replaced")
    exits.keeper_lists()

    ended = steps(watcher, exits.clock, 10)

    assert (ended, watcher.status.reason) == (Phase.STOPPED, "replaced")
    assert exits.broker.live() == []


# ---- rules


def test_a_price_off_its_tick_is_refused_before_anything_is_filled(exits: ExitBench) -> None:
    watcher = exits.watcher(limit=110.001)

    assert watcher.step() is Phase.IMPOSSIBLE
    assert "not a multiple of 0.01" in watcher.status.detail


def test_a_buy_of_the_account_that_it_could_trade_with_is_waited_for(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)
    watcher.step()
    buy = replace(
        exits.broker.end(), id="b", client_order_id="person", side="buy", status="new",
        limit_price=Decimal(115),
    )  # fmt: skip
    exits.broker.put(buy)

    steps(watcher, exits.clock, 30)

    assert watcher.status.reason == "wash_trade"
    assert exits.broker.exits() == []


def test_a_fraction_of_a_share_is_sold(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled("1.5")

    watcher.step()

    assert exits.broker.only().qty == Decimal("1.5")


def test_a_gtc_order_has_whole_shares_only(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher(time_in_force="gtc")
    exits.entry_filled("1.5")

    watcher.step()

    assert exits.broker.only().qty == 1


def test_the_kill_switch_does_not_stop_an_exit(exits: ExitBench) -> None:
    exits.desk.coordinator.halt("everything is strange", "test")
    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)

    watcher.step()

    assert exits.broker.only().qty == 4


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


# ---- stopping


def test_a_stop_leaves_the_order_and_a_restart_adopts_it(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    turns: list[int] = []
    watcher = exits.watcher(should_stop=lambda: turns.append(1) or len(turns) > 2)  # type: ignore[func-returns-value]

    assert watcher.run() is Phase.STOPPED
    assert "adopted under the same ticket" in watcher.status.detail
    assert exits.broker.only().qty == 4
    assert exits.desk.client.hlen(exits.desk.keys.watchers) == 1  # the entry's


def test_it_takes_its_order_back_when_that_is_asked_for(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher().step()

    watcher = exits.watcher(cancel_on_stop=True, should_stop=lambda: True)

    assert watcher.run() is Phase.STOPPED
    assert exits.broker.live() == []


def test_at_its_expiry_the_order_is_taken_back(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher(expiry_seconds=3600.0).step()
    key = exits.desk.keys.of("exit", TICKET)
    progress = exits.watcher().records.progress(TICKET)
    assert progress.began_ms
    exits.watcher().records.keep_progress(
        TICKET, replace(progress, began_ms=progress.began_ms - 3_700_000)
    )
    assert exits.desk.client.exists(key)

    assert steps(exits.watcher(expiry_seconds=3600.0), exits.clock, 5) is Phase.EXPIRED
    assert exits.broker.live() == []


def test_at_its_expiry_an_order_that_arrives_late_is_taken_back(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.broker.delays_posts = True
    watcher = exits.watcher(expiry_seconds=3600.0)
    watcher.step()
    assert watcher.status.phase is Phase.OPENING
    watcher._began_ms -= 3_700_000

    assert steps(watcher, exits.clock, 5) is None  # its time is over, but the order may be coming
    exits.broker.deliver_late()

    assert steps(watcher, exits.clock, 10) is Phase.EXPIRED
    assert exits.broker.live() == []


def test_at_its_expiry_an_order_that_never_arrives_is_waited_for_a_while(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.broker.delays_posts = True
    watcher = exits.watcher(expiry_seconds=3600.0)
    watcher.step()
    watcher._began_ms -= 3_700_000

    assert steps(watcher, exits.clock, 40) is Phase.EXPIRED
    assert exits.broker.calls.count("submit") == 1


@pytest.mark.parametrize(
    ("takes_back", "words"),
    [(False, "may have an order at the broker"), (True, "may still be at the broker")],
)
def test_a_stop_says_that_an_unanswered_order_may_be_there(
    exits: ExitBench, takes_back: bool, words: str
) -> None:
    stopping: list[int] = []
    exits.entry_runs()
    exits.entry_filled(4)
    exits.broker.delays_posts = True

    watcher = exits.watcher(cancel_on_stop=takes_back, should_stop=lambda: bool(stopping))
    watcher.step()
    assert watcher.status.phase is Phase.OPENING
    stopping.append(1)

    assert watcher.run() is Phase.STOPPED
    assert words in watcher.status.detail


def test_a_stop_tells_of_fills_that_no_order_closes(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    stopping: list[int] = []
    watcher = exits.watcher(should_stop=lambda: bool(stopping))
    watcher.step()
    exits.entry_filled(3, claim="mx_2", settle=False)
    watcher.step()
    stopping.append(1)

    assert watcher.run() is Phase.STOPPED
    assert exits.broker.only().qty == 4
    assert "3 filled units have no order" in watcher.status.detail


def test_between_looks_that_are_far_apart_it_reports_and_hears_of_a_stop(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    watcher = exits.watcher(poll_seconds=3600.0)
    key = exits.desk.keys.of("stop", watcher.coordinator.owner)
    asked_at = exits.clock.time() + 60

    def ask(seconds: float) -> None:
        exits.clock.advance(seconds)
        if exits.clock.time() >= asked_at:
            exits.desk.client.set(key, "ann@desk")

    watcher._sleep = ask

    assert watcher.run() is Phase.STOPPED
    assert exits.clock.time() - asked_at <= 2 * REPORT_SECONDS


def test_a_person_who_replaced_the_order_ends_a_stop_at_once(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.watcher().step()
    exits.broker.end("replaced")
    began = exits.clock.time()

    watcher = exits.watcher(cancel_on_stop=True, should_stop=lambda: True)

    assert watcher.run() is Phase.STOPPED
    assert "the new one is theirs" in watcher.status.detail
    assert exits.clock.time() == began


def test_a_dry_run_says_what_it_would_do(exits: ExitBench) -> None:
    exits.desk.coordinator.settings = exits.desk.settings
    exits.entry_runs()
    watcher = exits.watcher()
    watcher._dry_run = True
    exits.entry_filled(4)

    watcher.step()

    assert (watcher.status.reason, watcher.status.detail) == ("dry_run", "would sell 4 at 110")
    assert exits.broker.orders == {}


def test_it_is_told_of_as_an_exit_and_stops_when_an_operator_asks(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(5)
    watcher = exits.watcher()
    steps(watcher, exits.clock, 3)
    owner, keys = watcher.coordinator.owner, exits.desk.keys
    told = [fields for _, fields in exits.desk.client.xrange(keys.transitions)]
    assert [(f["kind"], f["phase"]) for f in told if f["owner"] == owner][-1] == ("exit", "open")
    exits.desk.client.set(keys.of("stop", owner), "ann@desk")

    assert watcher.run() is Phase.STOPPED

    assert watcher.status.detail.startswith("stopped by ann@desk; its order stays")
    assert len(exits.broker.live()) == 1
