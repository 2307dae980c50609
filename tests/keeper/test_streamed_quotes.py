"""Quotes: what streams tell is not read, what they do not tell is, together and ever less often."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest

from stealer.broker.interface import BrokerUnavailable
from stealer.broker.streams import CRYPTO, STOCKS
from stealer.evidence import Quote
from tests.keeper.streams_stage import Stage


@pytest.fixture
def watching(stage: Stage) -> Stage:
    stage.desk.coordinator.watch(["AAPL", "BTCUSD"], 10_000)
    stage.broker.market = {"AAPL": Decimal(7), "BTCUSD": Decimal(8)}
    stage.passes()
    assert stage.streams.wanted == {"AAPL", "BTCUSD"}
    stage.broker.quote_calls.clear()
    return stage


def test_quotes_that_are_heard_are_published_at_once_and_not_read(watching: Stage) -> None:
    watching.hear("AAPL", "BTCUSD")
    assert watching.desk.coordinator.standing("AAPL", "maxdiff").ask == 101
    for _ in range(3):
        watching.passes(2.0)
    assert watching.broker.quote_calls == []


def test_a_symbol_that_is_not_heard_of_is_read_less_and_less_often(watching: Stage) -> None:
    for _ in range(90):
        watching.hear("BTCUSD")
        watching.passes(2.0)
    assert 3 <= len(watching.broker.quote_calls) <= 6, "after 7.5, 15, 30, 60 seconds"
    assert all(call == ["AAPL"] for call in watching.broker.quote_calls)
    watching.hear("AAPL")
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
                stage.hear(*coins[quiet:])
            stage.passes(2.0)
    for _ in range(60):
        stage.passes(2.0)
    stage.broker.quote_calls.clear()
    for _ in range(150):
        stage.passes(2.0)
    asked = stage.broker.quote_calls
    assert 4 <= len(asked) <= 6, "once a minute for five minutes"
    assert all(call == coins for call in asked)


def test_symbols_that_speak_now_and_then_are_read_with_a_pause_between(stage: Stage) -> None:
    """Each falls quiet at its own moment; a request for each would eat the API budget."""
    coins = [f"{letter}USD" for letter in "ABCDEFGHIJKL"]
    stage.desk.coordinator.watch(coins, 10_000)
    stage.broker.market = {coin: Decimal(8) for coin in coins}
    stage.passes()
    stage.broker.quote_calls.clear()
    silent: dict[str, int] = dict.fromkeys(coins, 0)
    for second in range(240):
        for number, coin in enumerate(coins):
            silent[coin] += 1
            if second % 20 == number * 7 % 20:
                stage.hear(coin)
                silent[coin] = 0
        read = len(stage.broker.quote_calls)
        stage.passes(1.0)
        for call in stage.broker.quote_calls[read:]:
            silent.update(dict.fromkeys(call, 0))
        assert max(silent.values()) < stage.desk.settings.quote_stale_seconds
    assert len(stage.broker.quote_calls) <= 4 * 16


def test_a_symbol_that_is_new_is_read_at_once(watching: Stage) -> None:
    watching.passes(8.0)
    assert watching.broker.quote_calls
    watching.broker.quote_calls.clear()
    watching.desk.coordinator.watch(["MSFT"], 10_000)
    watching.broker.market["MSFT"] = Decimal(9)
    watching.passes(0.5)
    assert "MSFT" in watching.broker.quote_calls[0]


def test_quotes_that_could_not_be_read_keep_their_turn(watching: Stage) -> None:
    for _ in range(40):
        watching.passes(2.0)  # by now they are read once a minute
    watching.broker.quote_calls.clear()
    watching.broker.fails = {"quotes"}
    watching.passes(60.0)
    assert watching.broker.quote_calls == [], "the broker is away"
    watching.broker.fails = set()
    watching.passes(4.0)
    assert [set(call) for call in watching.broker.quote_calls] == [{"AAPL", "BTCUSD"}]


def test_new_symbols_that_cannot_be_read_are_asked_for_with_the_pause_of_their_kind(
    watching: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def refused(symbols: Iterable[str]) -> dict[str, Quote]:
        asked.append(sorted(symbols))
        raise BrokerUnavailable("the test's will")

    watching.passes(60.0)
    watching.desk.coordinator.watch(["MSFT"], 10_000)
    monkeypatch.setattr(watching.broker, "quotes", refused)
    for _ in range(60):
        watching.passes(0.5)
    assert 2 <= sum("MSFT" in symbols for symbols in asked) <= 9, "in half a minute"


def test_without_its_stream_a_kind_is_read_at_every_pass(watching: Stage) -> None:
    watching.hear("AAPL", "BTCUSD")
    watching.streams.drop(STOCKS)
    watching.clock.advance(8)
    watching.hear("BTCUSD")
    watching.passes()
    watching.passes()
    assert watching.broker.quote_calls == [["AAPL"], ["AAPL"]]


# ---- connected and mute


def test_a_mute_stream_of_a_symbol_that_is_always_fresh_is_replaced(watching: Stage) -> None:
    """What is quoted many times a second is never older than a moment when it is polled."""
    now = watching.desk.settings.clock.now().timestamp
    watching.hear("AAPL", "BTCUSD", at=now())
    for second in range(1, 31):
        watching.hear("AAPL", at=now())
        watching.broker.quoted_at = now() + second
        watching.passes(1.0)
    assert CRYPTO in watching.streams.restarted
    assert STOCKS not in watching.streams.restarted


def test_a_symbol_that_its_stream_never_tells_has_it_replaced_ever_more_seldom(
    watching: Stage,
) -> None:
    now = watching.desk.settings.clock.now().timestamp
    for second in range(0, 1200, 5):
        watching.hear("BTCUSD", at=now() + second)
        watching.broker.quoted_at = now() + second
        watching.passes(5.0)
    assert 2 <= watching.streams.restarted.count(STOCKS) <= 6
    assert CRYPTO not in watching.streams.restarted


def test_a_polled_quote_does_not_undo_a_newer_one_that_was_heard(watching: Stage) -> None:
    now = watching.desk.settings.clock.now().timestamp()
    read = watching.broker.quotes

    def slowly(symbols: Iterable[str]) -> dict[str, Quote]:
        found = read(symbols)
        watching.hear("AAPL", at=now)
        return found

    watching.clock.advance(100)
    watching.broker.quoted_at = now - 1
    watching.broker.quotes = slowly  # type: ignore[method-assign]
    watching.passes()
    assert watching.broker.quote_calls
    assert watching.desk.coordinator.standing("AAPL", "maxdiff").ask == 101


def test_a_symbol_that_is_heard_while_it_is_read_is_read_again_once_it_falls_silent(
    watching: Stage,
) -> None:
    read, now = watching.broker.quotes, watching.desk.settings.clock.now().timestamp
    watching.hear("BTCUSD", at=now())
    watching.clock.advance(100)
    watching.broker.quoted_at = now()
    for _ in range(10):  # read ever more seldom
        watching.passes(60.0)

    def slowly(symbols: Iterable[str]) -> dict[str, Quote]:
        watching.hear("AAPL", at=now())
        return read(symbols)

    watching.broker.quotes = slowly  # type: ignore[method-assign]
    watching.passes(60.0)
    watching.broker.quotes = read  # type: ignore[method-assign]
    asked = len(watching.broker.quote_calls)
    for _ in range(6):
        watching.passes(2.0)

    assert any("AAPL" in call for call in watching.broker.quote_calls[asked:])


@pytest.mark.parametrize(("newer", "kinds"), [(0.0, []), (10.0, [STOCKS])])
def test_a_quote_that_only_polling_finds_replaces_its_stream(
    watching: Stage, newer: float, kinds: list[str]
) -> None:
    at = watching.desk.settings.clock.now().timestamp() - 60
    watching.hear("AAPL", at=at)
    watching.clock.advance(60)
    watching.broker.quoted_at = at + newer
    watching.passes()
    watching.passes(4.0)
    assert watching.streams.restarted == kinds


def unwatch(stage: Stage, symbol: str) -> None:
    """The time until which somebody wanted its quote has passed."""
    assert stage.desk.client.zrem(stage.desk.keys.watched, symbol)


def test_a_symbol_that_is_wanted_again_is_not_missed_for_the_time_between(watching: Stage) -> None:
    """Nobody listened meanwhile: that the market moved on says nothing about the stream."""
    at = watching.desk.settings.clock.now().timestamp() - 60
    watching.hear("AAPL", at=at)
    unwatch(watching, "AAPL")
    watching.passes(60.0)
    assert watching.streams.wanted == {"BTCUSD"}

    watching.broker.quoted_at = at + 10
    watching.desk.coordinator.watch(["AAPL"], 10_000)
    watching.passes()
    assert "AAPL" in watching.broker.quote_calls[-1]
    watching.passes(4.0)

    assert watching.streams.restarted == []


def test_a_quote_that_was_not_told_is_no_sign_once_nobody_wants_it(watching: Stage) -> None:
    at = watching.desk.settings.clock.now().timestamp() - 60
    watching.hear("AAPL", at=at)
    watching.clock.advance(60)
    watching.broker.quoted_at = at + 10
    watching.passes()
    unwatch(watching, "AAPL")
    watching.passes(4.0)
    assert watching.streams.restarted == []
