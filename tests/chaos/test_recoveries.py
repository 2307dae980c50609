"""The stopwatches: what is over is timed once, what cannot be asked yet is asked again."""

from __future__ import annotations

import pytest

from scripts.chaos_run import recoveries
from scripts.chaos_run.recoveries import Recoveries


def test_a_recovery_is_timed_when_it_is_over_and_not_before() -> None:
    watch, over = Recoveries(), False
    watch.start("it", lambda: over)
    watch.look()
    assert watch.summary()["it"] == {
        "count": 0,
        "median_s": None,
        "longest_s": None,
        "not_seen": 1,
    }
    over = True
    watch.look()
    watch.look()
    assert watch.summary()["it"]["count"] == 1
    assert watch.summary()["it"]["not_seen"] == 0


def test_one_that_cannot_be_asked_is_not_over() -> None:
    def away() -> bool:
        raise ConnectionError

    watch = Recoveries()
    watch.start("it", away)
    watch.look()
    assert watch.running("it")


def test_one_that_takes_too_long_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoveries, "GIVE_UP_SECONDS", -1.0)
    watch = Recoveries()
    watch.start("it", lambda: False)
    watch.look()
    assert not watch.running("it")
    assert watch.summary()["it"]["not_seen"] == 1
