"""What a watcher tells of itself in Redis and in the log, and how it hears of a stop."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import pytest
import redis

from stealer.errors import LedgerUnavailable
from stealer.printable import JsonFormatter
from tests.watchers.bench import Bench
from watchers.entry_watcher import EntryWatcher
from watchers.status import REPORT_SECONDS, Phase


def told(bench: Bench) -> list[dict[str, str]]:
    """The stream of transitions, oldest first."""
    return [fields for _, fields in bench.desk.client.xrange(bench.desk.keys.transitions)]


def ask_to_stop(bench: Bench, watcher: EntryWatcher, who: str = "ann@desk") -> None:
    bench.desk.client.set(bench.desk.keys.of("stop", watcher.coordinator.owner), who)


def test_each_transition_is_one_entry_and_an_unchanged_phase_none(bench: Bench) -> None:
    bench.desk.market("AAPL", away=0.02)
    watcher = bench.watcher(name="morning/apple")
    watcher.step()
    bench.clock.advance(REPORT_SECONDS + 1)
    watcher.step()
    assert [row["phase"] for row in told(bench)] == ["waiting_for_price"]

    bench.clock.advance(4)
    bench.desk.market("AAPL")
    watcher.step()

    first, second = told(bench)
    assert watcher.claim
    assert second.pop("at").endswith("Z")
    assert second.pop("pid").isdigit()
    assert second.pop("host")
    assert second == {
        "watcher": "morning/apple", "kind": "entry", "symbol": "AAPL", "side": "buy",
        "strategy": "maxdiff", "ticket": "t-AAPL", "phase": "open", "reason": "",
        "was": "waiting_for_price", "elapsed": "10.000", "claim": watcher.claim.id, "filled": "0",
        "target": "10", "detail": "", "owner": watcher.coordinator.owner,
    }  # fmt: skip
    assert (first["was"], first["detail"][:7]) == ("starting", "2.000 %")


def test_a_report_with_its_transition_and_the_answer_is_one_round_trip(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = bench.open()
    trips: list[str] = []
    pipeline: Any = redis.client.Pipeline.execute
    command: Any = redis.Redis.execute_command

    def execute(self: Any, *arguments: Any, **options: Any) -> Any:
        trips.append("pipeline")
        return pipeline(self, *arguments, **options)

    def execute_command(self: Any, *arguments: Any, **options: Any) -> Any:
        trips.append(arguments[0])
        return command(self, *arguments, **options)

    monkeypatch.setattr(redis.client.Pipeline, "execute", execute)
    monkeypatch.setattr(redis.Redis, "execute_command", execute_command)

    watcher.reporter.enter(Phase.BLOCKED, "a test", "")
    watcher.reporter.enter(Phase.BLOCKED, "a test", "again")

    assert trips == ["pipeline"]


def test_transitions_during_an_outage_arrive_with_the_next_report(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = bench.open()
    report = watcher.coordinator.report

    def fail(*arguments: Any) -> str:
        raise LedgerUnavailable("no Redis")

    monkeypatch.setattr(watcher.coordinator, "report", fail)
    watcher.reporter.enter(Phase.BLOCKED, "redis", "no Redis")
    assert told(bench)[-1]["phase"] == "open"

    monkeypatch.setattr(watcher.coordinator, "report", report)
    watcher.reporter.enter(Phase.OPEN, "", "")

    assert [row["phase"] for row in told(bench)] == ["open", "blocked", "open"]
    watcher.reporter.enter(Phase.BLOCKED, "a test", "")
    assert len(told(bench)) == 4


def test_the_stream_keeps_about_so_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stealer.ledger.TRANSITIONS_KEPT", 10)
    watcher = bench.watcher()
    for number in range(400):
        watcher.reporter.enter(Phase.BLOCKED, f"reason {number}", "")

    assert 10 <= len(told(bench)) < 250
    assert told(bench)[-1]["reason"] == "reason 399"


def test_a_stop_that_was_asked_for_takes_the_order_back_and_says_who_asked(bench: Bench) -> None:
    watcher = bench.open()
    ask_to_stop(bench, watcher)
    bench.clock.advance(REPORT_SECONDS + 1)

    assert watcher.run() is Phase.STOPPED

    assert bench.broker.live() == []
    assert bench.desk.client.hlen(bench.desk.keys.watchers) == 0
    ending, stopped = told(bench)[-2:]
    assert (ending["phase"], ending["reason"]) == ("ending", "stop")
    assert (stopped["phase"], stopped["detail"]) == ("stopped", "stopped by ann@desk")
    assert stopped["claim"] == ""


def test_a_stop_for_another_process_of_the_same_task_is_not_obeyed(bench: Bench) -> None:
    watcher = bench.open()
    ask_to_stop(bench, bench.watcher())
    bench.clock.advance(REPORT_SECONDS + 1)

    assert watcher.step() is None
    assert watcher.reporter.stop_asked_by == ""


def test_once_asked_it_stops_also_when_the_request_is_gone_by_then(bench: Bench) -> None:
    watcher = bench.open()
    ask_to_stop(bench, watcher)
    watcher.reporter.enter(Phase.BLOCKED, "a test", "")
    bench.desk.client.delete(bench.desk.keys.of("stop", watcher.coordinator.owner))
    watcher.reporter.enter(Phase.OPEN, "", "")

    assert watcher.run() is Phase.STOPPED


def test_a_spoiled_request_hides_no_report_and_repeats_no_transition(bench: Bench) -> None:
    watcher = bench.open()
    bench.desk.client.lpush(bench.desk.keys.of("stop", watcher.coordinator.owner), "a list")
    before = len(told(bench))

    watcher.reporter.enter(Phase.BLOCKED, "a test", "")
    watcher.reporter.enter(Phase.OPEN, "", "")

    assert len(told(bench)) == before + 2
    assert watcher.reporter.stop_asked_by == ""


def test_what_others_wrote_cannot_steer_a_terminal_or_break_the_entry(bench: Bench) -> None:
    watcher = bench.watcher()

    watcher.reporter.enter(Phase.BLOCKED, "broker", "a\x1b[2Jb\nc\x9b")

    assert told(bench)[-1]["detail"] == "a?[2Jb?c?"
    # Half a letter, as from bytes that are no UTF-8: it could not even be sent.
    watcher.status.detail = "a\udcff"
    assert watcher.status.transition(Phase.OPEN, 0)["detail"] == "a?"


def test_a_json_line_of_a_transition(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watcher = bench.watcher(name="morning/apple")
    watcher.reporter.enter(Phase.BLOCKED, "broker", "it says\n\x9b2J")
    (record,) = [r for r in caplog.records if r.name == "watchers.reporter"]

    text = JsonFormatter({"account": "paper"}).format(record)

    assert text.isascii()
    assert "\n" not in text
    line = json.loads(text)
    assert line["time"].endswith("Z")
    assert len(line["time"]) == len("2026-01-01T00:00:00.000Z")
    wanted = {"level": "info", "account": "paper", "watcher": "morning/apple", "phase": "blocked",
              "reason": "broker", "was": "starting", "detail": "it says??2J"}  # fmt: skip
    assert wanted.items() <= line.items()
    assert (line["kind"], line["elapsed"], line["pid"]) == ("entry", 0.0, os.getpid())
    assert line["at"].endswith("Z")
    assert line["host"]
