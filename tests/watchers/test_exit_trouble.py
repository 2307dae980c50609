"""An exit watcher when Redis forgets, the broker fails or a person intervenes; its rules."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
import redis

from tests.support import unknown_asset
from tests.watchers.exit_bench import ExitBench, steps
from watchers.status import Phase

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


def test_a_symbol_that_the_broker_does_not_know_ends_the_exit(
    exits: ExitBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits.broker, "asset", unknown_asset)
    for qty in (None, 5):
        watcher = exits.watcher(qty=qty)

        assert watcher.step() is Phase.IMPOSSIBLE
        assert "is it spelled right?" in watcher.status.detail

    exits.entry_runs()
    watcher = exits.watcher()
    exits.entry_filled(4)

    assert watcher.step() is None, "what was bought is not left alone"
    assert watcher.status.phase is Phase.BLOCKED


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
