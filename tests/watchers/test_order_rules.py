"""A watcher whose order the broker would not take: it says so, and reserves nothing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.evidence import Asset, Placed
from stealer.model import InvalidIntent
from stealer.settings import Settings
from tests.coordination.desk import Desk
from tests.support import ManualClock, unknown_asset
from tests.watchers.bench import Bench
from tests.watchers.fake_broker import FakeBroker
from watchers.entry_watcher import EntryWatcher
from watchers.pause import FIRST_SECONDS
from watchers.status import Phase


def asking(watcher: EntryWatcher, **changes: Any) -> EntryWatcher:
    """*watcher* with another intent."""
    watcher.task = replace(watcher.task, intent=replace(watcher.task.intent, **changes))
    return watcher


def allow(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """The broker says this of every symbol from now on."""
    kind = type(broker)
    plain = kind.asset
    monkeypatch.setattr(broker, "asset", lambda s: replace(plain(broker, s), **changes))


def nothing_reserved(bench: Bench) -> None:
    assert bench.broker.posts == 0
    assert bench.desk.coordinator.claim_ids() == []
    assert bench.desk.charged() == 0
    assert bench.desk.client.hgetall(bench.desk.keys.decisions) == {}


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({"limit_price": "100.001"}, "price_tick", "nearest allowed: 100 and 100.01"),
        ({"qty": "0.001"}, "min_notional", "below the least, 1"),
        ({"qty": "1.0000000001"}, "quantity", "nearest allowed: 1 and 1.000000001"),
    ],
)
def test_an_order_that_can_never_be_placed_ends_it_before_its_price_comes(
    bench: Bench, changes: dict[str, str], code: str, part: str
) -> None:
    other = bench.open("MSFT", qty=10)
    posts = bench.broker.posts
    bench.desk.market("AAPL", away=0.02)
    asked = {"qty": "10", "limit_price": "100"} | changes
    watcher = bench.watcher("AAPL", qty=asked["qty"], limit=asked["limit_price"])  # type: ignore[arg-type]

    ended = watcher.step()

    assert ended is Phase.IMPOSSIBLE
    assert watcher.status.reason == code
    assert part in watcher.status.detail
    assert bench.broker.posts == posts
    assert bench.desk.coordinator.claim_ids() == [other.claim.id if other.claim else ""]
    assert "AAPL|buy|maxdiff" not in bench.desk.client.hgetall(bench.desk.keys.decisions)


def test_even_without_a_session_it_is_said(bench: Bench) -> None:
    bench.desk.client.hdel(bench.desk.keys.ledger, "session")

    assert bench.watcher("AAPL", limit=100.001).step() is Phase.IMPOSSIBLE


def no_asset(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "asset", unknown_asset)


def test_a_symbol_the_broker_does_not_have_ends_it_with_a_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_asset(bench.broker, monkeypatch)
    bench.desk.market("APPL")
    watcher = bench.watcher("APPL")

    assert watcher.step() is Phase.IMPOSSIBLE

    assert watcher.status.reason == "no_asset"
    assert "APPL is no asset of the broker" in watcher.status.detail
    nothing_reserved(bench)


def test_a_broker_that_cannot_say_whether_it_has_the_symbol_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_404(symbol: str) -> Asset:
        raise BrokerUnavailable(f"read asset {symbol}: 404; is the address right?")

    monkeypatch.setattr(bench.broker, "asset", another_404)
    bench.desk.market("AAPL")
    watcher = bench.watcher("AAPL")

    assert watcher.step() is None
    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "broker")


def test_its_last_words_stay_for_operators(bench: Bench) -> None:
    watcher = bench.watcher("AAPL", limit=100.001)

    watcher.step()

    (said,) = bench.desk.client.hvals(bench.desk.keys.watchers)
    assert '"phase": "impossible"' in said
    assert "nearest allowed" in said
    assert bench.desk.coordinator.standing("AAPL", "maxdiff").pnl is None  # its forecast is gone


def test_what_may_pass_blocks_it_is_said_once_and_passes(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    manual_clock: ManualClock,
) -> None:
    allow(bench.broker, monkeypatch, tradable=False)
    bench.desk.market("AAPL")
    watcher = bench.watcher("AAPL")

    with caplog.at_level(logging.INFO):
        for _ in range(5):
            assert watcher.step() is None

    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "not_tradable")
    assert caplog.text.count("not tradable at the broker now") == 1
    nothing_reserved(bench)

    allow(bench.broker, monkeypatch, tradable=True)
    bench.desk.coordinator.forget_asset("AAPL")  # as when it expires
    manual_clock.advance(61)
    watcher.step()
    assert watcher.status.phase is Phase.OPEN


def test_rules_that_change_while_it_waits_end_it(bench: Bench, manual_clock: ManualClock) -> None:
    bench.desk.market("AAPL", away=0.02)
    watcher = bench.watcher("AAPL", qty=1.5)
    assert watcher.step() is None
    whole = Asset("AAPL", False, True, False, True)

    bench.desk.coordinator.keep_asset(whole, 100)
    manual_clock.advance(61)

    assert watcher.step() is Phase.IMPOSSIBLE
    assert "nearest allowed: 1 and 2" in watcher.status.detail


def test_its_own_order_on_the_other_side_is_waited_for(bench: Bench) -> None:
    bench.desk.market("AAPL")
    bench.desk.coordinator.publish_placed({"AAPL": Placed(lowest_sell=Decimal(99))}, 30)
    watcher = bench.watcher("AAPL")

    watcher.step()
    assert (watcher.status.phase, watcher.status.reason) == (Phase.BLOCKED, "wash_trade")
    nothing_reserved(bench)

    bench.desk.coordinator.publish_placed({}, 30)
    watcher.step()
    assert watcher.status.phase is Phase.OPEN


def test_an_ioc_order_is_sent_at_its_limit_only_and_not_at_every_step(bench: Bench) -> None:
    bench.desk.market("BTC/USD", away=0.002)
    watcher = asking(bench.watcher("BTC/USD", qty=1, force=True), time_in_force="ioc")
    watcher.step()
    assert (watcher.status.phase, bench.broker.posts) == (Phase.WAITING_FOR_PRICE, 0)

    bench.desk.market("BTC/USD")
    watcher.step()
    assert bench.broker.posts == 1
    order = bench.broker.end("canceled")  # it came too late
    bench.desk.coordinator.close(order.client_order_id, order)
    for _ in range(5):
        watcher.step()
    assert bench.broker.posts == 1
    bench.clock.advance(FIRST_SECONDS + 1)
    watcher.step()
    assert bench.broker.posts == 2


@pytest.mark.parametrize(
    ("new_york", "opens"),
    [("08:00", True), ("03:59", False), ("19:59", True), ("20:00", False), ("12:00", True)],
)
def test_in_extended_hours_a_stock_enters_only_if_asked_for_them(
    desk: Desk, manual_clock: ManualClock, new_york: str, opens: bool
) -> None:
    clock = f"2024-01-05T{new_york}:00-05:00@{time.time()}*0.000001"
    settings = Settings(market_clock=clock, crypto_fee_pct=0.0)
    desk = Desk(desk.client, settings)
    bench = Bench(desk, FakeBroker(), manual_clock)
    desk.out_of_hours()
    desk.market("AAPL")

    plain = bench.watcher("AAPL")
    plain.step()
    assert (plain.status.phase, plain.status.reason) == (Phase.BLOCKED, "market_closed")
    nothing_reserved(bench)
    early = asking(bench.watcher("AAPL"), extended_hours=True)
    early.step()

    assert (early.status.phase is Phase.OPEN) is opens
    if not opens:
        assert early.status.reason == "market_closed"


@pytest.mark.parametrize(
    ("symbol", "changes", "part"),
    [
        ("BTC/USD", {"time_in_force": "day"}, "crypto takes gtc or ioc"),
        ("AAPL", {"time_in_force": "ioc"}, "stocks are sent as day or gtc only here"),
        ("BTC/USD", {"extended_hours": True}, "at all hours"),
        ("AAPL", {"extended_hours": True, "time_in_force": "gtc"}, "only with time in force day"),
    ],
)
def test_what_its_class_never_has_is_refused_when_it_is_made(
    bench: Bench, symbol: str, changes: dict[str, Any], part: str
) -> None:
    good = asking(bench.watcher(symbol), **changes)

    with pytest.raises(InvalidIntent, match=part):
        EntryWatcher(good.task, good.coordinator, good.entries)
