"""From intent to a funded claim: grants, steals, and victims that end otherwise than asked."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.entry import Ending
from stealer.model import Claim, OrderIntent, State
from tests.entry.stage import THIEF_USD, VICTIM_USD, Stage


def test_a_grant_becomes_one_order_with_the_claims_id(stage: Stage) -> None:
    result = stage.open("AAPL", 1.0, 1_000)

    assert result.ending is Ending.OPEN
    assert result.claim
    assert result.order
    assert stage.broker.posted == [result.claim.id] == [stage.broker.only().client_order_id]
    assert stage.desk.now(result.claim).state is State.OPEN
    assert stage.desk.now(result.claim).order_id == result.order.id
    stage.assert_charged(1_000)

    assert stage.entries.take_back(result.claim, "over", 5)
    stage.assert_nothing_left()


def test_an_order_filled_at_once_is_closed_and_charged_as_its_fill(stage: Stage) -> None:
    stage.broker.after_post = lambda: stage.broker.fill()

    result = stage.open("AAPL", 1.0, 1_000)

    assert result.claim
    assert result.ending is Ending.OPEN
    stage.entries.settle(result.claim.id)
    assert stage.desk.state(result.claim) == "closed"
    stage.assert_charged(1_000)


def test_a_steal_cancels_the_victim_waits_for_its_end_and_posts(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    posts_before = list(stage.broker.posted)
    seen: list[str] = []
    stage.broker.while_connecting = lambda: seen.append(stage.broker.order_of("MSFT").status)

    result = stage.steal()

    assert result.ending is Ending.OPEN
    assert result.stolen_from == ("MSFT",)
    assert seen == ["canceled"]  # terminal at the broker before the thief's POST
    assert stage.broker.cancels == [f"id-{victim.id}"]
    assert len(stage.broker.posted) == len(posts_before) + 1
    assert stage.desk.state(victim) == "gone"
    assert stage.steps == ["stealing from MSFT"]
    assert [s["victims"] for s in stage.desk.steals()] == ["MSFT"]
    stage.assert_charged(THIEF_USD)


def test_a_pending_cancel_pays_nobody_until_the_order_is_over(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"
    looks = 0

    def later() -> None:
        nonlocal looks
        looks += 1
        thief = stage.claim_of("AAPL")
        assert thief
        assert thief.fund == 5_000 * 10**6  # only what was free
        assert len(stage.broker.posted) == 1
        stage.assert_charged(20_000)
        if looks == 3:
            stage.broker.on_cancel = "ends"
            stage.broker.cancel(f"id-{victim.id}")

    stage.meanwhile = later

    assert stage.steal().ending is Ending.OPEN
    assert looks == 3
    stage.assert_charged(THIEF_USD)


def test_a_thief_that_was_stopped_between_two_cancels_asks_the_ledger_first(stage: Stage) -> None:
    first, second = stage.rest("MSFT", usd=7_500), stage.rest("TSLA", pnl=1.5, usd=7_500)
    stage.desk.market("NVDA")
    stage.rest("NVDA", pnl=99.0, usd=5_000)
    stage.broker.on_cancel = "nothing"

    def stopped_while_the_ledger_is_lost() -> None:
        stage.broker.after_cancel = lambda: None
        stage.clock.advance(stage.desk.settings.trust_seconds + 1)
        stage.desk.client.flushall()

    stage.broker.after_cancel = stopped_while_the_ledger_is_lost

    assert stage.steal(pnl=50.0).ending is Ending.DENIED
    assert stage.broker.cancels == [f"id-{first.id}"], f"{second.symbol} is nobody's victim now"


def test_a_thief_that_always_waits_longer_than_its_trust_looks_at_the_broker_all_the_same(
    stage: Stage,
) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"

    def slow_while_only_the_broker_knows() -> None:
        stage.clock.advance(stage.desk.settings.trust_seconds + 1)
        stage.broker.on_cancel = "ends"
        stage.broker.cancel(f"id-{victim.id}")

    stage.meanwhile = slow_while_only_the_broker_knows

    assert stage.steal().ending is Ending.OPEN


def test_a_victim_whose_cancel_was_just_accepted_is_not_looked_up(stage: Stage) -> None:
    stage.rest("MSFT")
    looks: list[int] = []
    stage.meanwhile = lambda: looks.append(stage.broker.looks)
    before = stage.broker.looks

    assert stage.steal().ending is Ending.OPEN
    assert looks == [before], "one wait, and no look before it"
    assert stage.broker.looks == before + 1


def test_a_victim_that_is_over_already_is_looked_up_at_once(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.cancel(f"id-{victim.id}")  # the ledger has not heard of it
    stage.meanwhile = lambda: pytest.fail("nothing is to be waited for")

    assert stage.steal().ending is Ending.OPEN
    stage.assert_charged(THIEF_USD)


def test_who_is_woken_asks_the_ledger_before_the_broker(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"
    stage.is_woken = True
    looks = []

    def the_keeper_hears_of_the_end() -> None:
        looks.append(stage.broker.looks)
        stage.desk.coordinator.close(victim, stage.desk.order(victim, "canceled"))

    stage.meanwhile = the_keeper_hears_of_the_end

    assert stage.steal().ending is Ending.OPEN
    assert looks == [stage.broker.looks], "no look-up after it was woken"
    stage.assert_charged(THIEF_USD)


def test_who_is_woken_by_each_of_two_ends_looks_nothing_up_and_launches_by_the_second(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.desk.market("NVDA")
    victims = [stage.rest("MSFT", usd=7_500), stage.rest("TSLA", pnl=1.5, usd=7_500)]
    stage.rest("NVDA", pnl=99.0, usd=5_000)
    stage.broker.on_cancel = "nothing"
    stage.is_woken = True
    asked: list[str] = []

    def noted(verb: str) -> Callable[[Claim], object]:
        real = getattr(stage.coordinator, verb)

        def call(claim: Claim) -> object:
            asked.append(verb)
            return real(claim)

        return call

    for verb in ("topup", "launch"):
        monkeypatch.setattr(stage.coordinator, verb, noted(verb))

    def the_keeper_hears_of_one_end() -> None:
        asked.append("woken")
        victim = victims.pop()
        stage.desk.coordinator.close(victim, stage.desk.order(victim, "canceled"))

    stage.meanwhile = the_keeper_hears_of_one_end
    looks = stage.broker.looks

    assert stage.steal(pnl=50.0).ending is Ending.OPEN
    assert stage.broker.looks == looks
    assert asked == ["topup", "woken", "launch", "topup", "woken", "launch"]


def test_who_is_woken_in_vain_looks_at_the_broker(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"
    stage.is_woken = True
    wakes = 0

    def only_the_broker_knows_of_the_end() -> None:
        nonlocal wakes
        wakes += 1
        if wakes == 1:
            stage.broker.on_cancel = "ends"
            stage.broker.cancel(f"id-{victim.id}")

    stage.meanwhile = only_the_broker_knows_of_the_end

    assert stage.steal().ending is Ending.OPEN
    assert wakes == 2, "every other time it looks by itself"
    stage.assert_charged(THIEF_USD)


def test_a_cancel_without_effect_is_repeated(stage: Stage) -> None:
    stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"

    def third_time() -> None:
        if len(stage.broker.cancels) >= 2:
            stage.broker.on_cancel = "ends"

    stage.meanwhile = third_time

    assert stage.steal().ending is Ending.OPEN
    assert len(stage.broker.cancels) == 3


def test_a_victim_that_filled_instead_pays_nothing_and_another_steal_makes_it_up(
    stage: Stage,
) -> None:
    stage.rest("MSFT", 1.0, 8_000)
    stage.rest("TSLA", 2.0, 8_000)
    filled: list[str] = []
    real_cancel = stage.broker.cancel

    def first_fills(order_id: str) -> object:
        stage.broker.on_cancel = "ends" if filled else "fills"
        filled.append(order_id)
        return real_cancel(order_id)

    stage.broker.cancel = first_fills  # type: ignore[method-assign,assignment]

    result = stage.steal()

    assert result.ending is Ending.OPEN, result
    assert stage.broker.order_of("MSFT").status == "filled"
    assert stage.broker.order_of("TSLA").status == "canceled"
    assert [s["victims"] for s in stage.desk.steals()] == ["MSFT", "TSLA"]
    # MSFT's fill stays charged until a snapshot shows it; TSLA's eviction paid the thief.
    stage.assert_charged(8_000 + THIEF_USD)


def test_a_victim_that_filled_and_no_other_to_steal_from_posts_nothing(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "fills"

    result = stage.steal()

    assert result.ending is Ending.DENIED
    assert result.claim is None
    assert stage.broker.posted == [victim.id]
    assert stage.claim_of("AAPL") is None
    stage.assert_charged(VICTIM_USD)  # the fill alone


def test_a_half_filled_victim_pays_its_other_half(stage: Stage) -> None:
    stage.rest("MSFT")
    stage.broker.on_cancel = "half"

    result = stage.steal()

    # 5,000 were free and 7,500 came from the victim: enough for 10,000.
    assert result.ending is Ending.OPEN
    stage.assert_charged(VICTIM_USD / 2 + THIEF_USD)


def test_victims_that_never_end_make_it_late_and_stay_evicting_without_heir(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "late")
    assert "MSFT" in result.detail
    left = stage.desk.now(victim)
    assert (left.state, left.heir) == (State.EVICTING, "")
    assert stage.broker.posted == [victim.id]
    assert len(stage.broker.cancels) > 5  # it kept asking
    stage.assert_charged(VICTIM_USD)

    # A thief that comes again inherits the eviction and kills nobody else.
    stage.broker.on_cancel = "ends"
    assert stage.steal().ending is Ending.OPEN
    assert len(stage.desk.steals()) == 1
    stage.assert_charged(THIEF_USD)


def test_a_broker_that_is_down_during_a_steal_is_waited_for_and_then_given_up(
    stage: Stage,
) -> None:
    victim = stage.rest("MSFT")
    stage.desk.market("AAPL")
    real_asset = stage.broker.asset("AAPL")
    stage.broker.asset = lambda symbol: real_asset  # type: ignore[method-assign]
    stage.broker.is_down = True

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "late")
    assert stage.desk.now(victim).state is State.EVICTING
    stage.assert_charged(VICTIM_USD)


@pytest.mark.parametrize(
    ("limit", "market_open", "tradable", "code", "word"),
    [
        (100.001, True, True, "price_tick", "nearest allowed: 100 and 100.01"),
        (100, False, True, "market_closed", "closed"),
        (100, True, False, "not_tradable", "not tradable"),
    ],
)
def test_an_order_the_broker_would_refuse_reserves_nothing_and_kills_no_victim(
    stage: Stage, limit: float, market_open: bool, tradable: bool, code: str, word: str
) -> None:
    victim = stage.rest("MSFT")
    stage.broker.tradable = tradable
    before = stage.desk.everything()
    stage.desk.market("AAPL", limit=limit)

    intent = OrderIntent("AAPL", "buy", 100, limit, "maxdiff", 10)
    result = stage.entries.open(intent, market_open=market_open)

    assert (result.ending, result.reason) == (Ending.REFUSED, code)
    assert word in result.detail
    assert stage.desk.now(victim).state is State.OPEN
    after = stage.desk.everything()
    keys = stage.desk.keys
    looked_at = {keys.quotes, keys.of("asset", "AAPL")}
    assert {k: v for k, v in after.items() if k not in looked_at} == {
        k: v for k, v in before.items() if k not in looked_at
    }


def test_an_asset_that_cannot_be_read_reserves_nothing(stage: Stage) -> None:
    stage.broker.is_down = True

    with pytest.raises(BrokerUnavailable):
        stage.steal()

    stage.assert_charged(0)
    assert stage.coordinator.claim_ids() == []


def test_a_denied_attempt_holds_nothing(stage: Stage) -> None:
    stage.rest("MSFT", pnl=50.0)

    result = stage.steal(pnl=10.0)

    assert (result.ending, result.reason) == (Ending.DENIED, "pnl_not_better")
    assert stage.broker.cancels == []
    stage.assert_charged(VICTIM_USD)


def test_halted_while_victims_end_gives_the_reservation_back(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"

    def halt() -> None:
        stage.coordinator.halt("the operator says stop", "tester")
        stage.broker.on_cancel = "ends"
        stage.broker.cancel(f"id-{victim.id}")

    stage.meanwhile = halt

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "halted")
    assert stage.broker.posted == [victim.id]
    stage.assert_nothing_left()


def test_a_claim_swept_during_the_wait_posts_nothing(stage: Stage) -> None:
    victim = stage.rest("MSFT")
    stage.broker.on_cancel = "nothing"

    def swept() -> None:
        thief = stage.claim_of("AAPL")
        assert thief
        stage.desk.pass_deadline(thief)
        assert stage.coordinator.abort_overdue(thief.id)

    stage.meanwhile = swept

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.DENIED, "gone")
    assert stage.broker.posted == [victim.id]
    assert stage.desk.now(victim).heir == ""
    assert stage.desk.charged() == Decimal(VICTIM_USD)
