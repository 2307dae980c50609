"""Listing open orders: all pages, nothing lost at a border; and the order of a snapshot's reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stealer.broker import interface
from stealer.broker.alpaca import AlpacaBroker

from .conftest import ORDER_ID, account_json, order_json
from .scripted_server import Reply, ScriptedServer, Seen

ORDERS, POSITIONS, ACCOUNT = "GET /v2/orders", "GET /v2/positions", "GET /v2/account"


START = datetime(2026, 5, 1, tzinfo=UTC)


class Book:
    """Open orders behind Alpaca's own listing rules: limit, after (exclusive), direction."""

    def __init__(self, times: list[datetime]) -> None:
        self.rows = [
            order_json(
                id=f"11111111-2222-4333-8444-{number:012d}",
                client_order_id=f"ws-{number}",
                submitted_at=f"{moment:%Y-%m-%dT%H:%M:%S.%f}789Z",
            )
            for number, moment in enumerate(times)
        ]

    def __call__(self, seen: Seen) -> Reply:
        assert seen.query["status"] == "open"
        limit = int(seen.query.get("limit", "50"))
        rows = sorted(self.rows, key=lambda row: str(row["submitted_at"]))
        if after := seen.query.get("after"):
            rows = [row for row in rows if str(row["submitted_at"]) > after]
        if seen.query.get("direction") != "asc":
            rows = rows[::-1]
        return Reply(200, rows[:limit])


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (499, 1), (500, 2), (501, 2), (1234, 3)])
def test_all_pages_are_listed_once_each_order_oldest_first(
    server: ScriptedServer, broker: AlpacaBroker, count: int, requests: int
) -> None:
    server.on(ORDERS, Book([START + timedelta(seconds=n) for n in range(count)]))
    orders = broker.open_orders()
    assert [order.client_order_id for order in orders] == [f"ws-{n}" for n in range(count)]
    assert server.count(ORDERS) == requests


def test_orders_of_one_instant_across_a_page_border_are_all_listed(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    times = [START + timedelta(seconds=min(n, 490)) for n in range(700)]
    server.on(ORDERS, Book(times))
    # 210 orders of the same microsecond fit into one page after the cursor: nothing is lost
    assert len({order.id for order in broker.open_orders()}) == 700


def test_an_order_that_appears_while_pages_are_read_is_listed(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    book = Book([START + timedelta(seconds=n) for n in range(600)])
    late = Book([START + timedelta(days=1)]).rows[0] | {"id": ORDER_ID}

    def second(seen: Seen) -> Reply:
        book.rows.append(late)
        return book(seen)

    server.on(ORDERS, book, second)
    assert ORDER_ID in {order.id for order in broker.open_orders()}


def test_pages_that_never_end_are_an_error(server: ScriptedServer, broker: AlpacaBroker) -> None:
    server.on(ORDERS, Book([START] * 501))
    with pytest.raises(interface.BrokerUnavailable, match="pages do not end after 500 orders"):
        broker.open_orders()


def test_an_error_on_a_later_page_is_not_a_shorter_list(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    book = Book([START + timedelta(seconds=n) for n in range(600)])
    server.on(ORDERS, book, Reply(500, {"message": "internal"}))
    with pytest.raises(interface.BrokerUnavailable):
        broker.open_orders()


def test_one_unreadable_order_is_an_error_that_names_it(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(ORDERS, Reply(200, [order_json(), order_json(qty="much")]))
    with pytest.raises(interface.BrokerMalformed, match=f"order {ORDER_ID}: 'qty' is not a number"):
        broker.open_orders()
    assert server.count(ORDERS) == 1


def test_a_snapshot_reads_orders_then_positions_then_the_account(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    book = Book([START + timedelta(seconds=n) for n in range(600)])
    server.on(ORDERS, book)
    server.on(POSITIONS, Reply(200, []))
    server.on(ACCOUNT, Reply(200, account_json()))
    snapshot = broker.snapshot()
    assert [seen.path for seen in server.seen] == [
        "/v2/orders",
        "/v2/orders",
        "/v2/positions",
        "/v2/account",
    ]
    assert (len(snapshot.orders), snapshot.positions, snapshot.warnings) == (600, (), ())


def test_a_snapshot_warns_of_an_order_given_in_dollars(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on(ORDERS, Reply(200, [order_json(qty=None, notional="500", limit_price=None)]))
    server.on(POSITIONS, Reply(200, []))
    server.on(ACCOUNT, Reply(200, account_json()))
    snapshot = broker.snapshot()
    assert len(snapshot.warnings) == 1
    order = snapshot.orders[0]
    assert order.limit_price is not None
    assert order.qty * order.limit_price == 500


def test_the_latest_orders_are_one_page_of_any_status_newest_first(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    """Only their ids are read: an old order of a kind unknown here must not stop anybody."""
    asked: list[dict[str, str]] = []

    def answer(seen: Seen) -> Reply:
        asked.append(dict(seen.query))
        return Reply(200, [{"client_order_id": "b", "qty": None}, {"client_order_id": "a"}])

    server.on(ORDERS, answer)
    assert broker.latest_client_ids() == ("b", "a")
    (query,) = asked
    assert (query["status"], query["limit"], query["direction"]) == ("all", "500", "desc")


def test_an_error_is_never_no_latest_orders(server: ScriptedServer, broker: AlpacaBroker) -> None:
    server.on(ORDERS, lambda seen: Reply(200, {"message": "no list"}))
    with pytest.raises(interface.BrokerUnavailable):
        broker.latest_client_ids()
