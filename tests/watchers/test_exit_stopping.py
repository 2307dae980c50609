"""How an exit watcher ends: stopped, expired, or told to by somebody."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.watchers.exit_bench import TICKET, ExitBench, steps
from watchers.exit_watcher import ExitWatcher
from watchers.status import REPORT_SECONDS, Phase

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


def asked(exits: ExitBench, watcher: ExitWatcher) -> None:
    """An operator asks it to stop."""
    exits.desk.client.set(exits.desk.keys.of("stop", watcher.coordinator.owner), "ann@desk")


def test_asked_to_stop_it_first_covers_what_its_entry_filled_last(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    watcher = exits.watcher(poll_seconds=3600.0)
    watcher.step()
    exits.entry_filled(3, claim="mx_2")
    exits.entry_ends()
    asked(exits, watcher)

    assert watcher.run() is Phase.STOPPED

    assert exits.broker.only().qty == 7
    assert "no order" not in watcher.status.detail


def test_asked_to_stop_while_its_order_is_being_canceled_it_sends_the_next(
    exits: ExitBench,
) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    exits.broker.cancels_end = False
    watcher = exits.watcher()
    watcher.step()
    exits.entry_filled(3, claim="mx_2")
    watcher.step()
    assert watcher.status.phase is Phase.ENDING
    asked(exits, watcher)
    turns = iter(range(1000))

    def sleep(seconds: float) -> None:
        exits.clock.advance(seconds)
        if next(turns) == 8:
            exits.broker.end("canceled")

    watcher._sleep = sleep

    assert watcher.run() is Phase.STOPPED
    assert exits.broker.only().qty == 7


@pytest.mark.parametrize("takes_back", [False, True])
def test_asked_to_stop_it_does_not_wait_for_what_it_cannot_cover(
    exits: ExitBench, takes_back: bool
) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    watcher = exits.watcher(cancel_on_stop=takes_back)
    watcher.step()
    exits.broker.is_down = not takes_back
    exits.entry_filled(3, claim="mx_2")
    asked(exits, watcher)
    began = exits.clock.time()

    assert watcher.run() is Phase.STOPPED

    assert exits.clock.time() - began <= watcher.task.stop_seconds + 2 * REPORT_SECONDS
    assert ("3 filled units have no order" in watcher.status.detail) is not takes_back


def test_a_stop_does_not_call_units_filled_that_were_never_there(exits: ExitBench) -> None:
    stopping: list[int] = []
    watcher = exits.watcher(qty=Decimal(3), should_stop=lambda: bool(stopping))
    watcher.step()
    stopping.append(1)

    assert watcher.run() is Phase.STOPPED
    assert watcher.status.detail == "stopped by signal; of the 3 units asked for, 3 have no order"


def test_asked_to_stop_it_does_not_wait_for_a_position_that_is_not_there(exits: ExitBench) -> None:
    watcher = exits.watcher(qty=Decimal(3))
    watcher.step()
    asked(exits, watcher)
    began = exits.clock.time()

    assert watcher.run() is Phase.STOPPED
    assert exits.clock.time() - began < 2 * REPORT_SECONDS


def test_a_stop_says_how_much_of_what_was_asked_for_no_order_closes(exits: ExitBench) -> None:
    stopping: list[int] = []
    exits.broker.buy(2)
    watcher = exits.watcher(qty=Decimal(3), should_stop=lambda: bool(stopping))
    watcher.step()
    assert exits.broker.only().qty == 2
    stopping.append(1)

    assert watcher.run() is Phase.STOPPED
    assert watcher.status.detail.endswith("; of the 3 units asked for, 1 have no order")
