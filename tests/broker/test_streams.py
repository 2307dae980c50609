"""The streams' edge: alpaca-py's own streams against the simulated Alpaca, over real sockets."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest

from stealer.broker.endpoints import choose_endpoints
from stealer.broker.streams import CRYPTO, STOCKS, TRADES, AlpacaStreams, _quote_of
from stealer.evidence import BrokerOrder, Quote
from tests.simulated_alpaca.bench import eventually
from tests.simulated_alpaca.conftest import Server, exchange_options, server, server_config

__all__ = ["exchange_options", "server", "server_config"]

SECONDS = 10.0


class Heard:
    """What the handlers were given."""

    def __init__(self) -> None:
        self.orders: queue.Queue[tuple[str, BrokerOrder]] = queue.Queue()
        #: By symbol: crypto and stocks come over connections of their own, in any order.
        self.quotes: defaultdict[str, queue.Queue[Quote]] = defaultdict(queue.Queue)
        self.connects: list[str] = []

    def take(self, quotes: list[Quote]) -> None:
        for quote in quotes:
            self.quotes[quote.symbol].put(quote)

    def until_quote(self, symbol: str, price: int) -> Quote:
        while True:
            quote = self.quotes[symbol].get(timeout=SECONDS)
            if quote.bid <= price <= quote.ask:
                return quote


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def streams(server: Server, heard: Heard) -> Iterator[AlpacaStreams]:
    made = AlpacaStreams(
        "key",
        "secret",
        choose_endpoints(False, server.url, None),
        crypto_symbols=frozenset({"BTCUSD", "ETHUSD"}),
        on_quotes=heard.take,
        on_order=lambda event, order: heard.orders.put((event, order)),
        on_connect=heard.connects.append,
    )
    eventually(lambda: TRADES in heard.connects)
    yield made
    made.stop()


def submit(server: Server, name: str) -> Any:
    return server.trading.submit_order(
        LimitOrderRequest(
            symbol="BTC/USD",
            qty=0.01,
            limit_price=20_000,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.GTC,
            client_order_id=name,
        )
    )


def test_an_order_is_heard_from_its_start_to_its_end(
    server: Server, streams: AlpacaStreams, heard: Heard
) -> None:
    order = submit(server, "mx_one")
    events = {}
    event, seen = heard.orders.get(timeout=SECONDS)
    while event != "new":
        event, seen = heard.orders.get(timeout=SECONDS)
    assert (seen.client_order_id, seen.symbol, seen.qty) == ("mx_one", "BTCUSD", Decimal("0.01"))
    assert not seen.is_terminal
    server.trading.cancel_order_by_id(order.id)
    while event != "canceled":
        event, seen = heard.orders.get(timeout=SECONDS)
        events[event] = seen
    assert (seen.status, seen.is_terminal, seen.filled_qty) == ("canceled", True, 0)


def subscribed(server: Server) -> set[str]:
    """The symbols whose quotes the server tells."""
    streams = server.call("GET", "/sim/streams").json()["streams"]
    return {symbol for stream in streams for symbol in stream["channels"].get("quotes", ())}


def test_quotes_are_heard_of_the_symbols_wanted_now(
    server: Server, streams: AlpacaStreams, heard: Heard
) -> None:
    streams.want(["BTCUSD", "AAPL"])
    eventually(lambda: {CRYPTO, STOCKS} <= set(heard.connects))
    server.pin("AAPL", 123)
    server.pin("BTC/USD", 40_001)
    assert heard.until_quote("BTCUSD", 40_001).ask > 0
    assert heard.until_quote("AAPL", 123).symbol == "AAPL"
    streams.want(["ETHUSD", "AAPL"])
    eventually(lambda: subscribed(server) == {"ETH/USD", "AAPL"})
    server.pin("BTC/USD", 50_000)
    server.pin("ETH/USD", 2_001)
    heard.until_quote("ETHUSD", 2_001)
    assert all(quote.ask < 49_000 for quote in list(heard.quotes["BTCUSD"].queue))


def test_a_kind_that_nobody_wants_any_more_is_closed(
    server: Server, streams: AlpacaStreams, heard: Heard
) -> None:
    streams.want(["AAPL"])
    eventually(lambda: STOCKS in heard.connects)
    streams.want([])
    assert set(streams.states()) == {TRADES}
    eventually(lambda: not [t for t in threading.enumerate() if t.name == f"stream {STOCKS}"])


def test_a_dropped_connection_comes_back_and_says_so(
    server: Server, streams: AlpacaStreams, heard: Heard
) -> None:
    server.fault(kind="stream_drop")
    eventually(lambda: heard.connects.count(TRADES) == 2)
    state = streams.states()[TRADES]
    assert (state.connects, state.connected_at is not None) == (2, True)
    submit(server, "mx_after")
    assert heard.orders.get(timeout=SECONDS)[1].client_order_id == "mx_after"


def test_a_mute_connection_can_be_replaced(
    server: Server, streams: AlpacaStreams, heard: Heard
) -> None:
    server.fault(kind="stream_mute")
    submit(server, "mx_unheard")
    server.call("DELETE", "/sim/faults")
    streams.restart(TRADES)
    eventually(lambda: heard.connects.count(TRADES) == 2)
    submit(server, "mx_heard")
    # The order that was not told lives on, and what becomes of it now may be told first.
    while heard.orders.get(timeout=SECONDS)[1].client_order_id != "mx_heard":
        pass


def test_after_a_stop_no_thread_is_left(
    server: Server, streams: AlpacaStreams, heard: Heard
) -> None:
    streams.want(["BTCUSD"])
    eventually(lambda: CRYPTO in heard.connects)
    streams.stop()
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("stream ")])


@pytest.mark.parametrize(
    "message",
    [{}, {"S": "AAPL"}, {"S": "AAPL", "t": 5, "bp": 1, "ap": 2}, {"S": "AAPL", "t": "soon"}, []],
)
def test_a_quote_that_cannot_be_read_is_left_out(message: Any) -> None:
    assert _quote_of(message) is None


def test_a_stream_that_is_stopped_before_its_loop_runs_ends_all_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep the account's only connection from the next keeper."""
    stopped, made = threading.Event(), threading.Event()
    own = AlpacaStreams._make_trades

    def slowly(streams: AlpacaStreams, channel: Any) -> Any:
        stream = own(streams, channel)
        made.set()
        assert stopped.wait(SECONDS)
        return stream

    monkeypatch.setattr(AlpacaStreams, "_make_trades", slowly)
    heard = Heard()
    streams = AlpacaStreams(
        "key",
        "secret",
        choose_endpoints(False, server.url, None),
        crypto_symbols=frozenset(),
        on_quotes=heard.take,
        on_order=lambda event, order: None,
        on_connect=heard.connects.append,
    )
    assert made.wait(SECONDS)
    channel = streams._channels[TRADES]
    channel.stop()
    stopped.set()
    channel._thread.join(SECONDS)
    assert not channel._thread.is_alive()
    assert heard.connects == []


def test_a_server_that_is_away_is_said_in_a_sentence_without_a_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = AlpacaStreams(
        "key",
        "secret",
        choose_endpoints(False, "http://127.0.0.1:1", None),
        crypto_symbols=frozenset(),
        on_quotes=lambda quotes: None,
        on_order=lambda event, order: None,
        on_connect=lambda name: None,
    )
    try:
        eventually(lambda: [r for r in caplog.records if r.name == "alpaca.trading.stream"])
    finally:
        made.stop()
    said = [record for record in caplog.records if record.name == "alpaca.trading.stream"]
    assert any("error" in record.getMessage() for record in said)
    assert not [record for record in said if record.exc_info or record.exc_text]
