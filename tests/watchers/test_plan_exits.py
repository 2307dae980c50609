"""Exits in plans and fleets: how they are read, shown, run, edited; and from the command line."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tests.watchers.test_fleet import FleetProcess, fleet, until
from tests.watchers.test_plan import entry, mistakes, read
from watchers.children import Ending
from watchers.cli import main
from watchers.exit_task import Position
from watchers.fleet import EXIT_AGAIN_SECONDS, Fleet
from watchers.member import State

__all__ = ["fleet"]

# ---- reading


def test_an_exit_is_paired_with_its_entry() -> None:
    plan = read(
        entry(name='"apple"', exit_limit_price="110.50", extended_hours="true", target_qty="3")
        + entry(name='"short"', side='"sell"', strategy='"gap"', exit_limit_price="90")
        + entry(name='"none"', strategy='"alone"')
    )

    apple, short = plan.exits
    assert (apple.name, apple.entry, apple.task.ticket) == ("apple.exit", "apple", "file/apple")
    assert (str(apple.task.limit_price), apple.task.position) == ("110.50", Position.LONG)
    assert (apple.task.entry_target, apple.task.extended_hours) == (3, True)
    assert (short.task.position, short.task.strategy) == (Position.SHORT, "gap")
    assert [p.name for p in plan.processes] == [
        *("apple", "short", "none", "apple.exit", "short.exit")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (entry(exit_limit_price="100"), "the exit of a buy at 100 must be above that"),
        (entry(exit_limit_price="99.5"), "exit_limit_price = 99.5 is not allowed"),
        (entry(side='"sell"', exit_limit_price="101"), "the exit of a sell at 100 must be below"),
        (entry(exit_limit_price="0"), "exit_limit_price = 0 is not allowed: give a number"),
        ("[defaults]\nexit_limit_price = 120\n" + entry(), "is each entry's own"),
        (
            entry(name='"a"', exit_limit_price="110") + entry(name='"a.exit"', strategy='"b"'),
            "name 'a.exit' is already",
        ),
    ],
)
def test_an_exit_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    assert any(words in sentence for sentence in mistakes(text)), mistakes(text)


def test_check_shows_exits(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(entry(exit_limit_price="110") + entry(strategy='"b"'))

    for_people = CliRunner().invoke(main, ["check", str(path)])
    for_programs = CliRunner().invoke(main, ["check", str(path), "--json"])

    assert "exit at 110" in for_people.output
    prices = [e["exit_limit_price"] for e in json.loads(for_programs.output)["entries"]]
    assert prices == ["110", None]


# ---- fleets


def with_exit(name: str, exit_limit: int) -> str:
    return FleetProcess.entry(name) + f"exit_limit_price = {exit_limit}\n"


@pytest.mark.processes
def test_an_edited_exit_price_changes_the_exit_only(fleet: FleetProcess) -> None:
    fleet.write_text(with_exit("keep", 110))
    fleet.start()
    kept = fleet.child("keep")
    fleet.child("keep.exit")

    fleet.write_text(with_exit("keep", 120))

    until(lambda: len(fleet.starts("keep.exit")) == 2, "the exit is followed")
    assert fleet.starts("keep.exit")[1].split()[2] == "120"
    assert (fleet.child("keep"), len(fleet.starts("keep"))) == (kept, 1)


@pytest.mark.processes
def test_an_exit_lives_on_when_its_entry_is_done_and_goes_with_it_from_the_plan(
    fleet: FleetProcess,
) -> None:
    fleet.write_text(with_exit("done", 110) + fleet.entry("keep"))
    fleet.start()
    leaves = fleet.child("done.exit")
    until(lambda: "done: done" in fleet.said(), "the entry is done")
    assert psutil.pid_exists(leaves)

    fleet.write("keep")

    until(lambda: not psutil.pid_exists(leaves), "the exit stops")
    assert fleet.log("done.exit")[-1] == "end"


def test_an_exit_that_ended_starts_again_while_its_entry_goes_on() -> None:
    running = Fleet(read(entry(name='"a"', exit_limit_price="110")), lambda one, line: Ending.DONE)
    apple, leaves = running.members["a"], running.members["a.exit"]
    apple.state, leaves.state = State.RUNNING, State.DONE

    running._resume_exits()
    assert leaves.state is State.WAITING
    assert leaves.start_at > time.monotonic() + EXIT_AGAIN_SECONDS / 2

    apple.state, leaves.state = State.EXPIRED, State.DONE
    running._resume_exits()
    assert leaves.state is State.DONE


def test_an_exit_that_ended_does_not_start_again_in_a_fleet_that_stops() -> None:
    """Its entry takes its order back meanwhile; nobody would stop what starts now."""
    running = Fleet(read(entry(name='"a"', exit_limit_price="110")), lambda one, line: Ending.DONE)
    apple, leaves = running.members["a"], running.members["a.exit"]
    apple.state, leaves.state = State.STOPPING, State.DONE

    running._obey(signal.SIGTERM)
    running._resume_exits()

    assert leaves.state is State.DONE


# ---- the command


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give either --entry TICKET, or --qty N with --ticket NAME"),
        (("--entry", "a", "--qty", "1"), "give either"),
        (("--entry", "a", "--ticket", "b"), "give either"),
        (("--qty", "1"), "give either"),
        (("--qty", "-1", "--ticket", "a"), "qty: '-1' must be above 0"),
        (("--entry", "a", "--limit-price", "x"), "limit-price: 'x' is not a number"),
        (("--qty", "1", "--ticket", ""), "ticket: '' must be 1 to 120 printable characters"),
        (("--entry", ""), "entry: '' must be 1 to 120 printable characters"),
        (("--entry", "a", "--expiry-minutes", "0"), "expiry-minutes: must be above 0"),
        (("--entry", "a", "--poll-seconds", "0"), "poll-seconds: must be from 0.05"),
        (("--entry", "a", "--strategy", "a b"), "strategy"),
    ],
)
def test_bad_options_are_said_in_a_sentence(options: tuple[str, ...], words: str) -> None:
    limit = () if "--limit-price" in options else ("--limit-price", "110")

    result = CliRunner().invoke(main, ["close-position", "AAPL", *limit, *options])

    assert result.exit_code == 2, result.output
    assert words in result.output
    assert "Traceback" not in result.output
