"""A stop while an entry is under way, orders a person replaced, orders that are over at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stealer.entry import Ending
from stealer.evidence import NewOrder, SubmitResult
from stealer.model import Claim, InvalidIntent, State
from tests.entry.scripted import CONFIRM, LOST
from tests.entry.stage import THIEF_USD, VICTIM_USD, Stage
from tests.watchers.bench import Bench
from watchers.status import Phase


@pytest.fixture
def bench(stage: Stage) -> Bench:
    """Makes watchers on the stage's desk and broker."""
    return Bench(stage.desk, stage.broker, stage.clock)


# ---- a stop before the POST


def test_a_stop_while_victims_are_pending_gives_up_and_leaves_them_evicting(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"
    stop = False
    started = stage.clock.time()

    def meanwhile() -> None:
        nonlocal stop
        stop = True

    stage.meanwhile = meanwhile
    stage.entries.should_stop = lambda: stop

    result = stage.steal()

    assert (result.ending, result.reason, result.claim) == (Ending.DENIED, "stopped", None)
    assert stage.claim_of("AAPL") is None
    assert stage.coordinator.claim_ids() == [victim.id]
    left = stage.desk.now(victim)
    assert (left.state, left.heir) == (State.EVICTING, "")
    assert stage.desk.client.zscore(stage.desk.keys.heirless, victim.id)
    assert stage.broker.posted == [victim.id]
    assert stage.clock.time() - started < 1, "it did not wait for its deadline"
    stage.assert_charged(VICTIM_USD)


def test_a_stop_before_the_launch_posts_nothing_and_leaves_nothing(stage: Stage) -> None:
    stage.entries.should_stop = lambda: True

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason, result.claim) == (Ending.DENIED, "stopped", None)
    assert stage.broker.posted == []
    stage.assert_nothing_left()
    stage.entries.should_stop = lambda: False
    assert stage.open("AAPL", 1.0, 1_000).ending is Ending.OPEN  # nothing keeps it from coming back


def test_a_stop_after_the_victims_ended_posts_nothing_either(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.entries.should_stop = lambda: stage.desk.state(victim) == "gone"

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "stopped")
    assert stage.broker.posted == [victim.id]
    assert stage.desk.state(victim) == "gone"
    stage.assert_nothing_left()


# ---- an order that a person replaced


def replaced(stage: Stage, claim: Claim) -> None:
    order = stage.broker.orders[claim.id]
    stage.broker.orders[claim.id] = replace(order, status="replaced")


def test_a_replaced_victim_pays_its_heir_nothing(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    thief = stage.desk.acquire("AAPL", 10.0, usd=THIEF_USD).claim
    assert thief
    funds = stage.desk.now(thief).fund
    replaced(stage, victim)

    order = stage.entries.settle(victim.id)

    assert order
    assert order.status == "replaced"
    left = stage.desk.now(victim)
    assert (left.state, left.heir) == (State.EVICTING, thief.id)
    assert stage.desk.now(thief).fund == funds < thief.need
    stage.assert_charged(20_000)


def test_a_replaced_order_keeps_its_charge_until_the_keeper_closes_it(stage: Stage) -> None:
    claim = stage.rest("MSFT")
    replaced(stage, claim)

    stage.entries.settle(claim.id)

    assert stage.desk.now(claim).state is State.OPEN
    stage.assert_charged(VICTIM_USD)


def test_a_thief_whose_victim_was_replaced_posts_nothing(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    replaced(stage, victim)

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "late")
    assert stage.broker.posted == [victim.id]
    stage.assert_charged(VICTIM_USD)


# ---- an order that is over at once


@pytest.mark.parametrize("answer", [CONFIRM, LOST])
@pytest.mark.parametrize("status", ["filled", "canceled", "expired"])
def test_an_order_that_is_over_at_once_is_closed_without_ever_being_a_candidate(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, answer: str, status: str
) -> None:
    answered, close = stage.broker._result, stage.coordinator.close
    candidates: list[int] = []

    def over_at_once(order: NewOrder, said: str) -> SubmitResult:
        result = answered(order, said)
        ended = stage.broker.fill() if status == "filled" else stage.broker.end(status)
        return replace(result, order=ended if result.order else None)

    def look_and_close(*arguments: object) -> int:
        candidates.append(len(stage.coordinator.get_steal_candidates()))
        return close(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.broker, "_result", over_at_once)
    monkeypatch.setattr(stage.coordinator, "close", look_and_close)
    stage.broker.answers = [answer]

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, candidates) == (Ending.OPEN, [0])
    assert result.order
    assert result.order.status == status
    assert stage.claim_of("AAPL") is None
    stage.assert_charged(1_000 if status == "filled" else 0)


# ---- taking back while the ledger is not to be trusted


def test_while_the_ledger_is_uncertified_the_order_is_canceled_and_the_keeper_tells_it(
    stage: Stage,
) -> None:
    claim = stage.rest("AAPL", usd=1_000)
    stage.desk.another_server()
    started = stage.clock.time()

    assert not stage.entries.take_back(claim, "stop", 5)

    assert stage.broker.cancels == [f"id-{claim.id}"]
    assert stage.broker.live() == []
    assert stage.desk.state(claim) == "open"
    assert stage.clock.time() - started <= 5
    stage.assert_charged(1_000)
    stage.coordinator.certify()
    stage.entries.settle(claim.id)
    stage.assert_nothing_left()


# ---- how a watcher ends


@pytest.mark.parametrize(
    ("symbol", "filled", "ends"),
    [
        ("AAPL", 9.995, True),
        ("AAPL", 9, False),
        ("BTCUSD", 9.95, True),
        ("BTCUSD", 9.9, False),  # ten dollars: the broker's minimum is not below itself
    ],
)
def test_a_rest_below_the_brokers_minimum_ends_a_watcher_as_done(
    bench: Bench, symbol: str, filled: float, ends: bool
) -> None:
    watcher = bench.open(symbol, qty=10)
    bench.broker.fill(filled)
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.end())
    bench.desk.market(symbol)

    ended = watcher.step()

    assert ended is (Phase.DONE if ends else None)
    assert len(bench.broker.orders) == (1 if ends else 2)
    assert watcher.status.phase is (Phase.DONE if ends else Phase.OPEN)


def test_an_order_that_a_person_replaced_ends_its_watcher_as_stopped(bench: Bench) -> None:
    watcher = bench.open()
    bench.desk.coordinator.close(watcher.claim or "", bench.broker.end("replaced"))
    bench.desk.market("AAPL")

    assert watcher.step() is Phase.STOPPED

    assert (watcher.status.phase, watcher.status.reason) == (Phase.STOPPED, "replaced")
    assert len(bench.broker.orders) == 1
    assert bench.desk.client.hlen(bench.desk.keys.watchers) == 0


def test_a_watcher_that_would_sell_crypto_short_is_refused_when_it_is_made(bench: Bench) -> None:
    with pytest.raises(InvalidIntent, match="sold short"):
        bench.watcher("BTCUSD", side="sell")
    assert bench.watcher("AAPL", side="sell").slot == "AAPL|sell|maxdiff"
