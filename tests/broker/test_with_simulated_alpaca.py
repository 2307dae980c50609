"""The edge against the simulated Alpaca in a process of its own, as the demo runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from stealer.broker import alpaca, interface
from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.transport import Timeouts
from stealer.evidence import BrokerOrder, NewOrder, Outcome
from stealer.order_rules import Surroundings, check

from .conftest import CRYPTO, KEY, SECRET, make_broker

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
IDS = count()

#: Far from the market: never marketable at any price the generator makes.
LOW = Decimal("1000")


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    """Its address. The market clock stands in an open session (Friday 15:00 New York)."""
    command = [sys.executable, "-m", "stealer.simulated_alpaca", "--rate-limit", "0"]
    command += ["--start", "2024-01-05T20:00:00Z", "--partial-probability", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert "http://" in line, line
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture
def edge(simulator: str) -> Iterator[AlpacaBroker]:
    made = make_broker(
        simulator, [], timeouts=Timeouts(connect=2, read=1), sleep=time.sleep, now=time.time
    )
    yield made
    requests.delete(f"{simulator}/sim/faults", timeout=5)
    for order in made.open_orders():
        made.cancel(order.id)
    assert until(lambda: made.open_orders() or None, gone=True) is None
    made.close()


def order(symbol: str = "BTCUSD", **changes: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "client_order_id": f"it-{os.getpid()}-{next(IDS)}",
        "symbol": symbol,
        "side": "buy",
        "qty": Decimal("0.02"),
        "limit_price": LOW,
        "is_crypto": symbol in CRYPTO,
    }
    return NewOrder(**(fields | changes))


def fault(simulator: str, **fields: Any) -> None:
    requests.post(f"{simulator}/sim/faults", json=fields, timeout=5).raise_for_status()


def until(ask: Callable[[], Any], *, gone: bool = False, seconds: float = 5.0) -> Any:
    """Ask until there is an answer (or, *gone*, until there is none); the last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if bool(answer) != gone or time.monotonic() > end:
            return answer
        time.sleep(0.02)


def live(edge: AlpacaBroker, **changes: Any) -> BrokerOrder:
    result = edge.submit(order(**changes))
    assert result.outcome is Outcome.CONFIRMED, result
    assert result.order is not None
    return result.order


def test_an_order_lives_is_listed_looked_up_and_canceled(edge: AlpacaBroker) -> None:
    sent = live(edge)
    assert (sent.symbol, sent.is_crypto, sent.limit_price) == ("BTCUSD", True, LOW)
    assert [found.id for found in edge.open_orders()] == [sent.id]
    by_client = edge.order_by_client_id(sent.client_order_id)
    assert by_client is not None
    assert by_client.id == sent.id
    assert edge.cancel(sent.id).outcome is Outcome.CONFIRMED

    def ended() -> BrokerOrder | None:
        found = edge.order_by_id(sent.id)
        return found if found is not None and found.is_terminal else None

    last = until(ended)
    assert last is not None
    assert last.status == "canceled"
    again = edge.cancel(sent.id)
    assert (again.outcome, again.already_terminal) == (Outcome.REJECTED, True)


def test_prices_far_below_a_cent_arrive_exactly(edge: AlpacaBroker) -> None:
    """0.1 and this price are no binary fractions; floats would print 1.234e-05."""
    asset = edge.asset("UNIUSD")
    assert asset.price_increment is not None
    price = asset.price_increment * 7
    qty = (Decimal(20) / price).quantize(Decimal(1))
    sent = live(edge, symbol="UNIUSD", limit_price=price, qty=qty)
    assert (sent.limit_price, sent.qty) == (price, qty)


def test_the_same_id_again_is_confirmed_with_the_first_order(edge: AlpacaBroker) -> None:
    wanted = order()
    first, second = edge.submit(wanted), edge.submit(wanted)
    assert (second.outcome, second.kind) == (Outcome.CONFIRMED, "duplicate_id")
    assert first.order is not None
    assert second.order is not None
    assert first.order.id == second.order.id
    assert len(edge.open_orders()) == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"qty": Decimal(1000), "limit_price": Decimal(1000)}, "insufficient_balance"),
        ({"symbol": "AAPL", "qty": Decimal(9000), "limit_price": Decimal(100)},
         "insufficient_buying_power"),
        ({"qty": Decimal("0.001")}, "minimum"),
        ({"symbol": "AAPL", "qty": Decimal(1), "limit_price": Decimal("100.001")}, "price_tick"),
    ],
)  # fmt: skip
def test_the_simulators_refusals_are_understood(
    edge: AlpacaBroker, changes: dict[str, Any], kind: str
) -> None:
    result = edge.submit(order(**changes))
    assert (result.outcome, result.kind) == (Outcome.REJECTED, kind), result
    assert edge.open_orders() == ()


def test_a_lost_reply_is_unresolved_and_the_look_up_finds_the_order(
    simulator: str, edge: AlpacaBroker
) -> None:
    wanted = order()
    fault(simulator, kind="drop_reply", method="POST", path="/v2/orders")
    result = edge.submit(wanted)
    assert result.outcome is Outcome.UNRESOLVED
    assert edge.order_by_client_id(wanted.client_order_id) is not None
    assert len(edge.open_orders()) == 1


@pytest.mark.parametrize("kind", ["html", "status", "hang"])
def test_a_broker_in_trouble_leaves_an_order_unresolved(
    simulator: str, edge: AlpacaBroker, kind: str
) -> None:
    fault(simulator, kind=kind, method="POST", path="/v2/orders", status=504, seconds=2)
    assert edge.submit(order()).outcome is Outcome.UNRESOLVED


def test_a_read_outlives_a_short_outage(simulator: str, edge: AlpacaBroker) -> None:
    fault(simulator, kind="status", method="GET", path="/v2/account", status=503, times=2)
    assert edge.account().equity > 0


def test_open_orders_over_several_pages_are_all_listed(
    edge: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alpaca, "PAGE_SIZE", 25)
    sent = {live(edge, qty=Decimal("0.01")).id for _ in range(60)}
    orders = edge.open_orders()
    assert {listed.id for listed in orders} == sent
    assert len(orders) == 60


def test_a_filled_order_becomes_a_canonical_position(edge: AlpacaBroker) -> None:
    ask = edge.quotes(["ETHUSD"])["ETHUSD"].ask
    increment = edge.asset("ETHUSD").price_increment or Decimal("0.01")
    limit = (ask * Decimal("1.05") // increment) * increment
    sent = live(edge, symbol="ETHUSD", qty=Decimal("0.1"), limit_price=limit)

    def filled() -> bool:
        found = edge.order_by_id(sent.id)
        return found is not None and found.status == "filled"

    assert until(filled)
    snapshot = edge.snapshot()
    positions = {held.symbol: held for held in snapshot.positions}
    assert positions["ETHUSD"].is_crypto
    assert positions["ETHUSD"].qty > 0
    assert snapshot.account.equity > 0
    assert snapshot.warnings == ()


def test_quotes_of_both_kinds_and_the_clock(edge: AlpacaBroker) -> None:
    quotes = edge.quotes(["BTCUSD", "AAPL"])
    assert set(quotes) == {"BTCUSD", "AAPL"}
    assert all(0 < quote.bid <= quote.ask for quote in quotes.values())
    assert edge.market_is_open()


def test_what_the_rules_let_pass_the_simulator_takes(edge: AlpacaBroker) -> None:
    for wanted in (order(), order("AAPL", qty=Decimal("1.5"), limit_price=Decimal("9.99"))):
        around = Surroundings(edge.market_is_open())
        assert check(wanted, edge.asset(wanted.symbol), around) == ()
        assert edge.submit(wanted).outcome is Outcome.CONFIRMED


def test_an_asset_nobody_lists_is_not_found(edge: AlpacaBroker) -> None:
    with pytest.raises(interface.BrokerNotFound):
        edge.asset("ZZZZ")


def test_wrong_keys_are_said_to_be_wrong() -> None:
    command = [sys.executable, "-m", "stealer.simulated_alpaca", "--key", KEY, "--secret", SECRET]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        right = make_broker(url, [])
        wrong = AlpacaBroker("PKOTHER", "other", crypto_symbols=CRYPTO, trading_url=url)
        try:
            assert right.account().status == "ACTIVE"
            with pytest.raises(interface.BrokerUnauthorized):
                wrong.account()
            assert wrong.submit(order()).kind == "unauthorized"
        finally:
            right.close()
            wrong.close()
            process.terminate()
            process.wait(timeout=10)
