"""Named cases of what somebody wrote into Redis: denied, found by the keeper, counted anew."""

from __future__ import annotations

import pytest
import redis

from stealer.errors import LedgerSpoiled, Refused, Uncertified
from stealer.model import State
from tests.coordination.desk import Desk

MONEY = ("limit_total", "positions_total", "charged_total", "power_margin", "since_margin", "seq")


@pytest.fixture
def desk(redis_client: redis.Redis) -> Desk:
    """20,000 dollars, 18,000 of them in two open orders and one being sent, far from stealing."""
    desk = Desk(redis_client).open_shop(equity=10_000)
    desk.open("AAPL", 9.0, usd=8_000)
    desk.open("BTCUSD", 9.0, usd=6_000)
    desk.coordinator.launch(desk.reserve("MSFT", 9.0, usd=4_000))
    return desk


def denied(desk: Desk) -> str:
    """Why an order that does not fit is denied, on top of all there is."""
    decision = desk.acquire("TSLA", 1.0, usd=5_000)
    assert not decision, decision
    return decision.reason


def again(desk: Desk) -> None:
    """What the keeper does once it has waited, and its next snapshot."""
    desk.coordinator.certify()
    assert desk.acquire("NVDA", 1.0, usd=10).reason in ("stale_account", "duplicate")
    desk.account(10_000)
    desk.assert_charges_equal_claims()
    assert desk.coordinator.recount() == ""


@pytest.mark.parametrize("garbage", ["abc", "nan", "1e99", "-1", "0.5", None])
@pytest.mark.parametrize("name", MONEY)
def test_a_figure_that_cannot_be_grants_nothing(desk: Desk, name: str, garbage: str | None) -> None:
    if garbage is None:
        desk.client.hdel(desk.keys.ledger, name)
    else:
        desk.client.hset(desk.keys.ledger, name, garbage)
    reason = denied(desk)
    if garbage == "-1" and name in ("limit_total", "power_margin"):
        assert reason == "pnl_not_better"
        return
    assert reason == "uncertified"
    with pytest.raises(Uncertified):
        desk.coordinator.recount()
    again(desk)
    assert denied(desk) == "pnl_not_better"


def test_a_figure_that_a_script_drives_below_zero_grants_nothing_more(desk: Desk) -> None:
    apple = desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    assert apple
    desk.client.hset(desk.keys.ledger, "charged_total", 0)  # a figure like any other

    desk.coordinator.close(apple, desk.order(apple, "canceled"))

    assert int(desk.client.hget(desk.keys.ledger, "charged_total")) < 0
    assert denied(desk) == "uncertified"


def test_a_figure_that_was_missing_before_the_certificate_may_not_be_missing_after_it(
    desk: Desk,
) -> None:
    desk.client.delete(desk.keys.ledger)
    assert not desk.coordinator.server().certified, "a look at the empty ledger, which is kept"
    desk.coordinator.certify()
    desk.client.hdel(desk.keys.ledger, "limit_total")

    assert denied(desk) == "uncertified"


@pytest.mark.parametrize("amount", [0, 1, 17_000_000_000])
def test_charges_without_an_owner_are_found_and_gone_after_the_next_certificate(
    desk: Desk, amount: int
) -> None:
    desk.client.hset(desk.keys.ledger, "charged_total", amount)
    assert "charges are" in desk.coordinator.recount()
    assert denied(desk) == "uncertified"
    again(desk)
    assert desk.charged() == 18_000


FIELDS = ("need", "filled", "crypto", "state", "slot", "qty", "pnl")


@pytest.mark.parametrize("garbage", ["", "nan", "1e99", "-5", b"\xff"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_claim_that_cannot_be_frees_nothing_and_goes_with_the_next_certificate(
    desk: Desk, field: str, garbage: str | bytes
) -> None:
    claim = desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    assert claim
    before = desk.charged()
    desk.client.hset(desk.keys.of("claim", claim.id), field, garbage)
    if field == "pnl" and garbage == "-5":
        return  # as good as another
    try:
        desk.cancel(claim)
    except LedgerSpoiled as error:
        assert claim.id in str(error)  # noqa: PT017 - it may also be closed for what it was
        assert desk.charged() == before
    else:
        assert before - desk.charged() == 8_000
    if desk.client.exists(desk.keys.of("claim", claim.id)):
        found = desk.coordinator.recount()
        if field == "slot" and garbage == "-5":
            return
        assert claim.id in found, found
        again(desk)
        assert desk.charged() == 10_000
    assert set(desk.coordinator.claims()) == set(desk.coordinator.claim_ids())


INDEXES = ("claims", "open", "deadlines", "slots", "beats", "heirless", "unabsorbed")


def members(desk: Desk, name: str) -> set[str]:
    """Who is in an index; of `slots`, slot and claim together."""
    key = getattr(desk.keys, name)
    if name in ("slots", "policy"):
        return {f"{field} {value}" for field, value in desk.client.hgetall(key).items()}
    return set(desk.client.zrange(key, 0, -1))


@pytest.mark.parametrize("name", [*INDEXES, "policy"])
def test_an_index_somebody_deleted_is_noticed_and_made_again(desk: Desk, name: str) -> None:
    desk.fill(desk.open("NFLX", 9.0, usd=100), 0.5)
    desk.coordinator.evict(desk.open("TSLA", 9.0, usd=100), "owner")
    before = members(desk, name)
    assert before
    desk.client.delete(getattr(desk.keys, name))
    if name != "policy":
        assert "in no" in desk.coordinator.recount()
        assert desk.acquire("AAPL", 9.0, usd=10).reason == "uncertified"
    desk.coordinator.certify()
    assert members(desk, name) == before
    desk.account(10_000)
    assert desk.coordinator.recount() == ""
    desk.assert_charges_equal_claims()


@pytest.mark.parametrize("name", INDEXES)
def test_a_claim_without_an_owner_is_put_back_into_every_index(desk: Desk, name: str) -> None:
    """Made again from its order, it has no owner until its watcher takes it up."""
    rows = [desk.coordinator.listed(desk.order(c)) for c in desk.coordinator.claims().values()]
    desk.client.flushall()
    desk.coordinator.certify(orders=rows)
    before = members(desk, name)
    desk.client.delete(getattr(desk.keys, name))
    if before:
        assert "in no" in desk.coordinator.recount()
    desk.coordinator.certify(orders=rows)
    desk.account(10_000)
    assert members(desk, name) == before
    desk.stock_hours()
    assert desk.acquire("AAPL", 9.0, usd=10).reason == "duplicate"


def test_a_slot_of_another_claim_is_noticed_and_corrected(desk: Desk) -> None:
    apple, microsoft = "AAPL|buy|maxdiff", "MSFT|buy|maxdiff"
    owners = desk.client.hgetall(desk.keys.slots)
    desk.client.hset(desk.keys.slots, "TSLA|buy|maxdiff", owners[apple])
    assert owners[apple] in desk.coordinator.recount()
    desk.coordinator.certify()
    assert desk.client.hgetall(desk.keys.slots) == owners
    desk.client.hset(desk.keys.slots, microsoft, owners[apple])
    assert desk.coordinator.recount()
    desk.coordinator.certify()
    assert desk.client.hgetall(desk.keys.slots) == owners
    again(desk)


def test_of_two_claims_in_one_slot_the_younger_stays_and_the_other_is_condemned(desk: Desk) -> None:
    """Somebody deleted the slots, and the watcher came again before the keeper's next pass."""
    first = desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    assert first
    desk.client.hset(desk.keys.of("claim", first.id), "created_ms", 1)
    desk.client.delete(desk.keys.slots)
    second = desk.open("AAPL", 9.0, usd=500)
    before = desk.charged()
    assert "slot" in desk.coordinator.recount()

    again(desk)

    assert (desk.state(first), desk.now(first).cause) == ("evicting", "condemned")
    assert desk.state(second) == "open"
    assert desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff") == desk.now(second)
    assert desk.charged() == before  # both, until the broker says that one is over
    desk.cancel(second)
    assert desk.coordinator.recount() == ""
    desk.cancel(first)
    assert desk.coordinator.recount() == ""


def test_a_reservation_gives_its_slot_to_an_order_that_is_out(desk: Desk) -> None:
    first = desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    desk.client.delete(desk.keys.slots)
    second = desk.reserve("AAPL", 9.0, usd=500)
    assert "in no" in desk.coordinator.recount()

    again(desk)

    assert first
    assert (desk.state(first), desk.state(second)) == ("open", "gone")
    assert desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff") == desk.now(first)


def test_a_snapshot_number_beyond_the_last_does_not_stop_publishing_for_ever(desk: Desk) -> None:
    desk.client.hset(desk.keys.ledger, "snapshot", 10**15)
    with pytest.raises(Refused):
        desk.account(10_000)
    assert "sequence" in desk.coordinator.recount()
    again(desk)


def test_an_account_from_the_future_is_as_stale_as_an_old_one(desk: Desk) -> None:
    desk.age_account(-3600)
    assert denied(desk) == "stale_account"


@pytest.mark.parametrize("quote", ["nan nan", "inf inf", "-1 -1", "0 0", "1e99 1e99"])
def test_a_quote_that_cannot_be_is_none(desk: Desk, quote: str) -> None:
    at = desk.client.time()[0] * 1000
    desk.client.hset(desk.keys.quotes, "TSLA", f"{quote} {at}")
    assert desk.acquire("TSLA", 99.0, usd=10, away=None).reason == "stale_quote"
    assert desk.coordinator.standing("TSLA", "maxdiff").ask is None


def test_a_quote_from_the_future_is_none(desk: Desk) -> None:
    desk.market("TSLA")
    desk.age_quote("TSLA", -3600)
    assert desk.acquire("TSLA", 99.0, usd=10, away=None).reason == "stale_quote"


@pytest.mark.parametrize("garbage", ["", "abc", "nan", "inf", "-1", None])
@pytest.mark.parametrize("name", ["protection_pct", "min_pnl_improvement", "cooldown_seconds"])
def test_a_spoiled_policy_decides_nothing(desk: Desk, name: str, garbage: str | None) -> None:
    if garbage is None:
        desk.client.hdel(desk.keys.policy, name)
    else:
        desk.client.hset(desk.keys.policy, name, garbage)
    desk.client.hset(desk.keys.ledger, "policy_version", "another")
    assert desk.acquire("TSLA", 99.0, usd=5_000).reason == "uncertified"
    desk.coordinator.certify()
    assert desk.acquire("TSLA", 1.0, usd=5_000).reason == "pnl_not_better"


def test_a_counter_somebody_spoiled_stops_nothing(desk: Desk) -> None:
    desk.client.delete(desk.keys.counters)
    desk.client.set(desk.keys.counters, "mine")
    claim = desk.reserve("NVDA", 1.0, usd=10)
    desk.send(claim)
    assert desk.release(claim) > 0
    assert desk.state(claim) == "gone"
    desk.assert_charges_equal_claims()


def test_a_lease_that_never_ends_is_nobodys(desk: Desk) -> None:
    desk.client.set(desk.keys.keeper, "somebody")
    held, term = desk.coordinator.lease(10)
    assert held
    assert term == 1


def test_a_term_that_cannot_be_is_counted_from_the_beginning(desk: Desk) -> None:
    desk.client.hset(desk.keys.ledger, "term", "nan")
    assert desk.coordinator.lease(10) == (True, 1)


def test_a_dangling_slot_is_free_after_the_next_certificate(desk: Desk) -> None:
    desk.client.hset(desk.keys.slots, "TSLA|buy|maxdiff", "no such claim")
    assert "no such claim" in desk.coordinator.recount()
    again(desk)
    assert desk.acquire("TSLA", 1.0, usd=10)


def test_a_well_kept_ledger_counts_right_in_every_state(desk: Desk) -> None:
    assert desk.coordinator.recount() == ""
    steal = desk.acquire("TSLA", 99.0, usd=9_000)
    assert desk.coordinator.recount() == ""
    claim = desk.settle(steal)
    desk.fill(claim, 1)
    assert desk.coordinator.recount() == ""
    desk.fill(claim)
    assert desk.state(claim) is State.CLOSED or desk.state(claim) == "closed"
    assert desk.coordinator.recount() == ""
