"""``watchers stop`` of an entry and its exit: whom a word means, and in which order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from click.testing import Result

from stealer.coordinator import WorkStealingCoordinator
from tests.watchers.bench import Bench
from tests.watchers.test_people_commands import call, grow_silent, while_waiting
from watchers.entry_watcher import EntryWatcher
from watchers.status import Kind, Phase, Status

__all__ = ["while_waiting"]

NAME = "morning/apple"

WhileWaiting = Callable[[Callable[[], object]], None]


class Exit:
    """What an exit of the ticket reports, and whether it is asked to stop."""

    def __init__(self, bench: Bench, ticket: str = NAME) -> None:
        self.coordinator = WorkStealingCoordinator(bench.desk.client, bench.desk.settings)
        self.status = Status(
            "AAPL", "sell", "maxdiff", "0", "110", Phase.OPEN,
            ticket=ticket, name=f"{NAME}.exit", kind=Kind.EXIT, seen=time.time(),
        )  # fmt: skip
        self.asked_by = self.report()

    def report(self) -> str:
        """Who asks it to stop."""
        return self.coordinator.report(self.status.record())

    def obeys(self) -> bool:
        """It ends if it is asked to."""
        self.asked_by = self.report()
        if self.asked_by:
            self.coordinator.forget_report()
        return bool(self.asked_by)


def entry(bench: Bench, ticket: str = NAME) -> EntryWatcher:
    return bench.open("AAPL", name=NAME, ticket=ticket)


def ends(bench: Bench, watcher: EntryWatcher) -> None:
    """The entry hears of the stop and obeys."""
    bench.clock.advance(6)
    assert watcher.run() is Phase.STOPPED


def stopped(result: Result) -> dict[str, bool]:
    return {row["name"]: row["stopped"] for row in json.loads(result.stdout)["watchers"]}


def test_the_name_of_an_entry_is_not_taken_for_the_ticket_that_its_exit_shares(
    bench: Bench, while_waiting: WhileWaiting
) -> None:
    watcher, exit_ = entry(bench), Exit(bench)
    while_waiting(lambda: ends(bench, watcher))

    result = call(bench, "stop", NAME, "--yes", "--json")

    assert (stopped(result), result.exit_code) == ({NAME: True}, 0)
    assert not exit_.report()


def test_a_symbol_means_all_its_watchers_also_when_one_without_a_plan_is_called_so(
    bench: Bench, while_waiting: WhileWaiting
) -> None:
    bench.open("AAPL")
    Exit(bench, ticket="another")
    while_waiting(lambda: None)

    result = call(bench, "stop", "AAPL", "--yes", "--json", "--timeout", "2")

    assert set(stopped(result)) == {"AAPL", f"{NAME}.exit"}


@pytest.mark.parametrize(
    "words", [["morning"], ["aapl"], ["t-1"], ["--all"], [NAME, NAME + ".exit"]]
)
def test_of_a_pair_the_exit_is_asked_only_when_its_entry_has_stopped(
    bench: Bench, while_waiting: WhileWaiting, words: list[str]
) -> None:
    watcher, exit_ = entry(bench, "t-1"), Exit(bench, "t-1")
    looks: list[str] = []

    def turn() -> None:
        looks.append(exit_.report())
        if len(looks) == 3:
            ends(bench, watcher)
        elif len(looks) > 3:
            exit_.obeys()

    while_waiting(turn)
    result = call(bench, "stop", *words, "--yes", "--json")

    assert stopped(result) == {NAME: True, f"{NAME}.exit": True}
    assert result.exit_code == 0
    assert looks[:3] == ["", "", ""]
    assert exit_.asked_by


def test_while_the_order_of_the_stopped_entry_may_fill_its_exit_is_not_asked(
    bench: Bench, while_waiting: WhileWaiting
) -> None:
    watcher, exit_ = entry(bench), Exit(bench)
    looks: list[str] = []

    def turn() -> None:
        looks.append(exit_.report())
        if len(looks) == 1:
            watcher.coordinator.forget_report()  # as of one that could not see its order's end
        if len(looks) == 5:
            ends(bench, watcher)
        exit_.obeys()

    while_waiting(turn)
    result = call(bench, "stop", "morning", "--yes", "--json")

    assert result.exit_code == 0
    assert looks[:5] == [""] * 5


def test_an_exit_whose_entry_does_not_stop_goes_on_and_that_is_said(
    bench: Bench, while_waiting: WhileWaiting
) -> None:
    entry(bench)
    exit_ = Exit(bench)
    while_waiting(lambda: None)

    result = call(bench, "stop", "morning", "--yes", "--timeout", "5")

    assert result.exit_code == 1
    assert "0 of 2 watchers stopped." in result.stdout
    words = f"{NAME}.exit was not asked to stop, since its entry may still fill: it goes on"
    assert words in result.stderr.replace("\n", " ")
    assert not exit_.report()


def test_an_exit_is_asked_at_once_when_its_entry_is_not_meant(
    bench: Bench, while_waiting: WhileWaiting
) -> None:
    entry(bench)
    exit_ = Exit(bench)
    while_waiting(exit_.obeys)

    result = call(bench, "stop", f"{NAME}.exit", "--yes", "--json")

    assert (stopped(result), result.exit_code) == ({f"{NAME}.exit": True}, 0)


def test_a_process_of_the_entry_that_crashed_before_the_present_one_holds_up_no_exit(
    bench: Bench, while_waiting: WhileWaiting
) -> None:
    crashed = bench.watcher("AAPL", name=NAME, ticket=NAME)
    crashed.step()
    grow_silent(bench, crashed, 185)
    watcher, exit_ = entry(bench), Exit(bench)

    def turn() -> None:
        if watcher.claim:
            ends(bench, watcher)
        exit_.obeys()

    while_waiting(turn)
    result = call(bench, "stop", "morning", "--yes", "--json", "--timeout", "5")

    told = [row["stopped"] for row in json.loads(result.stdout)["watchers"]]
    assert sorted(told) == [False, True, True]
    assert exit_.asked_by
