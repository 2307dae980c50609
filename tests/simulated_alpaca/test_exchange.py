"""The engine under a virtual clock."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stealer.simulated_alpaca.clock import parse_instant
from stealer.simulated_alpaca.errors import ApiError
from stealer.simulated_alpaca.orders import RARE, Order
from tests.simulated_alpaca.bench import SATURDAY, Bench


def refused(call: Any) -> ApiError:
    with pytest.raises(ApiError) as error:
        call()
    return error.value


def test_an_order_becomes_new_after_the_accept_latency() -> None:
    bench = Bench(accept_latency=0.5)
    order = bench.submit("ETH/USD", "buy", 1, 2100)
    bench.wait(0.4)
    assert order.status == "pending_new"
    bench.wait(0.2)
    assert order.status == "filled"
    assert bench.events() == ["pending_new", "new", "fill"]


def test_a_fill_is_at_the_better_of_limit_and_quote() -> None:
    bench = Bench()
    order = bench.submit("ETH/USD", "buy", 1, 1990)
    bench.wait(1)
    bench.move("ETH/USD", 1980)
    assert (order.status, order.filled_avg_price) == ("filled", Decimal(1980))


def test_a_buy_fills_at_the_ask_and_a_sell_at_the_bid() -> None:
    bench = Bench(spread_bps=Decimal(100))
    order = bench.submit("AAPL", "buy", 1, 200)
    bench.wait(1)
    assert order.status == "new"
    bench.move("AAPL", 199)
    assert order.filled_avg_price == Decimal("200.00")
    sale = bench.submit("AAPL", "sell", 1, 190)
    bench.wait(1)
    assert sale.filled_avg_price == Decimal("198.00")


def test_the_crypto_fee_is_taken_from_what_is_received() -> None:
    bench = Bench()
    bench.submit("ETH/USD", "buy", 10)
    bench.wait(1)
    assert bench.exchange.account.qty("ETH/USD") == Decimal("9.975")
    assert bench.exchange.account.cash == Decimal(80_000)
    bench.submit("ETH/USD", "sell", Decimal("9.975"))
    bench.wait(1)
    assert bench.exchange.account.positions == {}
    assert bench.exchange.account.cash == Decimal(80_000) + Decimal("19950") * Decimal("0.9975")


def test_a_partial_fill_continues_after_a_pause() -> None:
    bench = Bench(partial_probability=1.0, partial_pause=0.5)
    order = bench.submit("ETH/USD", "buy", 1)
    bench.wait(0.1)
    first = order.filled_qty
    assert order.status == "partially_filled"
    assert 0 < first < 1
    bench.wait(0.3)
    assert order.filled_qty == first
    bench.wait(0.3)
    assert first < order.filled_qty < 1


def test_one_fill_in_ten_is_partial() -> None:
    bench = Bench(partial_probability=0.1, cash=Decimal(10**9))
    for _ in range(500):
        bench.submit("AAPL", "buy", 100)
    bench.wait(1)
    assert 30 < bench.exchange.judge.partial_fills < 75


def test_a_cancel_takes_its_latency_and_holds_the_funds_until_released() -> None:
    bench = Bench(cancel_latency=1.0, release_latency=0.5)
    order = bench.submit("ETH/USD", "buy", 50, 1990)
    bench.exchange.cancel(bench.real, order.id)
    bench.wait(0.9)
    assert order.status == "pending_cancel"
    bench.wait(0.2)
    assert order.status == "canceled"
    error = refused(lambda: bench.submit("ETH/USD", "buy", 50, 1990))
    assert error.code == 40310000
    bench.wait(0.6)
    bench.submit("ETH/USD", "buy", 50, 1990)


def test_a_pending_cancel_can_still_fill() -> None:
    bench = Bench(cancel_latency=1.0)
    order = bench.submit("ETH/USD", "buy", 1, 1990)
    bench.wait(0.1)
    bench.exchange.cancel(bench.real, order.id)
    bench.move("ETH/USD", 1985)
    assert order.status == "filled"
    assert bench.exchange.judge.fills_during_cancel == 1
    error = refused(lambda: bench.exchange.cancel(bench.real, order.id))
    assert error.message == 'order is already in "filled" state'


def test_a_cancel_due_before_a_price_move_wins() -> None:
    bench = Bench(cancel_latency=1.0)
    order = bench.submit("ETH/USD", "buy", 1, 1990)
    bench.wait(0.1)
    bench.exchange.cancel(bench.real, order.id)
    bench.market.prices["ETH/USD"] = 1985
    bench.wait(1.5)
    assert order.status == "canceled"


def test_a_cancel_of_an_order_not_yet_new_is_taken() -> None:
    bench = Bench(accept_latency=5.0, cancel_latency=1.0)
    order = bench.submit("ETH/USD", "buy", 1, 2100)
    bench.exchange.cancel(bench.real, order.id)
    bench.wait(2)
    assert order.status == "canceled"


def test_a_stock_order_waits_for_monday_and_expires_at_the_close() -> None:
    bench = Bench(start=SATURDAY, speed=3600.0)
    order = bench.submit("AAPL", "buy", 1, 150)
    marketable = bench.submit("TSLA", "buy", 1, 101)
    bench.wait(24)
    assert (order.status, marketable.status) == ("accepted", "accepted")
    bench.wait(24)
    assert (order.status, marketable.status) == ("new", "filled")
    bench.wait(8)
    assert order.status == "expired"
    assert order.expired_at == pytest.approx(order.expires_at, abs=6)


def test_an_extended_hours_order_works_before_the_open() -> None:
    bench = Bench(start="2024-01-08T10:00:00Z")
    plain = bench.submit("AAPL", "buy", 1, 210)
    extended = bench.submit("AAPL", "buy", 1, 210, extended_hours=True)
    bench.wait(1)
    assert (plain.status, extended.status) == ("accepted", "filled")


def test_a_cancel_off_hours_can_wait_for_the_session() -> None:
    bench = Bench(start=SATURDAY, speed=3600.0, offhours_cancel_waits=True)
    order = bench.submit("AAPL", "buy", 1, 150)
    bench.exchange.cancel(bench.real, order.id)
    bench.wait(24)
    assert order.status == "pending_cancel"
    bench.wait(24)
    assert order.status == "canceled"


@pytest.mark.parametrize(
    ("tif", "limit", "status"), [("ioc", 1990, "canceled"), ("ioc", 2010, "filled")]
)
def test_ioc_fills_or_is_canceled(tif: str, limit: int, status: str) -> None:
    bench = Bench()
    order = bench.submit("ETH/USD", "buy", 1, limit, time_in_force=tif)
    bench.wait(0.1)
    assert order.status == status


def test_margin_weighs_stocks_by_half_and_crypto_in_full() -> None:
    bench = Bench()
    bench.submit("AAPL", "buy", 100)
    bench.submit("BTC/USD", "buy", 1)
    bench.wait(1)
    bench.submit("TSLA", "buy", 100, 90)
    bench.submit("ETH/USD", "buy", 5, 1000)
    figures = bench.exchange.figures()
    btc = Decimal("0.9975") * 50_000
    assert figures.cash == 30_000
    assert figures.equity == 30_000 + 20_000 + btc
    assert figures.initial_margin == 10_000 + btc + 4_500 + 5_000
    assert figures.buying_power == 2 * (figures.equity - figures.initial_margin)
    assert figures.non_marginable == 25_000


def test_an_account_under_two_thousand_has_no_margin() -> None:
    bench = Bench(cash=Decimal(1500))
    assert bench.exchange.figures().buying_power == 1500
    assert refused(lambda: bench.submit("AAPL", "buy", 8, 199)).message == (
        "insufficient buying power"
    )
    assert refused(lambda: bench.submit("AAPL", "sell", 1, 201)).message == (
        "account is not allowed to short"
    )


def test_stock_buys_reduce_crypto_cash_only_when_switched_on() -> None:
    for switch, expected in ((False, 100_000), (True, 80_000)):
        bench = Bench(all_buys_reduce_cash=switch)
        bench.submit("AAPL", "buy", 100, 200)
        assert bench.exchange.figures().non_marginable == expected


def test_a_stock_can_be_sold_short_and_covered_but_never_flipped() -> None:
    bench = Bench()
    bench.submit("TSLA", "sell", 100)
    bench.wait(1)
    assert bench.exchange.account.qty("TSLA") == -100
    assert bench.exchange.figures().equity == 100_000
    assert bench.exchange.figures().buying_power == 190_000
    assert refused(lambda: bench.submit("TSLA", "buy", 150, 99)).body["available"] == "100"
    bench.submit("TSLA", "buy", 100)
    bench.wait(1)
    assert bench.exchange.account.positions == {}


def test_a_flat_account_may_not_hold_entries_on_both_sides() -> None:
    bench = Bench()
    bench.submit("TSLA", "buy", 1, 90)
    assert "short sell" in refused(lambda: bench.submit("TSLA", "sell", 1, 110)).message


def test_a_replace_keeps_funds_counted_once() -> None:
    bench = Bench()
    old = bench.submit("ETH/USD", "buy", 50, 1990)
    new = bench.exchange.replace(bench.real, old.id, {"limit_price": "1995"})
    assert (old.status, new.replaces) == ("replaced", old.id)
    assert new.qty == 50
    assert bench.exchange.figures().non_marginable == 100_000 - 50 * 1995
    assert refused(lambda: bench.exchange.replace(bench.real, old.id, {})).message == (
        'order is already in "replaced" state'
    )


@pytest.mark.parametrize("state", sorted(RARE))
def test_every_rare_status_can_be_seen_and_passes(state: str) -> None:
    bench = Bench()
    bench.exchange.faults.add({"kind": "rare_status", "state": state, "seconds": 2})
    order = bench.submit("ETH/USD", "buy", 1, 2100)
    bench.wait(0.1)
    assert (order.status, order.live, order.filled_qty) == (state, True, 0)
    assert bench.exchange.next_due() == bench.real + 2
    bench.wait(2)
    assert bench.events() == ["pending_new", state, "new", "fill"]


def test_a_suspended_order_can_be_canceled() -> None:
    bench = Bench(cancel_latency=0.5)
    bench.exchange.faults.add({"kind": "rare_status", "state": "suspended"})
    order = bench.submit("ETH/USD", "buy", 1, 2100)
    bench.wait(0.1)
    bench.exchange.cancel(bench.real, order.id)
    bench.wait(1)
    assert order.status == "canceled"


def test_a_rejected_cancel_leaves_the_order_as_it_was() -> None:
    bench = Bench(cancel_latency=0.5)
    bench.exchange.faults.add({"kind": "cancel_rejected"})
    order = bench.submit("ETH/USD", "buy", 1, 1900)
    bench.wait(0.1)
    bench.exchange.cancel(bench.real, order.id)
    bench.wait(1)
    assert order.status == "new"
    bench.exchange.cancel(bench.real, order.id)
    bench.wait(1)
    assert order.status == "canceled"


def test_what_waits_for_the_market_to_open_is_not_due() -> None:
    bench = Bench(start=SATURDAY)
    order = bench.submit("AAPL", "buy", 1, 150)
    bench.wait(1)
    assert order.expires_at is not None
    assert bench.exchange.next_due() == bench.clock.real_at(order.expires_at)


def test_orders_out_of_hours_are_of_their_own_time_and_not_of_the_last_quotes() -> None:
    """A client that pages by ``submitted_at`` would read the same page again and again."""
    bench = Bench(start=SATURDAY)
    first = bench.submit("AAPL", "buy", 1, 150)
    bench.wait(5)
    second = bench.submit("AAPL", "buy", 1, 150)
    assert first.submitted_at == pytest.approx(parse_instant(SATURDAY), abs=1)
    assert second.submitted_at - first.submitted_at == pytest.approx(5, abs=1)


def test_an_order_says_what_it_means_for_the_position() -> None:
    bench = Bench()
    intents = []
    for side, qty in (("buy", 2), ("sell", 2), ("sell", 1), ("buy", 1)):
        intents.append(bench.submit("AAPL", side, qty).position_intent)
        bench.wait(1)
    assert intents == ["buy_to_open", "sell_to_close", "sell_to_open", "buy_to_close"]


def test_time_never_goes_back() -> None:
    bench = Bench()
    bench.wait(10)
    bench.exchange.advance(bench.real - 5)
    assert bench.exchange.present == bench.real


def test_the_next_due_time_is_known_to_a_simulator() -> None:
    bench = Bench(accept_latency=0.5, cancel_latency=2.0)
    assert bench.exchange.next_due() is None
    order = bench.submit("ETH/USD", "buy", 1, 1500)
    assert bench.exchange.next_due() == bench.real + 0.5
    bench.wait(1)
    bench.exchange.cancel(bench.real, order.id)
    assert bench.exchange.next_due() == bench.real + 2.0


def test_listeners_hear_every_event_with_the_orders_state_then() -> None:
    bench = Bench()
    heard: list[tuple[str, str]] = []
    bench.exchange.events.listeners.append(
        lambda event: heard.append((event.name, event.order.status))
    )
    bench.submit("ETH/USD", "buy", 1, 2100)
    bench.wait(0.1)
    assert heard == [("pending_new", "pending_new"), ("new", "new"), ("fill", "filled")]
    last: Order = bench.exchange.events.latest[-1].order
    execution = bench.exchange.events.latest[-1].execution
    assert execution is not None
    assert execution.position_qty == Decimal("0.9975")
    assert last.filled_qty == 1
