"""Small parts of the harness: which faults a run has, and what a fleet's log says of a watcher."""

from __future__ import annotations

import pytest

from scripts.chaos_run import times
from scripts.chaos_run.actions import KINDS, possible
from scripts.chaos_run.drills import said_last
from scripts.chaos_run.market import BASES, MOST, Wish
from stealer.settings import Settings

STARTED = "22:00:01,000 AAPL-d1 I AAPL buy open filled 0 of 3"
DONE = "22:00:05,000 I AAPL-d1: done"


def test_each_arrangement_has_its_own_way_to_lose_writes() -> None:
    single = {kind.name for kind in possible("single", frozenset())}
    sentinel = {kind.name for kind in possible("sentinel", frozenset())}
    assert single - sentinel == {"redis_loses_writes"}
    assert sentinel - single == {"failover"}
    assert len(single | sentinel) == len(KINDS)


def test_only_what_was_asked_for_is_done() -> None:
    asked = frozenset({"flush", "failover"})
    assert [kind.name for kind in possible("single", asked)] == ["flush"]


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ([STARTED, DONE], "done"),
        (
            [STARTED, DONE, "22:00:06,000 I fleet alpha: 1 done", "22:00:07,000 I MSFT-d1: x"],
            "done",
        ),
        ([STARTED], ""),
        ([DONE, STARTED], ""),
        ([STARTED, "22:00:05,000 E AAPL-d1: crashed; starts again in 1 s"], ""),
        ([STARTED, "22:00:05,000 I AAPL-d11: done"], ""),
        ([], ""),
    ],
)
def test_a_watcher_without_a_process_is_done_only_if_its_fleet_said_so_last(
    log: list[str], says: str
) -> None:
    assert said_last("\n".join(log), "AAPL-d1") == says


def test_the_scaled_times_are_settings_and_the_judge_allows_no_older_price_than_they_do() -> None:
    settings = Settings.from_env(times.ENVIRONMENT)
    assert settings.warnings == ()
    assert settings.quarantine_seconds == times.JUDGE_WINDOW
    assert settings.http_budget_seconds == pytest.approx(times.LATEST)
    assert settings.crypto_symbols == {symbol for symbol in BASES if symbol.endswith("USD")}


def test_every_watcher_has_a_slot_of_its_own() -> None:
    wishes = {Wish(symbol, f"d{k}", 0.0, 1.0).slot for symbol in BASES for k in range(5)}
    assert len(wishes) == MOST
