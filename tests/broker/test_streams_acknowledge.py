"""A stream is connected once its peer has acknowledged what is subscribed: a peer that may not."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from alpaca.data.live.websocket import DataStream
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from stealer.broker import streams as streams_module
from stealer.broker.endpoints import choose_endpoints
from stealer.broker.streams import CRYPTO, TRADES, AlpacaStreams
from tests.simulated_alpaca.bench import eventually

SECONDS = 10.0


class Peer:
    """Speaks as Alpaca's streams do, and acknowledges nothing before it may."""

    def __init__(self) -> None:
        self.may = {CRYPTO: threading.Event(), TRADES: threading.Event()}
        #: What crypto subscriptions named, one set a request.
        self.asked: queue.Queue[set[str]] = queue.Queue()
        self.sessions: list[str] = []
        self._server = serve(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        for event in self.may.values():
            event.set()
        self._server.shutdown()

    def _serve(self, connection: ServerConnection) -> None:
        try:
            if connection.request and connection.request.path == "/stream":
                self._trades(connection)
            else:
                self._data(connection)
        except ConnectionClosed:
            pass

    def _trades(self, connection: ServerConnection) -> None:
        connection.recv()
        self.sessions.append(TRADES)
        connection.send(json.dumps({"stream": "authorization", "data": {"status": "authorized"}}))
        connection.recv()
        self.may[TRADES].wait(SECONDS)
        connection.send(json.dumps({"stream": "listening", "data": {"streams": ["trade_updates"]}}))
        connection.recv()

    def _data(self, connection: ServerConnection) -> None:
        def say(**words: Any) -> None:
            connection.send(msgpack.packb([words]))

        say(T="success", msg="connected")
        connection.recv()
        self.sessions.append(CRYPTO)
        say(T="success", msg="authenticated")
        while True:
            names = msgpack.unpackb(connection.recv())["quotes"]
            self.asked.put(set(names))
            self.may[CRYPTO].wait(SECONDS)
            say(T="subscription", quotes=names)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.stop()


@pytest.fixture
def connects() -> list[str]:
    return []


@pytest.fixture
def streams(peer: Peer, connects: list[str]) -> Iterator[AlpacaStreams]:
    made = AlpacaStreams(
        "key",
        "secret",
        choose_endpoints(False, peer.url, None),
        crypto_symbols=frozenset({"BTCUSD", "ETHUSD"}),
        on_quotes=lambda quotes: None,
        on_order=lambda event, order: None,
        on_connect=connects.append,
    )
    yield made
    made.stop()


def test_connected_is_not_said_before_the_peer_acknowledges(
    peer: Peer, streams: AlpacaStreams, connects: list[str]
) -> None:
    """What is read on connecting would else miss what happens before the peer tells it."""
    streams.want(["BTCUSD"])
    assert peer.asked.get(timeout=SECONDS) == {"BTC/USD"}
    eventually(lambda: TRADES in peer.sessions)
    states = streams.states()
    assert {name for name in states if states[name].connected_at is not None} == set()
    assert connects == []
    for event in peer.may.values():
        event.set()
    eventually(lambda: sorted(connects) == sorted([CRYPTO, TRADES]))
    assert streams.states()[CRYPTO].connects == 1


def test_a_symbol_that_is_wanted_while_a_stream_connects_is_asked_for(
    peer: Peer, streams: AlpacaStreams, connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """alpaca-py subscribes before it takes itself for running: a symbol in between is lost."""
    own, wanted = DataStream._send_subscribe_msg, threading.Event()

    async def slowly(stream: DataStream) -> None:
        await own(stream)
        await asyncio.to_thread(wanted.wait, SECONDS)

    monkeypatch.setattr(DataStream, "_send_subscribe_msg", slowly)
    streams.want(["BTCUSD"])
    assert peer.asked.get(timeout=SECONDS) == {"BTC/USD"}
    streams.want(["BTCUSD", "ETHUSD"])
    wanted.set()
    peer.may[CRYPTO].set()
    assert peer.asked.get(timeout=SECONDS) == {"BTC/USD", "ETH/USD"}
    streams.want(["ETHUSD"])
    assert peer.asked.get(timeout=SECONDS) == {"BTC/USD"}  # what is not wanted any more
    assert connects.count(CRYPTO) == 1


def test_a_subscription_that_is_never_acknowledged_is_made_anew(
    peer: Peer, streams: AlpacaStreams, connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "ACKNOWLEDGE_SECONDS", 0.1)
    streams.want(["BTCUSD"])
    eventually(lambda: peer.sessions.count(CRYPTO) == 2)
    assert CRYPTO not in connects
    peer.may[CRYPTO].set()
    eventually(lambda: CRYPTO in connects)
