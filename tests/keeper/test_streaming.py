"""Streams and passes together: what is heard at once, what is still read, and who is mute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import redis

from stealer.broker.interface import BrokerMisconfigured
from stealer.broker.streams import CRYPTO, STOCKS, TRADES, StreamState
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import LedgerUnavailable
from stealer.evidence import BrokerOrder, Quote
from stealer.keeper.keeper import Keeper
from stealer.keeper.streaming import Streaming
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

#: Staleness less the positions' lag and what is spare: 15 - 2 - 2.
CALM = 11.0


class FakeStreams:
    """Streams that a test connects, drops, and speaks through."""

    def __init__(self, clock: ManualClock, handlers: tuple[Callable[..., object], ...]) -> None:
        self._clock = clock
        self.quotes, self.order, self.connected = handlers
        self.wanted: set[str] = set()
        self.now: dict[str, StreamState] = {}
        self.restarted: list[str] = []
        self.stopped = False

    def connect(self, *names: str) -> None:
        for name in names or (TRADES, CRYPTO, STOCKS):
            self.now[name] = StreamState(self._clock.time(), None, 1)
            self.connected(name)

    def drop(self, name: str) -> None:
        self.now[name] = StreamState(None, None, 1)

    def want(self, symbols: Iterable[str]) -> None:
        self.wanted = set(symbols)

    def states(self) -> dict[str, StreamState]:
        return self.now

    def restart(self, name: str) -> None:
        self.restarted.append(name)

    def stop(self) -> None:
        self.stopped = True


class CountingBroker(AccountBroker):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def _read(self, what: str) -> None:
        self.reads.append(what)
        super()._read(what)


class Stage:
    """A keeper with streams, whose passes and broker a test counts."""

    def __init__(self, desk: Desk, broker: CountingBroker, clock: ManualClock) -> None:
        self.desk, self.broker, self.clock = desk, broker, clock
        self.opened: list[FakeStreams] = []
        self.keeper = Keeper(
            WorkStealingCoordinator(desk.client, desk.settings, owner="keeper-a"),
            broker,
            lease_seconds=3000,
            sleep=lambda _: None,
            pause=lambda _: None,
            monotonic=clock.time,
            open_streams=self._open,
        )

    def _open(self, *handlers: Callable[..., object]) -> FakeStreams:
        self.opened.append(FakeStreams(self.clock, handlers))
        return self.opened[-1]

    @property
    def streams(self) -> FakeStreams:
        return self.opened[-1]

    def passes(self, seconds: float = 0.0) -> int:
        """Let time go by, make a pass; how often the account was read in it."""
        self.clock.advance(seconds)
        before = self.broker.reads.count("account")
        assert self.keeper.run_once()
        return self.broker.reads.count("account") - before


@pytest.fixture
def broker() -> CountingBroker:
    return CountingBroker()


@pytest.fixture
def stage(desk: Desk, broker: CountingBroker, manual_clock: ManualClock) -> Stage:
    stage = Stage(desk, broker, manual_clock)
    stage.passes()
    stage.streams.connect()
    assert stage.passes() == 1, "a snapshot follows every connect"
    return stage


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


# ---- quotes


@pytest.fixture
def watching(stage: Stage) -> Stage:
    stage.desk.coordinator.watch(["AAPL", "BTCUSD"], 10_000)
    stage.broker.market = {"AAPL": Decimal(7), "BTCUSD": Decimal(8)}
    stage.passes()
    assert stage.streams.wanted == {"AAPL", "BTCUSD"}
    stage.broker.quote_calls.clear()
    return stage


def hear(stage: Stage, *symbols: str, at: float = 4e9) -> None:
    stage.streams.quotes([Quote(s, Decimal(100), Decimal(101), at) for s in symbols])


def test_quotes_that_are_heard_are_published_at_once_and_not_read(watching: Stage) -> None:
    hear(watching, "AAPL", "BTCUSD")
    assert watching.desk.coordinator.standing("AAPL", "maxdiff").ask == 101
    for _ in range(3):
        watching.passes(2.0)
    assert watching.broker.quote_calls == []


def test_a_symbol_that_is_not_heard_of_is_read_less_and_less_often(watching: Stage) -> None:
    for _ in range(90):
        hear(watching, "BTCUSD")
        watching.passes(2.0)
    assert 3 <= len(watching.broker.quote_calls) <= 6, "after 7.5, 15, 30, 60 seconds"
    assert all(call == ["AAPL"] for call in watching.broker.quote_calls)
    hear(watching, "AAPL")
    watching.broker.quote_calls.clear()
    watching.passes(8.0)
    assert "AAPL" in watching.broker.quote_calls[0], "what was heard again is soon missed again"


def test_quiet_symbols_are_read_together_however_many_they_are(stage: Stage) -> None:
    """One request reads many symbols: growing quiet at different moments, they cost no more."""
    coins = [f"{letter}USD" for letter in "ABCDEFGHIJKL"]
    stage.desk.coordinator.watch(coins, 10_000)
    stage.broker.market = {coin: Decimal(8) for coin in coins}
    for quiet in range(len(coins)):
        for _ in range(3):
            if coins[quiet:]:
                hear(stage, *coins[quiet:])
            stage.passes(2.0)
    for _ in range(60):
        stage.passes(2.0)
    stage.broker.quote_calls.clear()
    for _ in range(150):
        stage.passes(2.0)
    asked = stage.broker.quote_calls
    assert 4 <= len(asked) <= 6, "once a minute for five minutes"
    assert all(call == coins for call in asked)


def test_without_its_stream_a_kind_is_read_at_every_pass(watching: Stage) -> None:
    hear(watching, "AAPL", "BTCUSD")
    watching.streams.drop(STOCKS)
    watching.clock.advance(8)
    hear(watching, "BTCUSD")
    watching.passes()
    watching.passes()
    assert watching.broker.quote_calls == [["AAPL"], ["AAPL"]]


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


def test_a_mute_stream_of_a_symbol_that_is_always_fresh_is_replaced(watching: Stage) -> None:
    """What is quoted many times a second is never older than a moment when it is polled."""
    now = watching.desk.settings.clock.now().timestamp
    hear(watching, "AAPL", "BTCUSD", at=now())
    for second in range(1, 31):
        hear(watching, "AAPL", at=now())
        watching.broker.quoted_at = now() + second
        watching.passes(1.0)
    assert CRYPTO in watching.streams.restarted
    assert STOCKS not in watching.streams.restarted


def test_a_symbol_that_its_stream_never_tells_has_it_replaced_ever_more_seldom(
    watching: Stage,
) -> None:
    now = watching.desk.settings.clock.now().timestamp
    for second in range(0, 1200, 5):
        hear(watching, "BTCUSD", at=now() + second)
        watching.broker.quoted_at = now() + second
        watching.passes(5.0)
    assert 2 <= watching.streams.restarted.count(STOCKS) <= 6
    assert CRYPTO not in watching.streams.restarted


def test_a_polled_quote_does_not_undo_a_newer_one_that_was_heard(watching: Stage) -> None:
    now = watching.desk.settings.clock.now().timestamp()
    read = watching.broker.quotes

    def slowly(symbols: Iterable[str]) -> dict[str, Quote]:
        found = read(symbols)
        hear(watching, "AAPL", at=now)
        return found

    watching.clock.advance(100)
    watching.broker.quoted_at = now - 1
    watching.broker.quotes = slowly  # type: ignore[method-assign]
    watching.passes()
    assert watching.broker.quote_calls
    assert watching.desk.coordinator.standing("AAPL", "maxdiff").ask == 101


@pytest.mark.parametrize(("newer", "kinds"), [(0.0, []), (10.0, [STOCKS])])
def test_a_quote_that_only_polling_finds_replaces_its_stream(
    watching: Stage, newer: float, kinds: list[str]
) -> None:
    at = watching.desk.settings.clock.now().timestamp() - 60
    hear(watching, "AAPL", at=at)
    watching.clock.advance(60)
    watching.broker.quoted_at = at + newer
    watching.passes()
    watching.passes(4.0)
    assert watching.streams.restarted == kinds


def test_an_order_that_nobody_knows_changes_nothing(stage: Stage) -> None:
    claim = stage.desk.open("AAPL", usd=1_000)
    known: BrokerOrder = stage.broker.match(claim)
    before = stage.desk.everything()
    stage.streams.order("canceled", replace(known, client_order_id="mx_paper_unknown"))
    stage.streams.order("new", replace(known, client_order_id="mx_paper_unknown"))
    assert stage.desk.everything() == before


def test_polling_alone_reads_everything_at_every_pass(
    keeper: Keeper, broker: CountingBroker, redis_client: redis.Redis
) -> None:
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
