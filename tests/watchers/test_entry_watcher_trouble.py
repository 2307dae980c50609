"""One entry watcher when the broker refuses, or Redis is away or has forgotten."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisGone

from stealer.broker.interface import BrokerBudgetSpent
from stealer.entry import SETTLE_SECONDS
from stealer.errors import LedgerSpoiled
from stealer.evidence import BrokerOrder
from stealer.line import Line
from stealer.model import Claim, State
from tests.coordination.desk import Desk
from tests.support import budget_spent
from tests.watchers.bench import Bench
from watchers.status import Phase


def test_a_refusing_broker_is_not_asked_again_at_every_step(bench: Bench) -> None:
    bench.desk.market("AAPL")
    bench.broker.refuses = "insufficient_buying_power"
    watcher = bench.watcher()

    for _ in range(20):
        watcher.step()
    posts = bench.broker.posts
    assert posts == 1 + len(SETTLE_SECONDS), "again, since a cancel may still be settling"
    assert (watcher.status.phase, watcher.status.reason) == (
        Phase.BLOCKED,
        "insufficient_buying_power",
    )
    bench.broker.refuses = ""
    for _ in range(30):
        bench.desk.market("AAPL")
        bench.clock.advance(1)
        watcher.step()

    assert (watcher.status.phase, bench.broker.posts) == (Phase.OPEN, posts + 1)


def test_the_pause_after_refusals_grows_and_ends_with_a_success(bench: Bench) -> None:
    bench.broker.refuses = "other"
    watcher = bench.watcher()
    for _ in range(300):
        bench.desk.market("AAPL")
        watcher.step()
        bench.clock.advance(1)

    assert 5 <= bench.broker.posts <= 12


def test_a_broker_that_is_down_blocks_it_and_it_recovers(bench: Bench) -> None:
    bench.desk.market("AAPL")
    bench.broker.is_down = True
    watcher = bench.watcher()
    watcher.step()
    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "broker")

    bench.broker.is_down = False
    bench.clock.advance(61)
    watcher.step()

    assert watcher.status.phase is Phase.OPEN


def test_an_order_the_ledger_has_forgotten_is_canceled_before_a_new_one(bench: Bench) -> None:
    watcher = bench.open()
    lost = bench.broker.only()
    bench.desk.client.flushall()
    bench.desk.open_shop(equity=10_000)
    bench.desk.market("AAPL")

    live = []
    for _ in range(4):
        watcher.step()
        live.append(len(bench.broker.live()))

    assert max(live) == 1
    assert bench.broker.orders[lost.client_order_id].status == "canceled"
    assert bench.broker.only().client_order_id != lost.client_order_id


def test_who_finds_the_account_overdrawn_leaves_it_time_before_it_asks_again(bench: Bench) -> None:
    """Figures that are short for one snapshot must not cost a second victim."""
    victims = [bench.open(symbol, pnl=1.0, qty=100) for symbol in ("MSFT", "TSLA")]
    bench.desk.market("AAPL")
    slept: list[tuple[str, float]] = []

    def until_the_next_snapshot(seconds: float) -> None:
        slept.append((watcher.status.reason, seconds))
        bench.desk.account(10_000)

    watcher = bench.watcher(
        pnl=50.0, qty=100, should_stop=lambda: watcher.status.phase is Phase.OPEN
    )
    watcher.task = replace(watcher.task, poll_seconds=3600.0)
    watcher._sleep = until_the_next_snapshot
    launch = watcher.coordinator.launch

    def short_at_the_launch(claim: Claim) -> float:
        watcher.coordinator.launch = launch  # type: ignore[method-assign]
        bench.desk.account(10_000, positions=1_000)
        return launch(claim)

    watcher.coordinator.launch = short_at_the_launch  # type: ignore[method-assign]
    opened = watcher.coordinator.confirm
    states: list[str] = []

    def seen_live(claim: Claim | str, order: BrokerOrder) -> State:
        states.extend(bench.desk.state(v.claim) for v in victims if v.claim)
        return opened(claim, order)

    watcher.coordinator.confirm = seen_live  # type: ignore[method-assign]
    watcher.run()

    assert slept == [("overdrawn", 3.0)], "not for so long that it would not report"
    assert sorted(states[-2:]) == ["gone", "open"], "not another for a moment's shortage"


class Outage:
    """Redis goes away and comes back, for the clients of one desk."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self._desk, self._patch = desk, monkeypatch
        self.until_calls = 0
        self._kept = desk.client.execute_command

    def begin(self, calls: int = 1_000_000) -> None:
        """Fail the next *calls* commands."""
        self.until_calls = calls
        self._patch.setattr(self._desk.client, "execute_command", self._fail)
        self._patch.setattr(Line, "call", lambda *call: None)  # lost: the client repeats it

    def end(self) -> None:
        self.until_calls = 0

    def _fail(self, *arguments: Any, **options: Any) -> Any:
        if self.until_calls > 0:
            self.until_calls -= 1
            raise RedisGone("the test has pulled the plug")
        return self._kept(*arguments, **options)


def test_without_redis_it_is_blocked_keeps_its_order_and_goes_on_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(bench.desk, monkeypatch)
    phases: list[Phase] = []
    stop = False

    def moved(phase: Phase, reason: str) -> None:
        nonlocal stop
        phases.append(phase)
        stop = len(phases) >= 3

    watcher = bench.open(should_stop=lambda: stop, on_move=moved)
    outage.begin(calls=7)

    assert watcher.run() is Phase.STOPPED
    assert phases[:3] == [Phase.OPEN, Phase.BLOCKED, Phase.OPEN]
    assert [r.message for r in caplog.records if "Redis cannot be reached" in r.message]
    assert bench.broker.posts == 1


def test_a_stop_without_redis_cancels_at_the_broker_and_the_ledger_learns_it_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = False
    watcher = bench.open(should_stop=lambda: stop)
    claim = watcher.claim
    outage = Outage(bench.desk, monkeypatch)
    outage.begin()
    stop = True

    assert watcher.run() is Phase.STOPPED
    assert bench.broker.live() == []
    outage.end()
    assert claim
    assert bench.desk.state(claim) == "open"
    watcher.entries.settle(claim.id)
    assert bench.desk.charged() == 0


def test_a_stop_survives_a_moment_without_redis(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = False
    watcher = bench.open(should_stop=lambda: stop)
    outage = Outage(bench.desk, monkeypatch)
    outage.begin(calls=3)
    stop = True

    assert watcher.run() is Phase.STOPPED
    outage.end()
    assert (bench.broker.live(), bench.desk.charged()) == ([], 0)


def test_a_spoiled_record_that_only_an_order_needs_silences_no_watcher(bench: Bench) -> None:
    """Silent for a minute, a watcher would lose its order to the keeper."""
    watcher = bench.open()
    bench.silent(watcher)
    desk = bench.desk
    desk.client.hset(desk.keys.placed, "AAPL", "nothing we write")

    watcher.step()

    silent_since = desk.client.zscore(desk.keys.beats, watcher.claim.id)
    assert desk.coordinator.now_ms() - silent_since < 5_000
    assert watcher.status.phase is Phase.OPEN

    waiting = bench.watcher("AAPL", side="sell", limit=102, ticket="t-other")
    with pytest.raises(LedgerSpoiled):
        waiting.step()


def test_a_look_up_refused_at_every_poll_is_logged_once_and_so_is_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.desk.market("AAPL")
    bench.broker.loses_answers = True
    watcher = bench.watcher()
    watcher.step()
    waits = iter(range(40, 0, -1))

    def refused(client_order_id: str) -> BrokerOrder | None:
        raise BrokerBudgetSpent(f"look up order {client_order_id}", next(waits))

    with monkeypatch.context() as patch:
        patch.setattr(bench.broker, "order_by_client_id", refused)
        caplog.clear()
        for _ in range(30):
            watcher.step()

    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "asking again may help in 40.0 s" in said
    watcher.step()
    assert "no answer" in caplog.records[-1].getMessage(), "another trouble is told"
    bench.broker.loses_answers = False
    caplog.clear()
    watcher.step()
    watcher.step()
    assert [r.getMessage() for r in caplog.records if r.name == "watchers.repeated"] == [
        "AAPL: looking up its order is no trouble any more"
    ]


def test_a_refusal_is_given_back_as_soon_as_a_look_up_agrees_and_then_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429: the POST is refused, and there is no budget for the look-up that must agree."""
    bench.desk.market("AAPL")
    bench.broker.refuses = "rate_limited"
    watcher = bench.watcher()

    with monkeypatch.context() as patch:
        patch.setattr(bench.broker, "order_by_client_id", budget_spent)
        for _ in range(3):
            watcher.step()
            assert watcher.status.phase is Phase.OPENING
    assert bench.desk.charged() == 1_000

    watcher.step()

    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "rate_limited")
    assert (watcher.claim, watcher.status.claim, bench.desk.charged()) == (None, "", 0)
    assert bench.broker.posts == 1
    bench.broker.refuses = ""
    bench.desk.market("AAPL")
    watcher.step()
    assert bench.broker.posts == 1, "a pause first, as after any refusal"
    bench.clock.advance(6)
    watcher.step()
    assert (watcher.status.phase, bench.broker.posts) == (Phase.OPEN, 2)


def test_a_restarted_watcher_leaves_a_refusal_nobody_looked_up_to_the_keeper(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.desk.market("AAPL")
    bench.broker.refuses = "rate_limited"
    crashed = bench.watcher()

    with monkeypatch.context() as patch:
        patch.setattr(bench.broker, "order_by_client_id", budget_spent)
        crashed.step()
    bench.silent(crashed)
    restarted = bench.watcher()

    for _ in range(3):
        restarted.step()

    assert bench.desk.charged() == 1_000
    assert bench.broker.posts == 1
