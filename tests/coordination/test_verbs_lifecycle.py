"""From reservation to the end of an order: launch, confirm, close, abort, evict and the like."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from stealer.errors import (
    ClaimGone,
    Deposed,
    Fenced,
    Halted,
    Late,
    Overdrawn,
    Refused,
    Uncertified,
    WrongState,
)
from stealer.evidence import BrokerOrder
from stealer.model import Claim, State
from stealer.replies import AccountFigures
from tests.coordination.desk import Desk, micro

VERBS: dict[str, Callable[[Desk, Claim], object]] = {
    "topup": lambda desk, claim: desk.coordinator.topup(claim),
    "launch": lambda desk, claim: desk.coordinator.launch(claim),
    "confirm": lambda desk, claim: desk.coordinator.confirm(claim, desk.order(claim)),
    "close": lambda desk, claim: desk.coordinator.close(claim, desk.order(claim, "canceled")),
    "abort": lambda desk, claim: desk.coordinator.abort(claim),
    "unlaunch": lambda desk, claim: desk.coordinator.unlaunch(claim, "x", refused=False),
    "evict": lambda desk, claim: desk.coordinator.evict(claim, "owner"),
    "heartbeat": lambda desk, claim: desk.coordinator.heartbeat(claim),
}


@pytest.mark.parametrize("verb", VERBS)
def test_after_the_identity_changes_every_verb_is_denied(desk: Desk, verb: str) -> None:
    claim = desk.reserve("AAPL")
    desk.another_server()
    before = desk.everything()
    with pytest.raises(Uncertified):
        VERBS[verb](desk, claim)
    assert desk.everything() == before


def test_after_the_identity_changes_the_keepers_verbs_are_denied_until_certified(
    desk: Desk,
) -> None:
    stray = desk.order(desk.reserve("AAPL"))
    desk.another_server()
    with pytest.raises(Uncertified):
        desk.coordinator.begin_snapshot()
    with pytest.raises(Uncertified):
        desk.account(equity=1, sequence=999)
    with pytest.raises(Uncertified):
        desk.coordinator.condemn(stray, 0)
    with pytest.raises(Uncertified):
        desk.coordinator.record_steal("AAPL", "MSFT")
    assert not desk.coordinator.can_open_order("AAPL", "maxdiff", 100, 1)
    assert not desk.coordinator.standing("AAPL", "maxdiff").certified
    assert desk.coordinator.certify().epoch == 2
    assert desk.acquire("MSFT")


@pytest.mark.parametrize("verb", ["topup", "launch", "unlaunch", "evict"])
def test_an_owner_that_was_fenced_off_can_do_nothing(desk: Desk, verb: str) -> None:
    claim = desk.open("AAPL")
    desk.coordinator.evict(claim.id, "operator", by="alice", raise_fence=True)
    before = desk.everything()
    with pytest.raises(Fenced):
        VERBS[verb](desk, claim)
    assert desk.everything() == before
    assert desk.coordinator.heartbeat(claim).state == "fenced"
    desk.cancel(claim)
    assert desk.charged() == 0


@pytest.mark.parametrize("verb", ["topup", "launch", "abort"])
def test_a_reservation_obeys_only_its_own_fence(desk: Desk, verb: str) -> None:
    claim = desk.reserve("AAPL")
    with pytest.raises(Fenced):
        VERBS[verb](desk, dataclasses.replace(claim, fence="1.0"))
    assert (desk.state(claim), desk.charged()) == ("reserved", 1_000)
    desk.coordinator.abort(claim)
    assert desk.charged() == 0


@pytest.mark.parametrize("state", ["reserved", "launching"])
def test_a_claim_that_is_not_open_cannot_be_evicted(desk: Desk, state: str) -> None:
    claim = desk.reserve("AAPL")
    if state == "launching":
        desk.coordinator.launch(claim)
    before = desk.everything()
    told = desk.coordinator.evict(claim.id, "operator", by="alice", raise_fence=True)
    assert told == (state, "")
    assert desk.everything() == before, "its owner must stay able to say what became of its POST"


@pytest.mark.parametrize("verb", ["topup", "launch", "confirm", "evict"])
def test_a_claim_that_is_gone_is_said_to_be_gone(desk: Desk, verb: str) -> None:
    claim = desk.reserve("AAPL")
    desk.coordinator.abort(claim, "changed its mind")
    with pytest.raises(ClaimGone):
        VERBS[verb](desk, claim)
    desk.coordinator.abort(claim)
    assert desk.cancel(claim) == 0, "closing what is gone is no error"


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("topup", "launching"),
        ("topup", "open"),
        ("launch", "launching"),
        ("launch", "open"),
        ("abort", "launching"),
        ("abort", "open"),
        ("unlaunch", "reserved"),
        ("unlaunch", "open"),
        ("confirm", "reserved"),
        ("close", "reserved"),
    ],
)
def test_a_verb_in_the_wrong_state_changes_nothing(desk: Desk, verb: str, state: str) -> None:
    claim = desk.reserve("AAPL")
    if state != "reserved":
        desk.coordinator.launch(claim)
    if state == "open":
        desk.coordinator.confirm(claim, desk.order(claim))
    before = desk.everything()
    with pytest.raises(WrongState) as refused:
        VERBS[verb](desk, claim)
    assert refused.value.state == state
    assert desk.everything() == before


# ---- launch


def test_launch_refuses_when_halted_late_or_overdrawn(desk: Desk) -> None:
    claim = desk.reserve("AAPL", usd=15_000)
    desk.coordinator.halt("lunch", "alice")
    with pytest.raises(Halted):
        desk.coordinator.launch(claim)
    assert desk.coordinator.halt("", "alice") == "lunch"
    desk.account(equity=7_000)
    with pytest.raises(Overdrawn):
        desk.coordinator.launch(claim)
    assert (desk.charged(), desk.free()) == (15_000, -1_000), "nothing is shed"
    desk.account(equity=7_500)
    desk.pass_deadline(claim)
    with pytest.raises(Late):
        desk.coordinator.launch(claim)
    with pytest.raises(Late):
        desk.coordinator.topup(claim)


def test_launch_repeated_by_the_same_call_answers_the_same_and_by_another_refuses(
    desk: Desk,
) -> None:
    claim = desk.reserve("AAPL")
    assert desk.raw("launch", claim.id, claim.fence, "r1")[0] == "ok"
    before = desk.everything()
    code, trusted = desk.raw("launch", claim.id, claim.fence, "r1")
    assert code == "ok"
    assert 9_000 < int(trusted) <= 10_000
    assert desk.everything() == before
    assert desk.raw("launch", claim.id, claim.fence, "r2") == ["wrong_state:launching"]


# ---- confirm and close


def test_confirm_and_close_repeated_change_nothing(desk: Desk) -> None:
    claim = desk.reserve("AAPL")
    desk.coordinator.launch(claim)
    for _ in range(2):
        assert desk.raw("confirm", claim.id, "b1", "4", micro(400)) == ["open"]
        before = desk.everything()
    assert desk.raw("confirm", claim.id, "b1", "3", micro(300)) == ["open"]
    assert desk.everything() == before, "an older sighting says nothing new"

    first = desk.raw("close", claim.id, "b1", "canceled", "5", micro(500))
    assert first[:2] == ["closed", str(micro(500))]
    before = desk.everything()
    assert desk.raw("close", claim.id, "b1", "canceled", "5", micro(500)) == ["closed", "0"]
    assert desk.coordinator.confirm(claim, desk.order(claim)) is State.CLOSED
    after = desk.everything()
    assert after == before
    assert (desk.charged(), desk.counter("closed:canceled")) == (500, 1)


def test_an_end_without_a_fill_is_told_without_reading_the_claim(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = desk.open("AAPL", usd=1_000)
    order = desk.order(claim, "canceled")

    with monkeypatch.context() as patch:
        patch.setattr(desk.coordinator, "claim", lambda claim_id: pytest.fail("it was read"))
        assert desk.coordinator.close(claim.id, order) == claim.need

    assert desk.state(claim) == "gone"


@pytest.mark.parametrize("filled", [0.0, 1.0])
def test_the_end_of_what_the_ledger_has_lost_frees_nothing_and_is_no_error(
    desk: Desk, filled: float
) -> None:
    claim = desk.open("AAPL", usd=1_000)
    over = desk.order(claim, "canceled", filled)
    desk.client.flushall()

    assert desk.coordinator.close(claim.id, over) == 0


def test_a_ledger_that_has_lost_its_memory_does_not_say_that_a_claim_is_gone(desk: Desk) -> None:
    """PROTOCOL: absent *and certified* -> cancel the own order; it may yet be made again of it."""
    claim = desk.acquire("AAPL", usd=1_000).claim
    assert claim
    desk.coordinator.launch(claim)
    live = desk.order(claim)
    desk.client.flushall()

    with pytest.raises(Uncertified):
        desk.coordinator.confirm(claim, live)


def test_close_before_anybody_confirmed(desk: Desk) -> None:
    claim = desk.reserve("AAPL")
    desk.coordinator.launch(claim)
    assert desk.cancel(claim, filled=1) == micro(900)
    assert (desk.state(claim), desk.charged()) == ("closed", 100)


@pytest.mark.parametrize("status", ["filled", "canceled", "expired", "rejected", "replaced"])
def test_each_terminal_status_ends_a_claim(desk: Desk, status: str) -> None:
    claim = desk.open("AAPL")
    filled = 10 if status == "filled" else 0
    desk.coordinator.close(claim, desk.order(claim, status, filled))
    assert desk.state(claim) == ("closed" if filled else "gone")
    pulse = desk.coordinator.heartbeat(claim)
    assert (pulse.ended or status, pulse.filled_qty) == (status, filled)


@pytest.mark.parametrize("status", ["new", "done_for_day", "pending_cancel", "who knows"])
def test_no_other_status_ends_a_claim(desk: Desk, status: str) -> None:
    claim = desk.open("AAPL")
    with pytest.raises(ValueError, match="not terminal"):
        desk.coordinator.close(claim, desk.order(claim, status))
    assert (desk.state(claim), desk.charged()) == ("open", 1_000)


# ---- abort and unlaunch


def test_unlaunch_by_the_owner_and_by_the_keeper(desk: Desk) -> None:
    for by_keeper in (False, True):
        claim = desk.reserve("AAPL")
        desk.coordinator.launch(claim)
        if by_keeper:
            desk.coordinator.unlaunch_as_keeper(claim.id, 0, "not found for 30 s")
            desk.coordinator.unlaunch_as_keeper(claim.id, 0, "again")
        else:
            desk.coordinator.unlaunch(claim, "403 insufficient", refused=True)
            desk.coordinator.unlaunch(claim, "again", refused=True)
        assert (desk.state(claim), desk.charged()) == ("gone", 0)
    assert desk.acquire("AAPL"), "no steal, so no penalty"


def test_why_a_claim_ended_is_told_in_full(desk: Desk) -> None:
    claim = desk.reserve("AAPL")
    desk.coordinator.abort(claim, "the price ran away")
    pulse = desk.coordinator.heartbeat(claim)
    assert (pulse.state, pulse.ended) == ("gone", "aborted")
    assert (pulse.cause, pulse.by) == ("the price ran away", "owner")


def test_a_keeper_with_an_old_term_is_deposed(desk: Desk) -> None:
    claim = desk.reserve("AAPL")
    desk.coordinator.launch(claim)
    assert desk.coordinator.lease(60) == (True, 1)
    calls: list[Callable[[], object]] = [
        lambda: desk.coordinator.unlaunch_as_keeper(claim.id, 0, "x"),
        lambda: desk.coordinator.begin_snapshot(0),
        lambda: desk.account(equity=1, sequence=1, term=0),
        lambda: desk.coordinator.publish_session(True, 1, term=0),
        lambda: desk.coordinator.condemn(desk.order(claim), 0),
        lambda: desk.coordinator.certify(0),
    ]
    before = desk.everything()
    for call in calls:
        with pytest.raises(Deposed):
            call()
    assert desk.everything() == before


# ---- evict


def test_an_operators_eviction_raises_the_fence_and_frees_nothing(desk: Desk) -> None:
    claim = desk.open("AAPL")
    state, order_id = desk.coordinator.evict(claim.id, "operator", by="alice", raise_fence=True)
    assert (state, order_id) == ("evicting", f"broker-{claim.id}")
    assert desk.charged() == 1_000
    with pytest.raises(Fenced):
        desk.coordinator.evict(claim, "owner")
    pulse = desk.coordinator.heartbeat(claim)
    assert (pulse.state, pulse.cause, pulse.by) == ("fenced", "operator", "alice")
    (entry,) = [f for _, f in desk.client.xrange(desk.keys.audit) if f["what"] == "evict"]
    assert (entry["who"], entry["claim"], entry["why"]) == ("alice", claim.id, "operator")
    assert desk.acquire("AAPL").reason == "duplicate", "the slot is held until it is terminal"
    desk.cancel(claim)
    assert desk.charged() == 0


def test_the_first_cause_stays_and_a_repeated_eviction_changes_nothing(desk: Desk) -> None:
    claim = desk.open("AAPL")
    assert desk.raw("evict", claim.id, claim.fence, "owner", "owner", 0)[0] == "evicting"
    before = desk.everything()
    for cause in ("owner", "operator"):
        assert desk.raw("evict", claim.id, claim.fence, cause, cause, 0)[0] == "evicting"
    assert desk.everything() == before
    assert desk.now(claim).cause == "owner"


def test_an_evicting_order_is_nobodys_victim(desk: Desk) -> None:
    claim = desk.open("AAPL", pnl=0.1, usd=10_000)
    desk.open("TSLA", pnl=5.0, usd=10_000)
    desk.coordinator.evict(claim.id, "operator")
    decision = desk.acquire("MSFT", pnl=9.0, usd=15_000)
    assert ([v.symbol for v in decision.victims], decision.inherits) == (["TSLA"], 1)


# ---- condemn


def stray(desk: Desk, usd: int = 5_000, status: str = "new") -> BrokerOrder:
    """An order with our prefix of which the ledger knows nothing."""
    claim = desk.reserve("AAPL", usd=usd)
    order = desk.order(claim, status)
    desk.coordinator.abort(claim)
    return order


def test_a_condemned_order_is_counted_in_full_even_below_zero(desk: Desk) -> None:
    order = stray(desk)
    desk.open("MSFT", usd=18_000)
    assert desk.coordinator.condemn(order, 0) == "condemned"
    before = desk.everything()
    assert desk.coordinator.condemn(order, 0) == "evicting", "known by now"
    assert desk.everything() == before
    assert (desk.charged(), desk.free()) == (23_000, -3_000)
    pulse_claim = desk.now(order.client_order_id)
    assert (pulse_claim.state, pulse_claim.cause) == (State.EVICTING, "condemned")
    desk.cancel(order.client_order_id, filled=10)
    assert desk.charged() == 19_000, "what it filled stays until a snapshot shows it"
    desk.account(equity=10_000, positions=1_000)
    assert (desk.charged(), desk.free()) == (18_000, 1_000)


def test_a_claim_that_is_known_cannot_be_condemned(desk: Desk) -> None:
    claim = desk.open("AAPL")
    assert desk.coordinator.condemn(desk.order(claim), 0) == "open"
    assert (desk.state(claim), desk.charged()) == ("open", 1_000)


def test_a_heartbeat_tells_who_stole_and_until_when(desk: Desk) -> None:
    claim = desk.open("AAPL", pnl=1.0, usd=20_000)
    assert desk.coordinator.heartbeat(claim).state == "open"
    desk.acquire("MSFT", pnl=2.0, usd=20_000)
    pulse = desk.coordinator.heartbeat(claim)
    assert (pulse.state, pulse.cause, pulse.by) == ("evicting", "stolen", "MSFT")
    assert 299 < pulse.cooldown_seconds <= 300
    desk.client.delete(desk.keys.of("ended", claim.id))
    desk.cancel(claim)
    desk.client.delete(desk.keys.of("ended", claim.id))
    assert desk.coordinator.heartbeat(claim).state == "unknown"


def test_the_lease_has_one_holder_and_a_new_term_for_each(desk: Desk) -> None:
    standby = Desk(desk.client, owner="standby")
    assert desk.coordinator.lease(60) == (True, 1)
    assert desk.coordinator.lease(60) == (True, 1), "a renewal keeps the term"
    assert standby.coordinator.lease(60) == (False, "desk")
    standby.coordinator.release_lease()
    assert standby.coordinator.lease(60) == (False, "desk"), "only its holder gives it up"
    desk.coordinator.release_lease()
    assert standby.coordinator.lease(60) == (True, 2)


def test_a_refusal_names_verb_and_claim(desk: Desk) -> None:
    with pytest.raises(Refused, match="evict nosuch: the claim no longer exists"):
        desk.coordinator.evict("nosuch", "owner")


def test_figures_of_zero_equity_deny_everything(desk: Desk) -> None:
    desk.coordinator.publish_account(AccountFigures(0, 0, 0, 0, 0, 0, 0, 0))
    assert desk.acquire("AAPL", usd=1).reason == "no_capacity"
