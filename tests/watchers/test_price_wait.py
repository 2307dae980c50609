"""Watchers are woken by their price; the poll is only the floor."""

from __future__ import annotations

from typing import Any

import pytest

from stealer.broker.interface import BrokerUnavailable
from tests.watchers.bench import Bench
from watchers.entry_watcher import EntryWatcher
from watchers.price_wait import RENEW_SECONDS
from watchers.status import Phase


def woken(bench: Bench, watcher: EntryWatcher) -> bool:
    return bool(bench.desk.client.lpop(bench.desk.keys.of("wake", watcher.slot)))


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_waiting_watcher_is_woken_when_the_market_is_within_its_tolerance(
    bench: Bench, side: str
) -> None:
    watcher = bench.watcher(side=side)
    far, near = (("101.9", "102"), ("100.4", "100.5"))
    if side == "sell":
        far, near = (("98", "98.1"), ("99.5", "99.6"))
    bench.desk.coordinator.publish_quote("AAPL", *far)
    watcher.step()
    assert watcher.status.phase is Phase.WAITING_FOR_PRICE
    bench.desk.coordinator.publish_quote("AAPL", *far)
    assert not woken(bench, watcher)
    bench.desk.coordinator.publish_quote("AAPL", *near)
    assert woken(bench, watcher)


def test_without_a_quote_it_is_woken_by_the_first_one_that_is_near(bench: Bench) -> None:
    watcher = bench.watcher()
    watcher.step()
    assert watcher.status.reason == "stale_quote"
    bench.desk.market("AAPL", away=0.001)
    assert woken(bench, watcher)


def test_a_thief_that_is_not_close_enough_is_woken_when_it_may_steal(bench: Bench) -> None:
    bench.desk.open("TSLA", pnl=0.1, usd=20_000)
    watcher = bench.watcher(pnl=5.0)
    bench.desk.market("AAPL", away=0.0045)
    watcher.step()
    assert (watcher.status.phase, watcher.status.reason) == (
        Phase.WAITING_FOR_CAPACITY,
        "not_close_enough",
    )
    bench.desk.market("AAPL", away=0.0035)
    assert not woken(bench, watcher)
    bench.desk.market("AAPL", away=0.0029)
    assert woken(bench, watcher)


def test_a_price_is_registered_once_and_again_after_a_while_or_a_wake(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = bench.watcher()
    bench.desk.market("AAPL", away=0.02)
    calls: list[Any] = []
    own = watcher.coordinator.await_price

    def counted(*call: Any) -> bool:
        calls.append(call)
        return own(*call)

    monkeypatch.setattr(watcher.coordinator, "await_price", counted)
    for _ in range(3):
        watcher.step()
    assert len(calls) == 1
    bench.clock.advance(RENEW_SECONDS)
    watcher.step()
    assert len(calls) == 2
    watcher._price.woken()
    watcher.step()
    assert len(calls) == 3


def test_a_price_that_comes_between_look_and_registration_is_looked_at_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = bench.watcher()
    bench.desk.market("AAPL", away=0.02)
    waits: list[float] = []

    def wait(slot: str, seconds: float) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(watcher.coordinator, "wait", wait)
    monkeypatch.setattr(watcher.coordinator, "await_price", lambda *call: True)
    watcher.step()
    watcher._wait()
    assert waits == [], "it looks again at once"
    watcher.step()
    watcher._wait()
    assert len(waits) == 1, "but does not spin"


def test_a_wake_that_an_attempt_has_used_up_is_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt waits for its victims on the same list, and eats the wake of its price."""
    watcher = bench.watcher()
    bench.desk.market("AAPL", away=0.02)
    watcher.step()

    def attempt(*_: object, **__: object) -> None:
        assert woken(bench, watcher)
        raise BrokerUnavailable("away")

    monkeypatch.setattr(watcher.entries, "open", attempt)
    bench.desk.market("AAPL", away=0.0)
    watcher.step()
    assert watcher.status.reason == "broker"
    bench.desk.market("AAPL", away=0.02)
    bench.clock.advance(RENEW_SECONDS / 2)
    watcher.step()
    assert watcher.status.phase is Phase.WAITING_FOR_PRICE
    bench.desk.market("AAPL", away=0.0)
    assert woken(bench, watcher)


def test_who_has_ended_waits_for_no_price(bench: Bench) -> None:
    watcher = bench.watcher(expiry=60.0)
    bench.desk.market("AAPL", away=0.02)
    watcher.step()
    bench.clock.advance(3600)
    assert watcher.step() is Phase.EXPIRED
    assert bench.desk.client.zcard(bench.desk.keys.of("trigger", "AAPL", "buy")) == 0
