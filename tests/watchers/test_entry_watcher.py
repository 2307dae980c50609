"""One entry watcher, step by step: waiting, fills, steals, ends, restarts, forecasts."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.watchers.bench import Bench, until_ended
from watchers.entry_watcher import ADOPT_SECONDS
from watchers.status import Phase

# ---- waiting and opening


def test_it_waits_for_its_price_and_opens_when_the_market_comes(bench: Bench) -> None:
    watcher = bench.watcher()
    bench.desk.market("AAPL", away=0.02)

    watcher.step()

    assert (watcher.status.phase, bench.broker.posts) == (Phase.WAITING_FOR_PRICE, 0)
    assert watcher.status.distance_pct == pytest.approx(0.02)
    bench.desk.market("AAPL", away=0.004)
    watcher.step()
    assert watcher.status.phase is Phase.OPEN
    assert bench.broker.only().limit_price == Decimal(100)


def test_without_a_quote_it_is_blocked_and_asks_for_one(bench: Bench) -> None:
    watcher = bench.watcher()

    watcher.step()

    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "stale_quote")
    assert "AAPL" in bench.desk.coordinator.watched_symbols()


def test_a_tolerance_of_its_own_replaces_that_of_the_tier(bench: Bench) -> None:
    bench.desk.market("AAPL", away=0.01)
    patient, eager = bench.watcher(), bench.watcher("AAPL", tolerance=0.015)

    patient.step()
    assert patient.status.phase is Phase.WAITING_FOR_PRICE
    eager.step()

    assert (eager.status.phase, eager.status.tolerance_pct) == (Phase.OPEN, 0.015)


def test_a_tolerance_of_its_own_does_not_lift_steal_only(bench: Bench) -> None:
    for rank in range(8):
        bench.desk.forecast(f"S{'ABCDEFGH'[rank]}", 100)
    bench.desk.market("AAPL", away=0.01)
    watcher = bench.watcher(tolerance=0.05)

    watcher.step()

    assert watcher.status.tier == "steal_only"
    assert (watcher.status.phase, watcher.status.tolerance_pct) == (Phase.WAITING_FOR_PRICE, 0.003)


def test_force_immediate_is_lost_on_monday_at_nine_thirty(bench: Bench) -> None:
    bench.desk.out_of_hours()
    bench.desk.market("BTC/USD", away=0.2)
    watcher = bench.watcher("BTC/USD", qty=1)
    bench.desk.coordinator.halt("not yet", "test")
    watcher.step()
    assert (watcher.status.tier, watcher.status.reason) == ("force_immediate", "halted")

    bench.desk.stock_hours()
    bench.desk.coordinator.halt("", "test")
    watcher.step()

    assert (watcher.status.tier, watcher.status.phase) == (
        "tight_tolerance",
        Phase.WAITING_FOR_PRICE,
    )
    assert watcher.status.tolerance_pct == 0.0066
    bench.desk.out_of_hours()
    watcher.step()
    assert watcher.status.phase is Phase.OPEN


# ---- fills


def test_partial_fills_count_toward_the_target(bench: Bench) -> None:
    watcher = bench.open(qty=10)
    bench.broker.fill(4)
    watcher.entries.settle(bench.broker.only().client_order_id)
    watcher.step()
    assert watcher.status.filled_qty == "4"

    bench.desk.coordinator.close(watcher.claim or "", bench.broker.end())
    bench.desk.market("AAPL")
    watcher.step()

    assert bench.broker.only().qty == 6
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.fill())
    assert watcher.step() is Phase.DONE
    assert (watcher.status.filled_qty, bench.broker.live()) == ("10", [])


def test_an_order_that_fills_while_nobody_looks_ends_the_watcher(bench: Bench) -> None:
    watcher = bench.open()
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.fill())

    assert watcher.step() is Phase.DONE
    assert bench.desk.client.hlen(bench.desk.keys.watchers) == 0


def test_a_filled_entry_is_done_at_once_and_never_waits_for_its_price_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watcher = bench.open()
    caplog.clear()
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.fill())

    watcher.step()

    (said,) = [record for record in caplog.records if record.name == "watchers.reporter"]
    assert "done (target)" in said.getMessage()
    assert "the target is filled" in said.getMessage()
    assert "filled 10 of 10" in said.getMessage()


def test_an_order_that_filled_less_than_the_target_is_said_to_be_filled(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watcher = bench.open()
    watcher.task = replace(watcher.task, intent=replace(watcher.task.intent, qty=Decimal(15)))
    caplog.clear()
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.fill())

    watcher.step()

    said = next(record for record in caplog.records if record.name == "watchers.reporter")
    assert "its order ended: filled" in said.getMessage()
    assert "filled 10 of" in said.getMessage()


# ---- stolen from


def test_it_comes_back_by_itself_after_it_was_stolen_from(bench: Bench) -> None:
    watcher = bench.open(qty=150, pnl=1.0)
    thief = bench.desk.acquire("MSFT", 5.0, usd=10_000)
    assert [v.symbol for v in thief.victims] == ["AAPL"]
    bench.broker.cancel(bench.broker.only().id)
    bench.desk.coordinator.close(watcher.claim or "", next(iter(bench.broker.orders.values())))
    bench.desk.market("AAPL")

    watcher.step()

    assert watcher.status.stolen_from == 1
    assert (watcher.status.phase, bench.broker.live()) == (Phase.WAITING_FOR_CAPACITY, [])
    assert thief.claim
    bench.desk.coordinator.abort(thief.claim)
    watcher.step()
    assert (watcher.status.phase, bench.broker.only().qty) == (Phase.OPEN, 150)


# ---- ending


def test_at_its_expiry_it_takes_its_order_back(bench: Bench) -> None:
    watcher = bench.open(expiry=0.3)

    assert until_ended(watcher) is Phase.EXPIRED
    assert (bench.broker.live(), bench.desk.charged()) == ([], 0)


def test_an_expired_ticket_does_not_begin_anew(bench: Bench) -> None:
    first = bench.open(expiry=0.2)
    bench.broker.fill(4)
    first.entries.settle(bench.broker.only().client_order_id)
    assert until_ended(first) is Phase.EXPIRED
    bench.desk.market("AAPL")

    again = bench.watcher(expiry=0.2)

    assert again.step() is Phase.EXPIRED
    assert (again.status.filled_qty, bench.broker.posts) == ("4", 1)


def test_a_stop_takes_the_order_back(bench: Bench) -> None:
    stop = False
    watcher = bench.open(should_stop=lambda: stop)
    stop = True

    assert watcher.run() is Phase.STOPPED
    assert (bench.broker.live(), bench.desk.charged()) == ([], 0)
    assert bench.desk.coordinator.standing("AAPL", "maxdiff").rank is None


def test_a_stop_soon_after_a_crash_takes_back_what_the_crashed_one_left(bench: Bench) -> None:
    crashed = bench.open()
    bench.silent(crashed, seconds=ADOPT_SECONDS - 0.2)
    restarted = bench.watcher(should_stop=lambda: True, real_time=True)

    assert restarted.run() is Phase.STOPPED
    assert (bench.broker.live(), bench.desk.charged()) == ([], 0)


def test_a_stop_leaves_the_order_of_another_task_alone(bench: Bench) -> None:
    bench.open(ticket="another")
    watcher = bench.watcher(ticket="mine", should_stop=lambda: True)

    assert watcher.run() is Phase.STOPPED
    assert len(bench.broker.live()) == 1


# ---- restarts


def test_a_restarted_watcher_adopts_its_order_and_opens_no_second_one(bench: Bench) -> None:
    crashed = bench.open()
    bench.desk.market("AAPL")
    restarted = bench.watcher()

    restarted.step()
    assert (restarted.status.reason, restarted.claim) == ("duplicate", None)
    bench.silent(crashed)
    restarted.step()

    assert restarted.claim
    assert crashed.claim
    assert restarted.claim.id == crashed.claim.id
    assert (restarted.status.phase, bench.broker.posts) == (Phase.OPEN, 1)
    crashed.step()
    assert (crashed.claim, crashed.status.phase) == (None, Phase.BLOCKED)


def test_an_answer_that_was_lost_is_looked_up_and_the_order_not_repeated(bench: Bench) -> None:
    bench.desk.market("AAPL")
    bench.broker.loses_answers = True
    watcher = bench.watcher()
    watcher.step()
    assert watcher.status.phase is Phase.OPENING

    watcher.step()
    assert watcher.status.phase is Phase.OPENING
    bench.broker.loses_answers = False
    watcher.step()
    watcher.step()

    assert (watcher.status.phase, bench.broker.posts) == (Phase.OPEN, 1)


def test_an_order_left_with_another_limit_is_taken_back_first(bench: Bench) -> None:
    crashed = bench.open()
    bench.desk.market("AAPL", limit=90)
    edited = bench.watcher(limit=90)
    bench.silent(crashed)

    edited.step()

    assert (edited.status.phase, bench.broker.only().limit_price) == (Phase.OPEN, 90)


def test_an_order_that_is_being_taken_back_already_is_followed_whatever_its_limit(
    bench: Bench,
) -> None:
    """A condemned one: the keeper cancels it, and its fills count for the task of its slot."""
    left = bench.open()
    assert left.claim
    order = bench.broker.only()
    bench.desk.client.flushall()
    bench.desk.open_shop()
    bench.desk.market("AAPL")
    assert bench.desk.coordinator.condemn(order, 0) == "condemned"
    newcomer = bench.watcher(limit=90)

    newcomer.step()

    assert (newcomer.status.phase, newcomer.status.reason) == (Phase.ENDING, "condemned")
    assert (bench.broker.posts, bench.broker.cancels) == (1, [])


def test_fills_are_remembered_as_long_as_their_task(bench: Bench) -> None:
    watcher = bench.open(expiry=30 * 86400.0)
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.fill())

    keys = bench.desk.keys
    ticket, fills = keys.of("ticket", "t-AAPL"), keys.of("fills", "t-AAPL")
    assert bench.desk.client.pttl(fills) >= bench.desk.client.pttl(ticket) - 1000
    assert bench.desk.client.pttl(ticket) > 30 * 86400 * 1000


# ---- forecasts


def test_its_forecast_is_weak_and_withdrawn_at_its_end(bench: Bench) -> None:
    bench.desk.forecast("AAPL", 7.0)
    stop = False
    watcher = bench.open(pnl=1.0, should_stop=lambda: stop)
    other = bench.open("MSFT", pnl=3.0, should_stop=lambda: stop)

    assert bench.desk.coordinator.standing("AAPL", "maxdiff").pnl == 7.0
    assert bench.desk.coordinator.standing("MSFT", "maxdiff").pnl == 3.0
    stop = True
    watcher.run()
    other.run()

    assert bench.desk.coordinator.standing("AAPL", "maxdiff").pnl == 7.0
    assert bench.desk.coordinator.standing("MSFT", "maxdiff").pnl is None
