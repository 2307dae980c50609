"""The figures of one account reading: foreign orders, rounding, prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stealer.evidence import AccountSnapshot, BrokerAccount, BrokerOrder, BrokerPosition
from stealer.keeper.exposure import UnpricedOrder, figures
from stealer.model import MICRO
from stealer.replies import AccountFigures
from stealer.settings import Settings

D = Decimal
ACCOUNT = BrokerAccount(D(10_000), D(9_000), D(4_000), D(20_000), D(4_000), D(4))
NO_PRICES: dict[str, Decimal] = {}


def order(
    side: str = "buy",
    qty: float | Decimal = 10,
    limit: float | Decimal | None = 100,
    **more: object,
) -> BrokerOrder:
    price = None if limit is None else D(str(limit))
    made = BrokerOrder("id", "by hand", "AAPL", side, D(str(qty)), "new", limit_price=price)
    return replace(made, **more)  # type: ignore[arg-type]


def held(
    qty: float | Decimal, price: float | Decimal = 100, symbol: str = "AAPL"
) -> BrokerPosition:
    units = D(str(qty))
    return BrokerPosition(symbol, units, units * D(str(price)), symbol.endswith("USD"))


def read(
    orders: Iterable[BrokerOrder] = (),
    positions: Iterable[BrokerPosition] = (),
    *,
    account: BrokerAccount = ACCOUNT,
    prices: dict[str, Decimal] = NO_PRICES,
    chosen: Settings | None = None,
) -> AccountFigures:
    return figures(
        AccountSnapshot(tuple(orders), tuple(positions), account),
        chosen or Settings(),
        lambda order_id: order_id.startswith("mx_"),
        prices.get,
    )


def foreign(
    *orders: BrokerOrder, positions: Sequence[BrokerPosition] = (), **more: object
) -> float:
    """Foreign exposure in dollars."""
    return read(orders, positions, **more).foreign_total / MICRO  # type: ignore[arg-type]


def test_a_foreign_entry_counts_in_full_and_our_own_not_at_all() -> None:
    assert foreign(order()) == 1_000
    assert foreign(order(filled_qty=D(4), status="partially_filled")) == 600
    assert foreign(order(client_order_id="mx_paper_1")) == 0
    assert foreign(order(status="canceled")) == 0
    assert foreign(order(status="a word nobody knows")) == 1_000  # never taken for terminal


def test_an_exit_is_no_exposure() -> None:
    assert foreign(order("sell", 10), positions=[held(10)]) == 0
    assert foreign(order("sell", 4), positions=[held(10)]) == 0
    assert foreign(order("buy", 10), positions=[held(-10)]) == 0  # covering a short


def test_only_the_part_of_an_exit_that_opens_the_other_side_counts() -> None:
    assert foreign(order("sell", 15), positions=[held(10)]) == 515  # a short, with its margin
    assert foreign(order("buy", 15), positions=[held(-10)]) == 500


def test_an_entry_on_top_of_a_position_counts() -> None:
    assert foreign(order("buy", 5), positions=[held(10)]) == 500
    assert foreign(order("sell", 5), positions=[held(-10)]) == 515


def test_a_position_closes_only_once() -> None:
    two = [order("sell", 10), order("sell", 10)]
    assert foreign(*two, positions=[held(10)]) == 1_030


def test_the_dearest_of_several_exits_remains_as_exposure() -> None:
    two = [order("buy", 10, 200), order("buy", 10, 100)]
    assert foreign(*two, positions=[held(-10)]) == 2_000
    assert foreign(*two[::-1], positions=[held(-10)]) == 2_000


def test_one_symbols_position_closes_nothing_in_another() -> None:
    assert foreign(order("sell", 10), positions=[held(10, symbol="MSFT")]) == 1_030


def test_a_market_order_is_priced_by_position_or_quote_and_else_refuses_the_snapshot() -> None:
    market = order(limit=None, type="market")

    assert foreign(market, positions=[held(1, 90)]) == 900
    assert foreign(market, prices={"AAPL": D(80)}) == 800
    with pytest.raises(UnpricedOrder, match=r"not ours.*has no limit"):
        foreign(market)


def test_a_short_sale_below_the_market_counts_at_the_market() -> None:
    """A sell limit is the least it brings: at 1 dollar it sells at what the market pays."""
    cheap = order("sell", 10, 1)

    assert foreign(cheap, prices={"AAPL": D(100)}) == 1_030
    assert foreign(cheap, positions=[held(-5, 100)]) == 1_030
    assert foreign(order("sell", 10, 120), prices={"AAPL": D(100)}) == 1_236
    assert foreign(cheap, positions=[held(10)]) == 0  # an exit needs no price


def test_crypto_counts_in_both_pools_and_stock_in_one() -> None:
    coin = order(symbol="BTCUSD", is_crypto=True)

    both = read([coin, order()], [held(2, symbol="BTCUSD"), held(3)])

    fee = int(2.5 * MICRO)  # 25 basis points of the coin's 1,000 dollars
    assert (both.foreign_total, both.foreign_crypto) == (2_000 * MICRO + fee, 1_000 * MICRO + fee)
    assert (both.positions_total, both.positions_crypto) == (500 * MICRO, 200 * MICRO)
    assert both.limit_crypto == (4_000 + 200) * MICRO


def test_shorts_count_with_their_size_not_their_sign() -> None:
    assert read(positions=[held(-10), held(10, symbol="MSFT")]).positions_total == 2_000 * MICRO


def test_the_limit_is_the_chosen_base_times_leverage() -> None:
    assert read().limit_total == 20_000 * MICRO
    settings_ = Settings(base_figure="last_equity", leverage=1.5)
    assert read(chosen=settings_).limit_total == 13_500 * MICRO
    assert read(chosen=Settings(base_figure="cash")).limit_total == 8_000 * MICRO


def test_limits_are_rounded_down_and_exposure_up() -> None:
    odd = D("0.0000015")
    account = BrokerAccount(odd, odd, odd, odd, odd, D(4))

    got = read([order(qty=odd, limit=1)], [held(odd, 1)], account=account)

    assert (got.limit_total, got.limit_crypto, got.power_margin, got.power_cash) == (3, 1, 1, 1)
    assert (got.positions_total, got.foreign_total) == (2, 2)


def test_a_negative_account_rounds_away_from_zero() -> None:
    account = replace(ACCOUNT, equity=D("-0.0000015"), cash=D("-0.0000015"))

    got = read(account=account)

    assert (got.limit_total, got.limit_crypto) == (-3, -2)


# ---- against a naive oracle

UNITS = st.integers(1, 12).map(D)
PRICES = st.sampled_from([D(1), D(50), D(100), D(150)])
ORDERS = st.lists(st.tuples(st.sampled_from(["buy", "sell"]), UNITS, PRICES), max_size=4)


def opened(start: Decimal, fills: Iterable[tuple[str, Decimal, Decimal]], mark: Decimal) -> Decimal:
    """Dollars spent on enlarging |position| when the orders fill in this sequence."""
    position, spent = start, D(0)
    for side, units, limit in fills:
        sign = 1 if side == "buy" else -1
        price = limit if side == "buy" else max(limit, mark)
        closing = min(max(-sign * position, D(0)), units)
        spent += (units - closing) * price
        position += sign * units
    return spent


@settings(max_examples=150, deadline=None)
@given(ORDERS, st.integers(-12, 12).map(D), PRICES)
def test_in_whatever_sequence_orders_fill_they_never_add_more_than_was_counted(
    wanted: list[tuple[str, Decimal, Decimal]], start: Decimal, mark: Decimal
) -> None:
    counted = foreign(
        *(order(side, units, limit) for side, units, limit in wanted),
        positions=[held(start, mark)] if start else [],
        prices={"AAPL": mark},
    )

    worst = max(opened(start, sequence, mark) for sequence in permutations(wanted))

    assert counted >= worst
    if all(side == "buy" for side, _, _ in wanted):
        assert counted == worst  # nor is more counted than could happen
