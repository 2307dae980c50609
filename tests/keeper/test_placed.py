"""What the keeper says of the account's own orders, for those who are about to place one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stealer.errors import Deposed
from stealer.evidence import AccountSnapshot, BrokerAccount, BrokerOrder, BrokerPosition, Placed
from stealer.keeper.keeper import Keeper
from stealer.keeper.placed import placed_in
from stealer.replies import placed, placed_text
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker

D = Decimal
ACCOUNT = BrokerAccount(*(D(1),) * 6)


def order(side: str, qty: int, limit: float | None, **more: object) -> BrokerOrder:
    fields = {"symbol": "AAPL", "status": "new"} | more
    price = None if limit is None else D(str(limit))
    return BrokerOrder(
        "id",
        "",
        side=side,
        qty=D(qty),
        limit_price=price,
        **fields,  # type: ignore[arg-type]
    )


def found(*orders: BrokerOrder, held: int = 0) -> dict[str, Placed]:
    positions = [BrokerPosition("AAPL", D(held), D(held), False)] if held else []
    return placed_in(AccountSnapshot(orders, tuple(positions), ACCOUNT))


def test_the_nearest_of_each_side_count_whoever_sent_them() -> None:
    both = [order("buy", 1, 99), order("buy", 1, 98), order("sell", 1, 101), order("sell", 1, 102)]

    assert found(*both) == {"AAPL": Placed(D(99), D(101))}
    assert found() == {}


def test_what_is_over_or_has_several_legs_does_not_count() -> None:
    assert found(order("buy", 1, 99, status="canceled"), order("", 1, 99, symbol="")) == {}
    assert found(order("sell", 1, 99, status="pending_cancel")) == {"AAPL": Placed(None, D(99))}


def test_an_order_without_a_limit_trades_at_any_price() -> None:
    here = found(order("buy", 1, None), order("sell", 1, None))["AAPL"]

    assert (here.highest_buy, here.lowest_sell) == (D("Infinity"), D(0))


@pytest.mark.parametrize(
    ("held", "side", "closable"), [(10, "sell", 7), (10, "buy", 10), (-10, "buy", 7)]
)
def test_what_exits_are_closing_already_is_not_there_to_close(
    held: int, side: str, closable: int
) -> None:
    here = found(order(side, 4, 100, filled_qty=D(1)), held=held)["AAPL"]

    assert (here.position, here.closable) == (held, closable)


@pytest.mark.parametrize(
    "told", [Placed(), Placed(D("99.5"), D(0), D(-3), D("0.5")), Placed(D("Infinity"))]
)
def test_it_reads_back_as_it_was_written(told: Placed) -> None:
    assert placed(placed_text(told)) == told


def test_a_pass_publishes_them_and_the_next_takes_back_what_is_over(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    broker.put("by-hand", side="sell", limit_price=D(120))
    broker.held = {"MSFT": D(3)}
    keeper.run_once()
    assert desk.coordinator.placed("AAPL").lowest_sell == 120
    assert desk.coordinator.placed("MSFT").position == 3
    assert 0 < desk.client.pttl(desk.keys.placed) <= 30_000

    broker.end("canceled")
    keeper.run_once()
    assert desk.coordinator.placed("AAPL") == Placed()


def test_a_deposed_keeper_is_not_heard(desk: Desk) -> None:
    desk.coordinator.certify(term=5)
    desk.coordinator.publish_placed({"AAPL": Placed(D(1))}, 30, term=5)

    with pytest.raises(Deposed):
        desk.coordinator.publish_placed({}, 30, term=4)

    assert desk.coordinator.placed("AAPL") == Placed(D(1))
