"""``watchers list``, ``logs`` and ``stop`` as a person calls them, over real watchers."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stealer.cli.context import App
from tests.watchers.bench import Bench
from watchers.cli import main
from watchers.entry_watcher import EntryWatcher
from watchers.status import Phase


def call(bench: Bench, *arguments: str, answer: str = "") -> Result:
    app = App(connect=lambda _: bench.desk.client, program="watchers")
    return CliRunner().invoke(main, list(arguments), obj=app, input=answer)


def listed(bench: Bench, *arguments: str) -> list[dict[str, Any]]:
    result = call(bench, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["watchers"]
    return found


def grow_silent(bench: Bench, watcher: EntryWatcher, seconds: float) -> None:
    """Let its last report be *seconds* old."""
    key, owner = bench.desk.keys.watchers, watcher.coordinator.owner
    status = json.loads(bench.desk.client.hget(key, owner))
    status["seen"] -= seconds
    bench.desk.client.hset(key, owner, json.dumps(status))


@pytest.fixture
def while_waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """What happens during each pause of `stop`, whose clock then goes on by a second."""

    def use(happening: Callable[[], object]) -> None:
        now = [0.0]

        def pause(_: float) -> None:
            now[0] += 1
            happening()

        clock = SimpleNamespace(sleep=pause, monotonic=lambda: now[0])
        monkeypatch.setattr("watchers.cli_stop.time", clock)

    return use


# ---- list


def test_list_shows_every_watcher_with_what_it_waits_for(bench: Bench) -> None:
    bench.open("AAPL", name="morning/apple")
    bench.desk.market("MSFT", away=0.02)
    bench.watcher("MSFT", name="noon/soft", pnl=2.5).step()

    result = call(bench, "list")

    assert result.exit_code == 0
    apple, soft = result.stdout.splitlines()[1:3]
    assert apple.split()[:4] == ["morning/apple", "AAPL", "buy", "open"]
    assert "0/10" in apple
    assert soft.startswith("noon/soft")
    assert "waiting for price" in soft
    assert result.stdout.splitlines()[-1] == "2 watchers: 1 open, 1 waiting for price"
    assert [w["name"] for w in listed(bench, "--phase", "open")] == ["morning/apple"]
    assert listed(bench, "--host", "elsewhere") == []


def test_list_says_which_have_grown_silent_and_for_how_long(bench: Bench) -> None:
    watcher = bench.open("AAPL")
    bench.open("MSFT")
    grow_silent(bench, watcher, 185)

    result = call(bench, "list")

    assert "silent 3m05s, crashed?" in result.stdout.splitlines()[1]
    assert "silent" not in result.stdout.splitlines()[2]
    assert result.stdout.endswith("2 watchers: 1 silent, 1 open\n")
    assert [(w["symbol"], w["silent"]) for w in listed(bench)] == [("AAPL", True), ("MSFT", False)]


def test_list_of_nobody_and_of_reports_that_cannot_be_read(bench: Bench) -> None:
    assert call(bench, "list").stdout == "No watcher reports to this account.\n"
    bench.open("AAPL")
    key = bench.desk.keys.watchers
    bench.desk.client.hset(key, "broken", "{")
    odd = {"symbol": 5, "name": "a\x1b[2J", "pid": "x", "pnl": True, "seen": 1e300, "phase": []}
    bench.desk.client.hset(key, "odd", json.dumps(odd))

    result = call(bench, "list")

    assert result.exit_code == 0
    assert "the report of broken cannot be read" in result.stderr
    assert "\x1b" not in result.stdout
    assert result.stdout.endswith("2 watchers: 1 open, 1 silent\n")


# ---- logs


def test_logs_by_name_fleet_ticket_and_symbol(bench: Bench) -> None:
    bench.open("AAPL", name="morning/apple")
    bench.open("BTC/USD", name="morning/coin", qty=0.5, ticket="my-coin")
    bench.open("MSFT", name="noon/soft")

    def names(*arguments: str) -> list[str]:
        rows = json.loads(call(bench, "logs", "--json", *arguments).stdout)["transitions"]
        return [row["watcher"].rpartition("/")[2] for row in rows]

    assert names() == ["apple", "coin", "soft"]
    assert names("-n", "2") == ["coin", "soft"]
    assert names("morning") == ["apple", "coin"]
    assert names("morning/apple") == ["apple"]
    assert names("my-coin") == names("btc/usd") == ["coin"]
    assert names("app") == []
    line = call(bench, "logs", "AAPL").stdout
    assert line.count("\n") == 1
    assert "morning/apple AAPL buy open, filled 0 of 10; starting for 0.0s" in line


def test_logs_of_nothing_say_so(bench: Bench) -> None:
    assert call(bench, "logs").stderr == "watchers: nothing is recorded yet\n"
    bench.open("AAPL")
    bench.desk.client.delete(bench.desk.keys.transitions)

    result = call(bench, "logs", "AAPL")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "watchers: nothing is recorded about AAPL yet\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_logs_of_a_name_that_nobody_has_or_had_fail(bench: Bench, form: list[str]) -> None:
    bench.open("AAPL")

    result = call(bench, "logs", "nosuch", *form)

    assert result.exit_code == 1
    assert result.stderr.startswith("watchers: no watcher is called 'nosuch', by name, ticket")
    assert json.loads(result.stdout or "null") == ({"transitions": []} if form else None)
    assert call(bench, "logs", *form).exit_code == 0


def test_logs_for_programs_say_numbers_as_numbers(bench: Bench) -> None:
    bench.open("AAPL")
    key = bench.desk.keys.transitions
    bench.desk.client.xadd(key, {"watcher": "odd", "elapsed": "nan", "pid": "x"})

    apple, odd = json.loads(call(bench, "logs", "--json").stdout)["transitions"]

    assert (apple["elapsed"], type(apple["pid"]), apple["filled"]) == (0.0, int, "0")
    assert (odd["elapsed"], odd["pid"]) == (None, None)


def test_logs_are_found_behind_many_of_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchers.listing.BATCH", 3)
    bench.open("AAPL")
    other = bench.watcher("MSFT")
    for number in range(10):
        other.reporter.enter(Phase.BLOCKED, f"{number}", "")

    rows = json.loads(call(bench, "logs", "--json", "AAPL").stdout)["transitions"]

    assert [row["symbol"] for row in rows] == ["AAPL"]
    every = json.loads(call(bench, "logs", "--json").stdout)["transitions"]
    assert [row["reason"] for row in every] == ["", *map(str, range(10))]


def test_logs_follow_shows_what_comes_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = bench.open("AAPL")
    happening = iter([("one", 1), ("two", 1)])

    def pause(_: float) -> None:
        found = next(happening, None)
        if found is None:
            raise KeyboardInterrupt
        watcher.reporter.enter(Phase.BLOCKED, found[0], "")

    monkeypatch.setattr("watchers.listing.time", SimpleNamespace(sleep=pause))

    result = call(bench, "logs", "AAPL", "--follow", "--json")

    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["reason"] for row in rows] == ["", "one", "two"]


# ---- stop


def test_stop_shows_whom_it_means_asks_and_waits_for_the_end(
    bench: Bench, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    watcher = bench.open("AAPL", name="morning/apple")
    bench.open("MSFT", name="noon/soft")

    refused = call(bench, "stop", "morning", answer="n\n")
    assert refused.exit_code == 1
    assert "morning/apple" in refused.stdout
    assert "noon/soft" not in refused.stdout
    assert "nothing was stopped" in refused.stderr
    assert not [*bench.desk.client.scan_iter("*:stop:*")]

    def run() -> None:
        bench.clock.advance(6)
        assert watcher.run() is Phase.STOPPED

    while_waiting(run)
    result = call(bench, "stop", "morning", answer="y\n")

    assert result.exit_code == 0, result.output
    assert "morning/apple: stopped - stopped by " in result.stderr
    assert result.stdout.endswith("1 of 1 watcher stopped.\n")
    assert [o.symbol for o in bench.broker.live()] == ["MSFT"]
    audit = [fields for _, fields in bench.desk.client.xrange(bench.desk.keys.audit)]
    assert (audit[0]["what"], audit[0]["why"]) == ("stop", "morning/apple")


def test_stop_names_those_that_did_not_stop_and_its_request_expires(
    bench: Bench, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    watcher = bench.open("AAPL", name="morning/apple")
    grow_silent(bench, watcher, 185)
    while_waiting(lambda: None)

    result = call(bench, "stop", "--all", "--yes", "--timeout", "5")

    assert result.exit_code == 1
    assert "morning/apple" in result.stderr
    assert "was silent for 3m05s before has not stopped within 5 s" in result.stderr
    assert "0 of 1 watcher stopped." in result.stdout
    key = bench.desk.keys.of("stop", watcher.coordinator.owner)
    assert 0 < bench.desk.client.ttl(key) <= 65
    as_json = call(bench, "stop", "AAPL", "--yes", "--json", "--timeout", "5")
    (row,) = json.loads(as_json.stdout)["watchers"]
    assert (row["stopped"], row["end"], as_json.exit_code) == (False, None, 1)


def test_stop_says_how_it_ended_when_it_was_not_by_the_stop(
    bench: Bench, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    watcher = bench.open("AAPL")
    assert watcher.claim

    def fill() -> None:
        assert watcher.claim
        bench.broker.fill()
        watcher.entries.settle(watcher.claim.id)
        assert watcher.step() is Phase.DONE

    while_waiting(fill)
    result = call(bench, "stop", "AAPL", "--yes", "--json")

    (row,) = json.loads(result.stdout)["watchers"]
    assert (row["stopped"], row["end"], result.exit_code) == (True, "done", 0)


def test_stop_sees_the_end_of_one_whose_order_turns_out_to_be_impossible(
    bench: Bench, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    """Its report stays, for people to read what is wrong; it has ended all the same."""
    watcher = bench.open("AAPL")
    words = "a price off its tick"
    while_waiting(lambda: watcher.reporter.enter(Phase.IMPOSSIBLE, "price_tick", words))

    result = call(bench, "stop", "AAPL", "--yes", "--json")

    (row,) = json.loads(result.stdout)["watchers"]
    assert (row["stopped"], row["end"], result.exit_code) == (True, "impossible", 0)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["stop"], 2, "--all"),
        (["stop", "AAPL", "--all"], 2, "--all"),
        (["stop", "TSLA"], 1, "no watcher is called 'TSLA'"),
        (["stop", "AAPL", "TSLA", "--yes"], 1, "nothing was stopped"),
        (["stop", "AAPL"], 1, "Aborted"),
        (["stop", "AAPL", "--timeout", "0"], 2, "--timeout"),
        (["list", "--phase", "asleep"], 2, "--phase"),
        (["logs", "-n", "0"], 2, "--count"),
    ],
)
def test_what_cannot_be_done_is_said(
    bench: Bench, arguments: list[str], code: int, word: str
) -> None:
    bench.open("AAPL")

    result = call(bench, *arguments)

    assert (result.exit_code, word in result.stderr) == (code, True), result.output
    assert not [*bench.desk.client.scan_iter("*:stop:*")]


def test_without_redis_each_says_so(bench: Bench) -> None:
    for command in (["list"], ["logs"], ["stop", "--all"]):
        result = CliRunner().invoke(main, [*command, "--redis-url", "redis://127.0.0.1:1/0"])
        assert result.exit_code == 3, result.output
        assert result.stderr.startswith("watchers: Redis cannot be reached")


@pytest.mark.parametrize(("command", "name"), [("logs", "transitions"), ("list", "watchers")])
def test_a_key_of_the_wrong_type_is_named(bench: Bench, command: str, name: str) -> None:
    key = getattr(bench.desk.keys, name)
    bench.desk.client.delete(key)
    bench.desk.client.set(key, "somebody's own")

    result = call(bench, command)

    assert result.exit_code in (0, 1, 3)
    assert key in result.output
