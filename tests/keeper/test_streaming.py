"""Streams and passes together: what is heard at once, and what is still read; and who is mute."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from stealer.broker.interface import BrokerMisconfigured
from stealer.broker.streams import CRYPTO, TRADES
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import LedgerUnavailable
from stealer.evidence import BrokerOrder, Quote
from stealer.keeper.streaming import Streaming
from tests.coordination.desk import Desk
from tests.keeper.conftest import keeper_of
from tests.keeper.streams_stage import CALM, CountingBroker, FakeStreams, Stage
from tests.support import ManualClock


def test_while_the_streams_stand_the_account_is_read_a_few_times_a_minute(stage: Stage) -> None:
    reads = [stage.passes(2.0) for _ in range(30)]
    assert sum(reads) == 60 // 12, "every 11 seconds, looked at every 2"


def test_the_account_is_published_again_before_it_can_be_stale(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes are 2 seconds apart, but one begins when the account is due."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        stage.clock.advance(seconds)

    monkeypatch.setattr(stage.keeper, "_sleep", sleep)
    began = stage.clock.time()
    before = stage.broker.reads.count("account")
    stage.keeper.keep(2.0, lambda: stage.broker.reads.count("account") > before)
    settings = stage.desk.settings
    age = stage.clock.time() - pauses[-1] - began + settings.position_lag_seconds
    assert settings.account_stale_seconds - age == pytest.approx(2.0, abs=0.1)


def test_without_the_trade_updates_it_is_read_at_every_pass(stage: Stage) -> None:
    stage.streams.drop(TRADES)
    assert [stage.passes(2.0) for _ in range(3)] == [1, 1, 1]
    stage.streams.connect(TRADES)
    assert [stage.passes(2.0) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, 0),
        ({"client_order_id": "by-hand"}, 1),
        ({"filled_qty": Decimal(1), "status": "partially_filled"}, 1),
        ({"status": "replaced"}, 1),
    ],
    ids=["ours, new", "a person's", "a fill", "replaced by hand"],
)
def test_news_that_move_positions_or_are_foreign_make_the_account_due(
    stage: Stage, changes: dict[str, Any], due: int
) -> None:
    order = stage.broker.match(stage.desk.open("AAPL", usd=1_000))
    stage.streams.order("new", replace(order, **changes))
    assert stage.passes() == due


def test_a_cancel_that_is_heard_frees_its_capacity_without_a_look(stage: Stage) -> None:
    claim = stage.desk.open("AAPL", pnl=1.0, usd=20_000)
    order = stage.broker.match(claim)
    stage.desk.market("MSFT")
    thief = stage.desk.acquire("MSFT", pnl=5.0, usd=5_000)
    assert thief.victims
    stage.streams.order("canceled", replace(order, status="canceled"))
    assert stage.desk.state(claim.id) == "gone"
    assert stage.desk.client.lpop(stage.desk.keys.of("wake", "MSFT|buy|maxdiff"))
    assert stage.broker.lookups == []


def test_a_cancel_that_is_heard_and_nobody_asked_for_is_audited(stage: Stage) -> None:
    asked, unasked = (stage.desk.open(s, pnl=1.0, usd=1_000) for s in ("AAPL", "MSFT"))
    stage.desk.coordinator.evict(asked, "stop", by="owner")
    for claim in (asked, unasked):
        order = stage.broker.match(claim)
        stage.streams.order("canceled", replace(order, status="canceled"))
    told = [f for _, f in stage.desk.client.xrange(stage.desk.keys.audit) if f["what"] == "close"]
    (entry,) = told
    assert entry["claim"] == unasked.id
    assert "by a person" in entry["why"]


def test_a_confirmation_that_is_heard_opens_a_launched_claim(stage: Stage) -> None:
    claim = stage.desk.reserve("AAPL", usd=1_000)
    stage.desk.coordinator.launch(claim)
    stage.streams.order("new", stage.broker.match(claim))
    assert stage.desk.state(claim.id) == "open"


def test_a_keeper_that_no_longer_leads_believes_nothing(stage: Stage) -> None:
    claim = stage.desk.open("AAPL", usd=1_000)
    order = stage.broker.match(claim)
    stage.clock.advance(3001)
    stage.streams.order("canceled", replace(order, status="canceled"))
    stage.streams.quotes([Quote("MSFT", Decimal(1), Decimal(1), 4e9)])
    assert stage.desk.state(claim.id) == "open"
    assert stage.desk.client.hget(stage.desk.keys.quotes, "MSFT") is None


def test_streams_are_closed_when_another_keeper_leads(stage: Stage) -> None:
    stage.keeper.leadership.release()
    other = WorkStealingCoordinator(stage.desk.client, stage.desk.settings, owner="keeper-b")
    assert other.lease(100)[0]
    first = stage.streams
    assert not stage.keeper.run_once()
    assert first.stopped
    other.release_lease()
    stage.passes()
    assert len(stage.opened) == 2


def test_what_is_heard_while_redis_is_away_makes_the_account_due(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = stage.broker.match(stage.desk.open("AAPL", usd=1_000))

    def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(stage.keeper.coordinator, "confirm", away)
    stage.streams.order("new", order)
    assert stage.passes() == 1


def test_a_fill_that_is_heard_during_a_snapshot_stays_charged_until_a_later_one(
    stage: Stage,
) -> None:
    """The close comes after `begin`: neither these positions nor this publish may absorb it."""
    claim = stage.desk.open("AAPL", usd=1_000)
    stage.broker.match(claim)
    stage.clock.advance(CALM)

    def fill() -> None:
        stage.broker.after_positions = lambda: None
        stage.streams.order("fill", stage.broker.execute(claim.id))

    stage.broker.after_positions = fill
    before = stage.desk.charged("total")
    assert stage.passes() == 1
    assert (stage.desk.state(claim.id), stage.desk.charged("total")) == ("closed", before)
    assert stage.passes(0.1) == 1, "it is news, also when heard while the account was read"
    assert stage.desk.charged("total") in (before, 0)


@pytest.mark.parametrize("fails", ["orders", "positions", "account"])
def test_an_account_that_could_not_be_read_is_due_at_the_next_pass(
    stage: Stage, fails: str
) -> None:
    stage.clock.advance(CALM)
    stage.broker.fails = {fails}
    stage.passes()
    stage.broker.fails = set()
    assert stage.passes(2.0) == 1
    assert stage.passes(2.0) == 0


def test_an_account_that_was_read_and_not_published_is_due_at_the_next_pass(stage: Stage) -> None:
    stage.clock.advance(CALM)

    def overtake() -> None:
        stage.broker.after_positions = lambda: None
        assert stage.keeper.leadership.term is not None
        stage.keeper.coordinator.begin_snapshot(stage.keeper.leadership.term)

    stage.broker.after_positions = overtake
    assert [stage.passes(), stage.passes(2.0), stage.passes(2.0)] == [1, 1, 0]


def test_absent_orders_that_could_not_be_looked_up_are_looked_up_at_the_next_pass(
    stage: Stage,
) -> None:
    claim = stage.desk.open("AAPL", usd=1_000)
    stage.broker._put(replace(stage.broker.match(claim), status="canceled"))
    stage.broker.fails = {"lookup"}
    stage.passes(CALM)
    assert stage.desk.state(claim.id) == "open"
    stage.broker.fails = set()
    stage.passes(2.0)
    assert stage.desk.state(claim.id) == "gone"


def test_quotes_are_polled_when_the_streams_cannot_be_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> FakeStreams:
        raise BrokerMisconfigured("alpaca-py is built differently")

    assert isinstance(stage.keeper._streaming, Streaming)
    stage.keeper._streaming.stand_by()
    monkeypatch.setattr(stage.keeper._streaming, "_open", broken)
    stage.desk.coordinator.watch(["AAPL"], 10_000)
    stage.broker.market = {"AAPL": Decimal(7)}
    stage.passes()
    assert stage.desk.coordinator.standing("AAPL", "maxdiff").ask == 7


# ---- connected and mute


def test_an_end_that_only_polling_finds_replaces_the_trade_updates(stage: Stage) -> None:
    stage.clock.advance(60)
    claim = stage.desk.open("AAPL", usd=1_000)
    order = stage.broker.match(claim)
    stage.broker._put(replace(order, status="canceled"))
    stage.passes(CALM)
    assert stage.desk.state(claim.id) == "gone"
    stage.passes(4.0)
    assert stage.streams.restarted == [TRADES]


def test_an_end_found_just_after_connecting_is_no_sign(stage: Stage) -> None:
    order = stage.broker.match(stage.desk.open("AAPL", usd=1_000))
    stage.broker._put(replace(order, status="canceled"))
    stage.passes(CALM)
    stage.passes(4.0)
    assert stage.streams.restarted == []


def test_an_end_that_was_heard_but_not_believed_is_no_sign(stage: Stage) -> None:
    stage.clock.advance(60)
    order = stage.broker.match(stage.desk.open("AAPL", usd=1_000))
    ended = replace(order, status="canceled")
    stage.broker._put(ended)
    stage.keeper._streaming._ended.append(order.id)  # type: ignore[attr-defined]
    stage.passes(CALM)
    stage.passes(4.0)
    assert stage.streams.restarted == []


def test_an_end_that_is_on_its_way_is_no_sign(stage: Stage) -> None:
    """A look-up may be quicker than the stream by milliseconds."""
    stage.clock.advance(60)
    order = stage.broker.match(stage.desk.open("AAPL", usd=1_000))
    ended = stage.broker._put(replace(order, status="canceled"))
    stage.passes(CALM)
    stage.streams.order("canceled", ended)
    stage.passes(10.0)
    assert stage.streams.restarted == []


def test_an_order_that_nobody_knows_changes_nothing(stage: Stage) -> None:
    claim = stage.desk.open("AAPL", usd=1_000)
    known: BrokerOrder = stage.broker.match(claim)
    before = stage.desk.everything()
    stage.streams.order("canceled", replace(known, client_order_id="mx_paper_unknown"))
    stage.streams.order("new", replace(known, client_order_id="mx_paper_unknown"))
    assert stage.desk.everything() == before


def test_polling_alone_reads_everything_at_every_pass(
    desk: Desk, manual_clock: ManualClock
) -> None:
    broker = CountingBroker()
    keeper = keeper_of(desk, broker, manual_clock, "keeper-a")
    for _ in range(3):
        keeper.run_once()
    assert broker.reads.count("account") == 3


def test_everybody_can_read_how_the_streams_are(stage: Stage) -> None:
    stage.keeper.run_once()
    stage.streams.connect(TRADES, CRYPTO)
    stage.streams.drop(CRYPTO)
    stage.clock.advance(3)
    stage.keeper.run_once()

    said = stage.desk.client.hgetall(stage.desk.keys.streams)

    connected, heard, connects = said[TRADES].split(" ")
    assert stage.desk.coordinator.now_ms() - int(connected) >= 3_000
    assert (heard, connects) == ("-", "1")
    assert said[CRYPTO] == "- - 1"
    assert 0 < stage.desk.client.pttl(stage.desk.keys.streams) <= 30_000
