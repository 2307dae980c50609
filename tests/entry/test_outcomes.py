"""The right answer to each way a POST can end; a charge is freed on evidence only."""

from __future__ import annotations

from itertools import pairwise

import pytest

from stealer.entry import SETTLE_SECONDS, Ending
from stealer.errors import LedgerUnavailable
from stealer.model import State
from tests.entry.scripted import CONFIRM, LOST, LYING, VANISHED
from tests.entry.stage import THIEF_USD, VICTIM_USD, Stage

NO_POWER = "insufficient_buying_power"
REPEATS = len(SETTLE_SECONDS)


def test_refused_and_unknown_to_the_broker_is_given_back(stage: Stage) -> None:
    stage.broker.answers = ["wash_trade"]

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason, result.claim) == (Ending.REFUSED, "wash_trade", None)
    assert len(stage.broker.posted) == 1
    stage.assert_nothing_left()
    # Nothing was stolen, so nothing keeps the slot from trying again.
    assert stage.open("AAPL", 1.0, 1_000).ending is Ending.OPEN


def test_refused_after_a_steal_the_slot_waits_a_cooldown(stage: Stage) -> None:
    stage.rest("MSFT")
    stage.broker.answers = ["wash_trade"]

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.REFUSED, "wash_trade")
    assert result.stolen_from == ("MSFT",)
    stage.assert_nothing_left()
    again = stage.steal()
    assert (again.ending, again.reason) == (Ending.DENIED, "cooldown")
    assert "refused its order after a steal" in again.detail
    # Another thief is not barred.
    assert stage.open("TSLA", 10.0, THIEF_USD).ending is Ending.OPEN


def test_never_sent_is_given_back_without_a_penalty(stage: Stage) -> None:
    stage.rest("MSFT")

    trust = stage.coordinator.settings.trust_seconds
    stage.broker.while_connecting = lambda: stage.clock.advance(trust)

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.REFUSED, "not_sent")
    assert "too old to be trusted" in result.detail
    assert len(stage.broker.posted) == 1  # the victim's own, long ago
    stage.assert_nothing_left()
    stage.broker.while_connecting = lambda: None
    assert stage.steal().ending is Ending.OPEN


def test_trust_counts_from_before_the_launch_was_asked_for(stage: Stage) -> None:
    trust = stage.coordinator.settings.trust_seconds
    stage.broker.while_connecting = lambda: stage.clock.advance(trust * 0.99)
    assert stage.open("AAPL", 1.0, 1_000).ending is Ending.OPEN

    real_launch = stage.coordinator.launch

    def slow(claim: object) -> float:
        trusted = real_launch(claim)  # type: ignore[arg-type]
        stage.clock.advance(trust * 0.02)  # the reply took its time
        return trusted

    stage.coordinator.launch = slow  # type: ignore[method-assign]
    result = stage.open("MSFT", 1.0, 1_000)
    assert (result.ending, result.reason) == (Ending.REFUSED, "not_sent")
    assert len(stage.broker.posted) == 1


def test_a_lost_answer_is_looked_up_and_found(stage: Stage) -> None:
    stage.broker.answers = [LOST]

    result = stage.open("AAPL", 1.0, 1_000)

    assert result.ending is Ending.OPEN
    assert result.claim
    assert stage.desk.state(result.claim) == "open"
    assert len(stage.broker.posted) == 1
    stage.assert_charged(1_000)


@pytest.mark.parametrize("blind", [False, True])
def test_without_evidence_the_claim_stays_launching_until_a_later_look_settles_it(
    stage: Stage, blind: bool
) -> None:
    stage.broker.answers = [LOST if blind else VANISHED]
    stage.broker.is_blind = blind

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.UNRESOLVED, "timeout")
    assert result.claim
    assert stage.desk.state(result.claim) == "launching"
    assert len(stage.broker.posted) == 1  # never repeated blindly
    stage.assert_charged(1_000)

    stage.broker.is_blind = False
    found = stage.entries.settle(result.claim.id)
    if blind:
        assert found
        assert stage.desk.state(result.claim) == "open"
    else:
        assert found is None  # a 404 is no evidence about an order that may still arrive
        assert stage.desk.state(result.claim) == "launching"
    stage.assert_charged(1_000)


def test_a_refusal_that_the_look_up_contradicts_frees_nothing(stage: Stage) -> None:
    stage.broker.answers = [LYING]

    result = stage.open("AAPL", 1.0, 1_000)

    assert result.ending is Ending.UNRESOLVED
    assert result.claim
    assert stage.desk.state(result.claim) == "launching"
    stage.assert_charged(1_000)
    assert stage.entries.settle(result.claim.id)
    assert stage.desk.state(result.claim) == "open"


def test_a_refusal_that_no_look_up_confirms_frees_nothing(stage: Stage) -> None:
    stage.broker.answers = ["wash_trade"]
    stage.broker.is_blind = True

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.UNRESOLVED, "wash_trade")
    assert result.claim
    assert stage.desk.state(result.claim) == "launching"
    stage.assert_charged(1_000)


# ---- the cancel that is still settling at the broker


@pytest.mark.parametrize("repeats", range(1, REPEATS + 1))
def test_no_power_after_a_steal_is_tried_again_with_the_same_id(stage: Stage, repeats: int) -> None:
    stage.rest("MSFT")
    sent_at: list[float] = []
    stage.broker.while_connecting = lambda: sent_at.append(stage.clock.time())
    stage.broker.answers = [NO_POWER] * repeats + [CONFIRM]

    result = stage.steal()

    assert result.ending is Ending.OPEN
    assert result.claim
    assert stage.broker.posted[1:] == [result.claim.id] * (1 + repeats)
    pauses = [later - sooner for sooner, later in pairwise(sent_at)]
    assert pauses == pytest.approx(SETTLE_SECONDS[:repeats])
    stage.assert_charged(THIEF_USD)


def test_no_power_that_lasts_is_a_refusal_and_a_cooldown(stage: Stage) -> None:
    stage.rest("MSFT")
    stage.broker.answers = [NO_POWER] * (1 + REPEATS) + [CONFIRM]

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.REFUSED, NO_POWER)
    assert len(stage.broker.posted) == 2 + REPEATS
    stage.assert_nothing_left()
    assert stage.steal().reason == "cooldown"


def test_no_power_without_a_steal_is_tried_again_too_but_costs_no_cooldown(
    stage: Stage,
) -> None:
    stage.broker.answers = [NO_POWER] * (1 + REPEATS) + [CONFIRM]

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.REFUSED, NO_POWER)
    assert len(stage.broker.posted) == 1 + REPEATS, "another's cancel may still be settling"
    stage.assert_nothing_left()
    assert stage.open("AAPL", 1.0, 1_000).ending is Ending.OPEN


def test_no_power_is_not_repeated_while_the_look_up_cannot_say_that_nothing_exists(
    stage: Stage,
) -> None:
    stage.rest("MSFT")
    stage.broker.answers = [NO_POWER, CONFIRM]
    stage.broker.while_connecting = lambda: setattr(stage.broker, "is_blind", True)

    result = stage.steal()

    assert result.ending is Ending.UNRESOLVED
    assert len(stage.broker.posted) == 2
    stage.assert_charged(THIEF_USD)


def test_a_repeat_that_is_too_late_to_send_still_counts_as_refused_after_a_steal(
    stage: Stage,
) -> None:
    stage.rest("MSFT")
    stage.broker.answers = [NO_POWER, CONFIRM]
    trust = stage.coordinator.settings.trust_seconds
    stage.broker.after_post = lambda: stage.clock.advance(trust)

    result = stage.steal()

    assert result.ending is Ending.REFUSED
    assert len(stage.broker.posted) == 2
    stage.assert_nothing_left()
    assert stage.steal().reason == "cooldown"


# ---- the ledger, after the POST


def test_an_order_whose_claim_is_gone_is_canceled_by_its_owner(stage: Stage) -> None:
    def keeper_frees_it() -> None:
        claim = stage.claim_of("AAPL")
        assert claim
        stage.coordinator.unlaunch_as_keeper(claim.id, 0, "absent for the whole quarantine")

    stage.broker.after_post = keeper_frees_it

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.DENIED, "gone")
    assert stage.broker.cancels == [f"id-{stage.broker.posted[0]}"]
    stage.assert_nothing_left()


def test_a_ledger_on_another_server_after_the_post_leaves_it_unresolved(stage: Stage) -> None:
    stage.broker.after_post = stage.desk.another_server

    result = stage.open("AAPL", 1.0, 1_000)

    # The order is live: "nothing is held" would be false, and its owner would open another.
    assert result.ending is Ending.UNRESOLVED
    assert result.reason == "uncertified"
    assert result.claim
    assert stage.desk.state(result.claim) == "launching"
    stage.assert_charged(1_000)

    stage.coordinator.certify()
    assert stage.entries.settle(result.claim.id)
    assert stage.desk.state(result.claim) == "open"


def test_redis_going_away_after_the_post_leaves_it_unresolved(stage: Stage) -> None:
    def gone(*arguments: object) -> State:
        raise LedgerUnavailable("Redis cannot be reached")

    real = stage.coordinator.confirm
    stage.coordinator.confirm = gone  # type: ignore[method-assign,assignment]

    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.UNRESOLVED, "redis")
    assert result.claim
    stage.coordinator.confirm = real  # type: ignore[method-assign]
    assert stage.entries.settle(result.claim.id)
    assert stage.desk.state(result.claim) == "open"


def test_an_order_the_keeper_found_before_its_owner_gave_it_up_stays(stage: Stage) -> None:
    """Refused, absent, and then the order shows after all, and the keeper has confirmed it."""
    stage.broker.answers = ["other"]
    real = stage.coordinator.unlaunch

    def keeper_is_first(claim: object, why: str, *, refused: bool) -> None:
        found = stage.claim_of("AAPL")
        assert found
        stage.coordinator.confirm(found, stage.desk.order(found))
        real(found, why, refused=refused)

    stage.coordinator.unlaunch = keeper_is_first  # type: ignore[method-assign]

    result = stage.open("AAPL", 1.0, 1_000)

    assert result.ending is Ending.UNRESOLVED
    assert result.claim
    assert stage.desk.state(result.claim) == "open"
    stage.assert_charged(1_000)


def test_an_overdrawn_pool_at_launch_sends_nothing_and_gives_back(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"

    def equity_falls() -> None:
        stage.broker.on_cancel = "ends"
        stage.broker.cancel(f"id-{victim.id}")
        stage.entries.settle(victim.id)
        stage.desk.account(4_000)

    stage.meanwhile = equity_falls

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "overdrawn")
    assert len(stage.broker.posted) == 1
    stage.assert_nothing_left()


def test_only_what_was_funded_was_ever_posted(stage: Stage) -> None:
    """The ledger at the moment of each POST: the claim is launching and nothing is overdrawn."""
    seen: list[tuple[str, bool]] = []

    def look() -> None:
        claim = stage.coordinator.claim(stage.broker.posted[-1])
        assert claim
        seen.append((claim.state.value, stage.desk.free() >= 0))

    stage.broker.after_post = look
    stage.rest("MSFT", usd=VICTIM_USD)
    assert stage.steal().ending is Ending.OPEN

    assert seen == [("launching", True)] * 2
