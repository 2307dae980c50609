"""What is looked at before anything is reserved: the asset, read once for all, and own orders."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from stealer.asset_rules import LOOKS, SEEN_SECONDS, SHARED_SECONDS, AssetRules
from stealer.broker.interface import BrokerUnavailable
from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Ending, Entries
from stealer.evidence import Asset, NewOrder, Placed, SubmitResult
from stealer.model import OrderIntent, State
from tests.entry.stage import Stage
from tests.support import unknown_asset

D = Decimal


@pytest.fixture
def reads(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Symbols whose asset was asked of the broker."""
    found: list[str] = []
    real = stage.broker.asset

    def asset(symbol: str) -> Asset:
        found.append(symbol)
        return real(symbol)

    monkeypatch.setattr(stage.broker, "asset", asset)
    return found


def rules_of_another_process(stage: Stage) -> AssetRules:
    ledger = WorkStealingCoordinator(stage.desk.client, stage.desk.settings)
    clock = stage.clock
    return AssetRules(ledger, stage.broker, sleep=clock.advance, monotonic=clock.time)


def test_a_hundred_processes_make_one_request(stage: Stage, reads: list[str]) -> None:
    fine = Asset("AAPL", False, True, True, True, D("0.1"), None, D("1e-9"), False)
    stage.coordinator.keep_asset(fine, SHARED_SECONDS)
    assert [rules_of_another_process(stage).of("AAPL") for _ in range(3)] == [fine] * 3
    stage.coordinator.forget_asset("AAPL")

    for _ in range(100):
        rules_of_another_process(stage).of("AAPL")

    assert reads == ["AAPL"]
    ttl = stage.desk.client.pttl(stage.desk.keys.of("asset", "AAPL"))
    assert 0 < ttl <= SHARED_SECONDS * 1000


def test_while_one_reads_the_others_wait_and_then_go_by_what_it_found(
    stage: Stage, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stage.coordinator, rules_of_another_process(stage)
    assert first.asset("AAPL", 5) == (None, True)
    kept = replace(stage.broker.asset("AAPL"), fractionable=False)
    reads.clear()

    def meanwhile(seconds: float) -> None:
        first.keep_asset(kept, SHARED_SECONDS)

    monkeypatch.setattr(second, "_sleep", meanwhile)

    assert second.of("AAPL") == kept
    assert reads == []


def test_a_reader_that_died_is_not_waited_for_for_ever(stage: Stage, reads: list[str]) -> None:
    assert stage.coordinator.asset("AAPL", 5) == (None, True)
    before = stage.clock.time()

    rules_of_another_process(stage).of("AAPL")

    assert reads == ["AAPL"]
    assert stage.clock.time() - before == pytest.approx(LOOKS * 0.2)


def test_a_process_looks_again_after_a_while_and_sees_a_new_reading(
    stage: Stage, reads: list[str]
) -> None:
    rules = rules_of_another_process(stage)
    before = rules.of("AAPL")
    halted = replace(before, tradable=False)
    stage.coordinator.keep_asset(halted, SHARED_SECONDS)

    assert rules.of("AAPL") == before
    stage.clock.advance(SEEN_SECONDS)

    assert rules.of("AAPL") == halted
    assert reads == ["AAPL"]


@pytest.mark.parametrize(
    "spoiled", ["", "{}", "[1]", "null", '{"symbol": "AAPL"}', "\x00", '{"price_increment": "NaN"}']
)
def test_what_somebody_spoiled_is_read_anew(stage: Stage, reads: list[str], spoiled: str) -> None:
    stage.desk.client.set(stage.desk.keys.of("asset", "AAPL"), spoiled, px=100_000)

    assert rules_of_another_process(stage).of("AAPL").symbol == "AAPL"
    assert rules_of_another_process(stage).of("AAPL").symbol == "AAPL"

    assert reads == ["AAPL"]


def test_a_broker_that_cannot_be_read_keeps_nothing(stage: Stage) -> None:
    stage.broker.is_down = True
    with pytest.raises(BrokerUnavailable):
        rules_of_another_process(stage).of("AAPL")
    stage.broker.is_down = False

    assert rules_of_another_process(stage).of("AAPL").symbol == "AAPL"


def test_a_symbol_the_broker_does_not_have_is_refused_before_anything_is_reserved(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.broker, "asset", unknown_asset)

    result = stage.open("APPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.REFUSED, "no_asset")
    assert [objection.lasting for objection in result.objections] == [True]
    assert stage.broker.posted == []
    stage.assert_nothing_left()


def test_a_refusal_that_the_rules_did_not_see_coming_makes_them_be_read_anew(
    stage: Stage, reads: list[str]
) -> None:
    stage.broker.answers = ["price_tick"]
    assert stage.open("AAPL", 1, 1_000).ending is Ending.REFUSED
    assert stage.open("AAPL", 1, 1_000).ending is Ending.OPEN
    assert reads == ["AAPL", "AAPL"]

    stage.broker.answers = ["insufficient_buying_power"] * 2  # says nothing about the asset
    stage.open("MSFT", 1, 1_000)
    stage.open("MSFT", 1, 1_000)
    assert reads.count("MSFT") == 1


@pytest.mark.parametrize(
    ("placed", "code"),
    [
        (Placed(lowest_sell=D(100)), "wash_trade"),
        (Placed(lowest_sell=D(0)), "wash_trade"),
        (Placed(lowest_sell=D(120)), "opposite_order"),
        (Placed(position=D(-50), closable=D(50)), "opposite_position"),
    ],
)
def test_no_victim_dies_for_an_order_that_would_meet_our_own(
    stage: Stage, placed: Placed, code: str
) -> None:
    victim = stage.rest("MSFT")
    stage.coordinator.publish_placed({"AAPL": placed}, 30)
    charged = stage.desk.charged()

    result = stage.steal()

    assert (result.ending, result.reason) == (Ending.REFUSED, code)
    assert stage.desk.now(victim).state is State.OPEN
    assert (stage.desk.charged(), stage.claim_of("AAPL")) == (charged, None)
    assert stage.desk.steals() == []
    assert stage.desk.counter("granted_total") == 1  # the victim's own

    stage.coordinator.publish_placed({}, 30)  # that order is over
    assert stage.steal().ending is Ending.OPEN


def test_orders_that_cannot_meet_are_no_hindrance(stage: Stage) -> None:
    placed = Placed(highest_buy=D(100), lowest_sell=D("100.01"), position=D(3), closable=D(3))
    stage.coordinator.publish_placed({"AAPL": placed}, 30)

    assert stage.open("AAPL", 1, 1_000).ending is Ending.OPEN


def test_what_an_intent_asks_for_reaches_the_broker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[NewOrder] = []
    real = stage.broker._result

    def result(order: NewOrder, answer: str) -> SubmitResult:
        sent.append(order)
        return real(order, answer)

    monkeypatch.setattr(stage.broker, "_result", result)
    for symbol, more in (
        ("AAPL", {"time_in_force": "gtc"}),
        ("MSFT", {"extended_hours": True}),
        ("BTCUSD", {"time_in_force": "ioc"}),
        ("ETHUSD", {}),
    ):
        stage.desk.market(symbol)
        intent = OrderIntent(symbol, "buy", 1, 100, **more)
        assert stage.entries.open(intent, market_open=True).ending is Ending.OPEN

    asked = [(order.time_in_force, order.extended_hours) for order in sent]
    assert asked == [("gtc", False), ("day", True), ("ioc", False), ("gtc", False)]


def test_the_accounts_own_limits_count(stage: Stage) -> None:
    settings = replace(stage.desk.settings, max_stock_order=500.0)
    ledger = WorkStealingCoordinator(stage.desk.client, settings)
    entries = Entries(ledger, stage.broker, sleep=stage.clock.advance, monotonic=stage.clock.time)
    stage.desk.market("AAPL")

    result = entries.open(OrderIntent("AAPL", "buy", 6, 100), market_open=True)

    assert (result.reason, stage.desk.charged()) == ("max_notional", 0)
