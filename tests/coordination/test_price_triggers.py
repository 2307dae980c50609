"""await_price and quotes: a watcher is woken by the quote it waits for, and by no other."""

from __future__ import annotations

import pytest
import redis

from tests.coordination.desk import Desk


def woken(desk: Desk, slot: str) -> bool:
    return bool(desk.client.lpop(desk.keys.of("wake", slot)))


def quote(desk: Desk, symbol: str, bid: str, ask: str) -> None:
    desk.coordinator.publish_quote(symbol, bid, ask)


@pytest.mark.parametrize(
    ("side", "price", "near", "there"),
    [
        ("buy", 100.5, ("100.4", "100.51"), ("100.4", "100.5")),
        ("sell", 99.5, ("99.49", "99.6"), ("99.5", "99.6")),
    ],
)
def test_the_quote_that_reaches_the_price_wakes_the_slot_once(
    desk: Desk, side: str, price: float, near: tuple[str, str], there: tuple[str, str]
) -> None:
    slot = f"AAPL|{side}|maxdiff"
    quote(desk, "AAPL", *near)
    assert not desk.coordinator.await_price("AAPL", side, "maxdiff", price)
    quote(desk, "AAPL", *near)
    quote(desk, "MSFT", *there)
    assert not woken(desk, slot)
    quote(desk, "AAPL", *there)
    assert woken(desk, slot)
    quote(desk, "AAPL", *there)
    assert not woken(desk, slot), "whoever still waits says so again"


def test_a_price_that_is_there_already_is_not_waited_for(desk: Desk) -> None:
    quote(desk, "AAPL", "99.9", "100")
    assert desk.coordinator.await_price("AAPL", "buy", "maxdiff", 100.0)
    quote(desk, "AAPL", "99.9", "100")
    assert not woken(desk, "AAPL|buy|maxdiff")


def test_a_stale_quote_is_no_price_that_is_there(desk: Desk) -> None:
    quote(desk, "AAPL", "99.9", "100")
    desk.age_quote("AAPL", 3600)
    assert not desk.coordinator.await_price("AAPL", "buy", "maxdiff", 100.0)


def test_only_those_whose_price_is_reached_are_woken(desk: Desk) -> None:
    for number, price in enumerate((100.0, 101.0, 102.0)):
        desk.coordinator.await_price("AAPL", "buy", f"s{number}", price)
    quote(desk, "AAPL", "100.9", "101")
    assert [woken(desk, f"AAPL|buy|s{number}") for number in range(3)] == [False, True, True]


def test_who_waits_no_more_is_not_woken(desk: Desk) -> None:
    desk.coordinator.await_price("AAPL", "buy", "maxdiff", 100.0)
    assert not desk.coordinator.await_price("AAPL", "buy", "maxdiff", None)
    quote(desk, "AAPL", "99.9", "100")
    assert not woken(desk, "AAPL|buy|maxdiff")


def test_the_price_moves_with_the_last_word(desk: Desk) -> None:
    desk.coordinator.await_price("AAPL", "buy", "maxdiff", 100.0)
    desk.coordinator.await_price("AAPL", "buy", "maxdiff", 99.0)
    quote(desk, "AAPL", "99.4", "99.5")
    assert not woken(desk, "AAPL|buy|maxdiff")


def test_a_flood_is_woken_over_several_quotes(redis_client: redis.Redis) -> None:
    desk = Desk(redis_client).open_shop()
    for number in range(300):
        desk.coordinator.await_price("AAPL", "buy", f"s{number}", 100.0)
    key = desk.keys.of("trigger", "AAPL", "buy")
    quote(desk, "AAPL", "99.9", "100")
    assert desk.client.zcard(key) == 300 - 256
    quote(desk, "AAPL", "99.9", "100")
    assert desk.client.zcard(key) == 0
