"""A refused POST whose look-up could not be made: what the owner may conclude at a later one.

PROTOCOL: the owner may ``unlaunch`` when its only POST was answered 4xx and the look-up says 404.
"""

from __future__ import annotations

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.entry import Ending, Entries, EntryResult
from stealer.errors import LedgerUnavailable, WrongState
from stealer.evidence import BrokerOrder
from stealer.model import Claim
from tests.entry.scripted import CONFIRM, LOST, LYING, VANISHED
from tests.entry.stage import THIEF_USD, Stage
from tests.entry.test_outcomes import NO_POWER


def blind(stage: Stage, *answers: str) -> Claim:
    """An attempt whose POSTs are answered so, and whose look-ups fail."""
    stage.broker.answers = list(answers)
    stage.broker.is_blind = True
    result = stage.open("AAPL", 1.0, 1_000)
    assert result.ending is Ending.UNRESOLVED
    assert result.claim
    return result.claim


def still_launching(stage: Stage, claim: Claim) -> None:
    assert stage.desk.state(claim) == "launching"
    stage.assert_charged(1_000)


def test_the_first_look_up_that_finds_nothing_gives_it_back(stage: Stage) -> None:
    claim = blind(stage, "rate_limited")
    still_launching(stage, claim)
    stage.broker.is_blind = False

    result = stage.entries.look_again(claim)

    assert result == EntryResult(Ending.REFUSED, "rate_limited", "refused by the test")
    stage.assert_nothing_left()
    assert stage.open("AAPL", 1.0, 1_000).ending is Ending.OPEN


def test_after_a_steal_the_slot_then_waits_a_cooldown_as_after_any_refusal(stage: Stage) -> None:
    stage.rest("MSFT")
    stage.broker.answers = ["rate_limited"]
    stage.broker.while_connecting = lambda: setattr(stage.broker, "is_blind", True)
    claim = stage.steal().claim
    assert claim
    stage.assert_charged(THIEF_USD)
    stage.broker.is_blind = False

    result = stage.entries.look_again(claim)

    assert result is not None
    assert result.stolen_from == ("MSFT",)
    stage.assert_nothing_left()
    assert stage.steal().reason == "cooldown"


@pytest.mark.parametrize("answer", [VANISHED, LOST])
def test_an_answer_that_never_came_is_no_refusal(stage: Stage, answer: str) -> None:
    claim = blind(stage, answer)
    stage.broker.is_blind = False
    stage.broker.orders.clear()  # it may still be on its way

    for _ in range(3):
        assert stage.entries.look_again(claim) is None

    still_launching(stage, claim)


def test_an_order_that_a_look_up_has_shown_is_not_given_back_by_a_later_one(stage: Stage) -> None:
    claim = blind(stage, LYING)
    stage.broker.is_blind = False
    order = stage.broker.orders.copy()

    def away(*arguments: object) -> None:
        raise LedgerUnavailable("Redis cannot be reached")

    with pytest.MonkeyPatch.context() as patch:  # what it saw does not reach the ledger
        patch.setattr(stage.coordinator, "confirm", away)
        with pytest.raises(LedgerUnavailable):
            stage.entries.look_again(claim)
    stage.broker.orders.clear()

    assert stage.entries.look_again(claim) is None

    still_launching(stage, claim)
    stage.broker.orders.update(order)
    stage.entries.look_again(claim)
    assert stage.desk.state(claim) == "open"


@pytest.mark.parametrize("kind", ["other", NO_POWER])
def test_a_refusal_that_was_contradicted_at_once_is_not_remembered(stage: Stage, kind: str) -> None:
    """The look-up after the refusal shows the order, the next fails, later ones show nothing."""
    stage.broker.answers = [kind]
    found: list[BrokerOrder] = []

    def shows_once(client_order_id: str) -> BrokerOrder | None:
        if found:
            raise BrokerUnavailable("look-ups fail by the test's will")
        found.append(stage.desk.order(client_order_id))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.broker, "order_by_client_id", shows_once)
        result = stage.open("AAPL", 1.0, 1_000)
    assert (result.ending, len(found)) == (Ending.UNRESOLVED, 1)
    assert result.claim

    assert stage.entries.look_again(result.claim) is None

    still_launching(stage, result.claim)


def test_only_a_claim_with_a_single_post_is_given_back_later(stage: Stage) -> None:
    stage.broker.answers = [NO_POWER, "rate_limited"]

    def blind_after_the_second() -> None:
        stage.broker.is_blind = len(stage.broker.posted) == 2

    stage.broker.after_post = blind_after_the_second
    result = stage.open("AAPL", 1.0, 1_000)
    assert result.claim
    assert len(stage.broker.posted) == 2
    stage.broker.is_blind = False

    assert stage.entries.look_again(result.claim) is None

    still_launching(stage, result.claim)


def test_a_restarted_process_remembers_no_refusal(stage: Stage) -> None:
    claim = blind(stage, "rate_limited")
    stage.broker.is_blind = False
    restarted = Entries(
        stage.coordinator, stage.broker, sleep=stage.clock.advance, monotonic=stage.clock.time
    )

    assert restarted.look_again(claim) is None

    still_launching(stage, claim)


def test_a_refusal_of_another_claim_frees_nothing(stage: Stage) -> None:
    blind(stage, "rate_limited")
    stage.broker.answers = [VANISHED]
    other = stage.open("MSFT", 1.0, 1_000).claim
    assert other
    stage.broker.is_blind = False

    assert stage.entries.look_again(other) is None

    assert stage.desk.state(other) == "launching"
    stage.assert_charged(2_000)


def test_a_look_up_that_fails_again_frees_nothing_and_forgets_nothing(stage: Stage) -> None:
    claim = blind(stage, "rate_limited")
    with pytest.raises(BrokerUnavailable, match="look-ups fail"):
        stage.entries.look_again(claim)
    still_launching(stage, claim)
    stage.broker.is_blind = False

    assert stage.entries.look_again(claim)
    stage.assert_nothing_left()


def test_an_order_the_keeper_has_found_meanwhile_stays(stage: Stage) -> None:
    claim = blind(stage, "rate_limited")
    stage.broker.is_blind = False
    stage.coordinator.confirm(claim, stage.desk.order(claim))

    with pytest.raises(WrongState):
        stage.entries.look_again(claim)

    assert stage.desk.state(claim) == "open"
    stage.assert_charged(1_000)


def test_a_stop_gives_it_back_as_soon_as_it_can_look(stage: Stage) -> None:
    claim = blind(stage, "rate_limited")
    stage.broker.is_blind = False

    assert stage.entries.take_back(claim, "stop", 5.0)

    stage.assert_nothing_left()


def test_a_stop_frees_nothing_when_no_answer_came(stage: Stage) -> None:
    claim = blind(stage, VANISHED)
    stage.broker.is_blind = False

    assert not stage.entries.take_back(claim, "stop", 5.0)

    still_launching(stage, claim)


def test_the_attempts_after_it_are_as_free_as_any(stage: Stage) -> None:
    claim = blind(stage, "rate_limited")
    stage.broker.is_blind = False
    assert stage.entries.look_again(claim)
    stage.broker.answers = [CONFIRM]

    again = stage.open("AAPL", 1.0, 1_000)

    assert again.claim
    assert again.claim.id != claim.id
    assert stage.broker.posted == [claim.id, again.claim.id]
