"""What can happen to a stream: dropped, mute, late, twice, out of order, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alpaca.data.live import CryptoDataStream
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from stealer.simulated_alpaca import ServerConfig
from stealer.simulated_alpaca.faults import FaultBook
from tests.simulated_alpaca.bench import eventually
from tests.simulated_alpaca.conftest import Server
from tests.simulated_alpaca.listening import Ear, connected, running, stream_url, trade_updates
from tests.simulated_alpaca.test_trade_stream import AUTHENTICATE, raw, say, submit

TRADES, CRYPTO = "/stream", "/v1beta3/crypto/us"


@pytest.fixture
def server_config() -> ServerConfig:
    return ServerConfig(rate_limit=10_000)


@pytest.fixture
def ear(server: Server) -> Iterator[Ear]:
    with trade_updates(server) as found:
        yield found


def names(ear: Ear, count: int) -> list[str]:
    return [ear.next().event for _ in range(count)]


@pytest.mark.parametrize("code", [None, 1001])
def test_a_dropped_stream_comes_back_and_nothing_is_replayed(
    server: Server, ear: Ear, code: int | None
) -> None:
    server.fault(kind="stream_refuse", path=TRADES)
    server.fault(kind="stream_drop", path=TRADES, **({"code": code} if code else {}))
    eventually(lambda: not connected(server, TRADES))
    submit(server)
    eventually(lambda: [order.status for order in server.trading.get_orders()] == ["new"])
    server.call("DELETE", "/sim/faults").raise_for_status()
    eventually(lambda: connected(server, TRADES))
    server.pin("ETH/USD", 1490)
    assert names(ear, 1) == ["fill"]


def test_a_drop_says_how_it_ended(server: Server) -> None:
    for code, expected in ((1001, 1001), (None, 1006)):
        with raw(server) as client:
            say(client, AUTHENTICATE)
            server.fault(kind="stream_drop", **({"code": code} if code else {}))
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
            assert client.close_code == expected
        eventually(lambda: not server.call("GET", "/sim/streams").json()["streams"])


def test_a_refused_handshake_has_a_status(server: Server) -> None:
    server.fault(kind="stream_refuse", path=TRADES, times=1)
    server.fault(kind="stream_refuse", path=TRADES, times=1, status=503)
    for status in (429, 503):
        with pytest.raises(InvalidStatus) as refusal:
            connect(stream_url(server, TRADES))
        assert refusal.value.response.status_code == status
    with raw(server) as client:
        assert say(client, AUTHENTICATE)["data"]["status"] == "authorized"


def test_a_mute_stream_stays_connected_and_loses_what_happens(server: Server, ear: Ear) -> None:
    server.fault(kind="stream_mute", path=TRADES)
    submit(server)
    eventually(lambda: [order.status for order in server.trading.get_orders()] == ["new"])
    server.call("DELETE", "/sim/faults").raise_for_status()
    server.pin("ETH/USD", 1490)
    assert names(ear, 1) == ["fill"]


def test_single_messages_can_be_lost(server: Server, ear: Ear) -> None:
    server.fault(kind="stream_mute", path=TRADES, times=1)
    submit(server)
    assert names(ear, 1) == ["new"]


def test_a_mute_data_stream_is_noticed_by_the_clients_own_watch(server: Server) -> None:
    ear = Ear()
    stream = CryptoDataStream(
        "key", "secret", url_override=stream_url(server, CRYPTO), data_timeout=0.3
    )
    stream.subscribe_quotes(ear.handler, "ETH/USD")
    with running(server, stream, CRYPTO):
        server.fault(kind="stream_mute", path=CRYPTO)
        server.pin("ETH/USD", 1000)
        eventually(lambda: not connected(server, CRYPTO))
        assert ear.silent()


def test_updates_twice(server: Server, ear: Ear) -> None:
    server.fault(kind="stream_duplicate", path=TRADES, times=2)
    submit(server)
    assert names(ear, 4) == ["pending_new", "pending_new", "new", "new"]


def test_updates_out_of_order(server: Server, ear: Ear) -> None:
    server.fault(kind="stream_reorder", path=TRADES, seconds=0.5)
    submit(server)
    assert names(ear, 2) == ["new", "pending_new"]


def test_late_updates_keep_their_order(server: Server, ear: Ear) -> None:
    server.fault(kind="stream_delay", path=TRADES, seconds=0.3)
    order_id = submit(server)
    eventually(lambda: server.trading.get_order_by_id(order_id).status == "new")
    assert ear.silent()
    assert names(ear, 2) == ["pending_new", "new"]


def test_a_lasting_fault_ends_with_its_time() -> None:
    book = FaultBook()
    book.add({"kind": "stream_mute", "seconds": 5}, now=100.0)
    assert book.take_stream("stream_mute", TRADES, 104.0)
    assert book.take_stream("stream_mute", TRADES, 105.0) is None
    assert book.faults == []


def test_a_fault_keeps_to_its_path() -> None:
    book = FaultBook()
    book.add({"kind": "stream_delay", "path": CRYPTO, "seconds": 1})
    assert book.take_stream("stream_delay", TRADES, 0.0) is None
    assert book.take_stream("stream_delay", CRYPTO, 0.0)
    assert book.take_stream("stream_delay", CRYPTO, 0.0) is None


@pytest.mark.parametrize("fault", [{"kind": "stream_drop", "code": "1001"}, {"kind": "stream"}])
def test_a_malformed_stream_fault_is_refused(server: Server, fault: Any) -> None:
    assert server.call("POST", "/sim/faults", json=fault).status_code == 422
