"""Taking an entry back, from every state it can be in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stealer.entry import Ending
from stealer.evidence import BrokerOrder
from stealer.model import Claim, State
from stealer.taking_back import REPEAT_CANCEL_SECONDS
from tests.entry.scripted import LOST, VANISHED
from tests.entry.stage import Stage
from tests.support import budget_spent


def opened(stage: Stage) -> Claim:
    result = stage.open("AAPL", 1.0, 1_000)
    assert result.ending is Ending.OPEN
    assert result.claim
    return result.claim


def unresolved(stage: Stage, answer: str) -> Claim:
    stage.broker.answers = [answer]
    stage.broker.is_blind = True
    result = stage.open("AAPL", 1.0, 1_000)
    stage.broker.is_blind = False
    assert result.ending is Ending.UNRESOLVED
    assert result.claim
    return result.claim


def test_reserved_is_aborted_without_a_word_to_the_broker(stage: Stage) -> None:
    claim = stage.desk.reserve("AAPL", usd=1_000)

    assert stage.entries.take_back(claim, "stop", 5)

    assert stage.broker.cancels == []
    stage.assert_nothing_left()


def test_launching_with_its_order_there_is_confirmed_evicted_and_canceled(stage: Stage) -> None:
    claim = unresolved(stage, LOST)

    assert stage.entries.take_back(claim, "stop", 5)

    assert stage.broker.cancels == [f"id-{claim.id}"]
    stage.assert_nothing_left()


def test_launching_without_its_order_keeps_its_charge_for_the_keeper(stage: Stage) -> None:
    claim = unresolved(stage, VANISHED)
    started = stage.clock.time()

    assert not stage.entries.take_back(claim, "stop", 5)

    assert 5 <= stage.clock.time() - started <= 7
    assert stage.desk.state(claim) == "launching"
    stage.assert_charged(1_000)


def test_open_is_evicted_with_its_cause_before_the_cancel(stage: Stage) -> None:
    claim = opened(stage)
    states: list[tuple[str, str]] = []
    real = stage.broker.cancel

    def look(order_id: str) -> object:
        now = stage.desk.now(claim)
        states.append((now.state.value, now.cause))
        return real(order_id)

    stage.broker.cancel = look  # type: ignore[method-assign,assignment]

    assert stage.entries.take_back(claim, "expiry", 5)

    assert states == [("evicting", "expiry")]
    stage.assert_nothing_left()


def test_a_cancel_that_fills_leaves_the_fill_charged(stage: Stage) -> None:
    claim = opened(stage)
    stage.broker.on_cancel = "fills"

    assert stage.entries.take_back(claim, "stop", 5)

    assert stage.desk.now(claim).state is State.CLOSED
    stage.assert_charged(1_000)


def test_a_cancel_that_does_not_end_is_repeated_and_left_to_the_keeper(stage: Stage) -> None:
    claim = opened(stage)
    stage.broker.on_cancel = "nothing"

    assert not stage.entries.take_back(claim, "stop", 10)

    assert 3 <= len(stage.broker.cancels) <= 5
    assert stage.desk.state(claim) == "evicting"
    stage.assert_charged(1_000)


def test_evicting_for_a_thief_keeps_its_heir_and_cause(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    thief = stage.desk.acquire("AAPL", 10.0, usd=10_000).claim
    assert thief

    assert stage.entries.take_back(victim, "stop", 5)

    assert stage.desk.now(thief).fund == thief.need
    assert stage.desk.state(victim) == "gone"
    stage.coordinator.abort(thief)
    stage.assert_nothing_left()


def test_closed_and_gone_are_done_already(stage: Stage) -> None:
    claim = opened(stage)
    filled = stage.broker.fill()
    stage.coordinator.close(claim.id, filled)

    assert stage.entries.take_back(claim, "stop", 5)
    stage.assert_charged(1_000)

    stage.desk.account(10_000, positions=1_000)
    assert stage.desk.state(claim) == "gone"
    assert stage.entries.take_back(claim, "stop", 5)
    assert stage.broker.cancels == []


@pytest.mark.parametrize("trouble", ["broker", "redis moved"])
def test_trouble_meanwhile_ends_within_the_bound_and_frees_nothing(
    stage: Stage, trouble: str
) -> None:
    claim = opened(stage)
    if trouble == "broker":
        stage.broker.is_down = True
    else:
        stage.desk.another_server()
    started = stage.clock.time()

    assert not stage.entries.take_back(claim, "stop", 5)

    assert stage.clock.time() - started <= 7
    stage.assert_charged(1_000)


def test_fenced_by_an_operator_it_touches_nothing(stage: Stage) -> None:
    claim = opened(stage)
    stage.coordinator.evict(claim.id, "operator", by="tester", raise_fence=True)
    stage.broker.on_cancel = "nothing"

    assert not stage.entries.take_back(claim, "stop", 3)

    assert stage.desk.now(claim).cause == "operator"
    stage.assert_charged(1_000)


def test_settle_follows_partial_fills_and_never_goes_back(stage: Stage) -> None:
    claim = opened(stage)
    older: BrokerOrder = stage.broker.fill(3)
    assert stage.entries.settle(claim.id) == older
    assert stage.desk.now(claim).filled_qty == 3

    stage.broker.fill(2)
    stage.entries.settle(claim.id)
    stage.coordinator.confirm(claim, replace(older))  # an older sighting arrives late
    assert stage.desk.now(claim).filled_qty == 5
    stage.assert_charged(1_000)


def test_without_budget_for_a_look_up_it_is_canceled_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = opened(stage)

    with monkeypatch.context() as patch:
        patch.setattr(stage.broker, "order_by_client_id", budget_spent)
        assert not stage.entries.take_back(claim, "stop", REPEAT_CANCEL_SECONDS - 1)

    assert stage.broker.cancels == [f"id-{claim.id}"], "once, not at every look"
    assert stage.desk.state(claim) == "evicting"
    stage.assert_charged(1_000)
    stage.entries.settle(claim.id)
    stage.assert_nothing_left()


def test_an_order_that_is_over_is_not_waited_for_when_the_ledger_has_lost_it(stage: Stage) -> None:
    claim = opened(stage)
    stage.broker.cancel(f"id-{claim.id}")
    real = stage.broker.order_by_client_id

    def lost_before_it_is_told(client_order_id: str) -> BrokerOrder | None:
        stage.desk.client.flushall()
        return real(client_order_id)

    stage.broker.order_by_client_id = lost_before_it_is_told  # type: ignore[method-assign]
    began = stage.clock.time()

    assert stage.entries.take_back(claim, "stop", 15)
    assert stage.clock.time() == began
