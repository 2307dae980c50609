"""Quotes and sessions at the market's speed, and passes in which something fails."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stealer.errors import LedgerUnavailable
from stealer.keeper.feeds import Feeds
from stealer.keeper.keeper import Keeper
from stealer.sessions import MarketClock
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

SPEED = 600.0
BEFORE_CLOSE = datetime(2024, 1, 5, 20, 59, tzinfo=UTC)


def fast(desk: Desk, broker: AccountBroker, clock: ManualClock) -> Feeds:
    """Feeds of a market that runs 600 times as fast, a minute before it closes."""
    market = MarketClock.starting(BEFORE_CLOSE, SPEED, clock.time)
    return Feeds(desk.coordinator, broker, market)


@pytest.mark.parametrize(("market_seconds", "fresh"), [(600 * 14, True), (600 * 16, False)])
def test_a_quotes_age_is_market_time_and_its_staleness_real_time(
    desk: Desk,
    broker: AccountBroker,
    manual_clock: ManualClock,
    market_seconds: float,
    fresh: bool,
) -> None:
    assert desk.settings.quote_stale_seconds == 15
    desk.coordinator.watch(["AAPL"], 60)
    broker.market["AAPL"] = Decimal(100)
    broker.quoted_at = BEFORE_CLOSE.timestamp() - market_seconds

    fast(desk, broker, manual_clock).publish_quotes([])

    decision = desk.acquire("AAPL", away=None)
    assert decision.reason == ("" if fresh else "stale_quote")


def test_a_quote_from_the_future_is_of_now(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    desk.coordinator.watch(["AAPL"], 60)
    broker.market["AAPL"] = Decimal(100)
    broker.quoted_at = BEFORE_CLOSE.timestamp() + 10_000_000

    fast(desk, broker, manual_clock).publish_quotes([])
    at = int(str(desk.client.hget(desk.keys.quotes, "AAPL")).split()[2])

    assert at <= desk.coordinator.now_ms()


def test_quotes_are_read_in_one_request_for_claims_and_watchers(
    desk: Desk, keeper: Keeper, broker: AccountBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.match(desk.open("MSFT", usd=1_000))
    desk.coordinator.watch(["BTC/USD", "AAPL"], 60)
    broker.market = {"AAPL": Decimal(7), "BTCUSD": Decimal(8)}

    keeper.run_once()
    keeper.run_once()

    assert broker.quote_calls == [["AAPL", "BTCUSD", "MSFT"]] * 2
    assert desk.coordinator.standing("AAPL", "maxdiff").ask == 7
    assert caplog.text.count("no quote for MSFT") == 1


def test_nothing_in_use_asks_for_nothing(keeper: Keeper, broker: AccountBroker) -> None:
    keeper.run_once()

    assert broker.quote_calls == []


def test_the_session_and_the_real_seconds_until_it_flips(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    feeds = fast(desk, broker, manual_clock)

    feeds.publish_session(0)
    until = int(desk.client.hget(desk.keys.ledger, "session_until"))
    assert desk.coordinator.standing("AAPL", "maxdiff").session_open
    assert 0 < until - desk.coordinator.now_ms() <= 100  # a market minute at this speed

    manual_clock.advance(0.11)
    feeds.publish_session(0)
    assert desk.coordinator.standing("AAPL", "maxdiff").session_open is False


def test_the_session_flips_by_itself_between_two_passes(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    fast(desk, broker, manual_clock).publish_session(0)
    end = int(desk.client.hget(desk.keys.ledger, "session_until"))
    while desk.coordinator.now_ms() <= end:
        pass

    assert desk.coordinator.standing("AAPL", "maxdiff").session_open is False


# ---- passes in which something fails


@pytest.mark.parametrize("broken", ["orders", "positions", "account", "quotes"])
def test_one_failing_part_is_said_once_and_the_rest_is_done(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    caplog.set_level(logging.INFO)
    desk.coordinator.watch(["MSFT"], 60)
    broker.market = {"MSFT": Decimal(7)}
    overdue = desk.reserve("AAPL", usd=1_000)
    desk.pass_deadline(overdue)
    desk.coordinator.publish_session(False, 1)
    published = desk.figure("account_ms")
    broker.fails = {broken}

    for _ in range(3):
        assert keeper.run_once()

    assert desk.state(overdue) == "gone"
    assert desk.coordinator.standing("MSFT", "maxdiff").session_open
    if broken == "quotes":
        assert desk.figure("account_ms") > published
    else:
        assert desk.figure("account_ms") == published
        assert desk.coordinator.standing("MSFT", "maxdiff").ask == 7
    assert caplog.text.count("the test's will") == 1

    broker.fails = set()
    keeper.run_once()
    keeper.run_once()
    assert caplog.text.count("works again") == 1
    assert desk.figure("account_ms") > published


def test_an_account_that_cannot_be_measured_is_not_published(
    desk: Desk, keeper: Keeper, broker: AccountBroker, caplog: pytest.LogCaptureFixture
) -> None:
    published = desk.figure("account_ms")
    broker.put("by hand", limit_price=None, type="market")

    keeper.run_once()

    assert desk.figure("account_ms") == published
    assert "its exposure is unknown" in caplog.text


def test_a_standby_reads_nothing_from_the_broker(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    desk.client.set(desk.keys.keeper, "somebody else", px=60_000)
    broker.is_down = True

    assert keeper.run_once() is False


def test_redis_away_is_said_once_and_the_keeper_goes_on(
    keeper: Keeper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    passes = 0
    real = keeper.run_once

    def twice_away() -> bool:
        nonlocal passes
        passes += 1
        if passes <= 3:
            raise LedgerUnavailable("Redis cannot be reached")
        return real()

    monkeypatch.setattr(keeper, "run_once", twice_away)

    keeper.keep(2.0, lambda: passes >= 5)

    assert caplog.text.count("Redis cannot be reached") == 1
    assert caplog.text.count("ledger: works again") == 1
