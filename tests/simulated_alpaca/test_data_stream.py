"""Market data through alpaca-py's unchanged CryptoDataStream and StockDataStream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.models import Bar, Orderbook, Quote, Trade
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from stealer.simulated_alpaca import MarketClock, ServerConfig, ServerThread, StreamConfig
from stealer.simulated_alpaca.clock import parse_instant
from stealer.simulated_alpaca.exchange import ExchangeConfig
from stealer.simulated_alpaca.feed import Feed
from stealer.simulated_alpaca.server import make_world, steady_clock
from tests.simulated_alpaca.bench import FRIDAY_AFTERNOON, FlatMarket, eventually
from tests.simulated_alpaca.conftest import Server
from tests.simulated_alpaca.listening import Ear, connected, running, stream_url

CRYPTO, IEX, SIP = "/v1beta3/crypto/us", "/v2/iex", "/v2/sip"
AUTH = {"action": "auth", "key": "key", "secret": "secret"}
AUTHENTICATED = [{"T": "success", "msg": "authenticated"}]
#: A look at the market so seldom that nothing in these tests can have waited for it.
SELDOM_SECONDS = 300.0


def config(**streams: Any) -> ServerConfig:
    return ServerConfig(rate_limit=10_000, tick=SELDOM_SECONDS, streams=StreamConfig(**streams))


@pytest.fixture
def server_config() -> ServerConfig:
    return config()


def crypto_stream(server: Server, **more: Any) -> CryptoDataStream:
    return CryptoDataStream("key", "secret", url_override=stream_url(server, CRYPTO), **more)


def stock_stream(server: Server) -> StockDataStream:
    return StockDataStream("key", "secret", url_override=stream_url(server, IEX))


def test_a_crypto_price_reaches_quotes_trades_and_books_at_once(server: Server) -> None:
    quotes, trades, books = Ear(), Ear(), Ear()
    stream = crypto_stream(server)
    stream.subscribe_quotes(quotes.handler, "ETH/USD")
    stream.subscribe_trades(trades.handler, "ETH/USD")
    stream.subscribe_orderbooks(books.handler, "ETH/USD")
    with running(server, stream, CRYPTO):
        server.pin("BTC/USD", 1.0)
        server.pin("ETH/USD", 1234.5)
        quote, trade, book = quotes.next(), trades.next(), books.next()
        server.pin("ETH/USD", 1234.5)
        server.pin("ETH/USD", 1300)
        assert quotes.next().bid_price == 1300
    assert isinstance(quote, Quote)
    assert (quote.symbol, quote.bid_price, quote.ask_price) == ("ETH/USD", 1234.5, 1234.5)
    assert abs(quote.timestamp.timestamp() - parse_instant(FRIDAY_AFTERNOON)) < 60
    assert isinstance(trade, Trade)
    assert trade.price == 1234.5
    assert isinstance(book, Orderbook)
    assert (book.bids[0].price, book.asks[0].price) == (1234.5, 1234.5)


def test_a_stock_price_reaches_quotes_and_trades(server: Server) -> None:
    quotes, trades = Ear(), Ear()
    stream = stock_stream(server)
    stream.subscribe_quotes(quotes.handler, "*")
    stream.subscribe_trades(trades.handler, "AAPL")
    with running(server, stream, IEX):
        assert connected(server, IEX)[0]["channels"]["corrections"] == ["AAPL"]
        server.pin("TSLA", 90)
        server.pin("AAPL", 210)
        assert [quotes.next().symbol for _ in range(2)] == ["TSLA", "AAPL"]
        trade = trades.next()
        assert (trade.symbol, trade.price, trade.conditions) == ("AAPL", 210, ["@"])


def test_a_feed_has_its_own_kind_of_asset_only_whatever_is_subscribed(server: Server) -> None:
    """Neither `*` nor a name of the other kind brings crypto to stocks or stocks to crypto."""
    stocks, coins = Ear(), Ear()
    stock, coin = stock_stream(server), crypto_stream(server)
    stock.subscribe_quotes(stocks.handler, "*", "ETH/USD")
    coin.subscribe_quotes(coins.handler, "*", "AAPL")
    with running(server, stock, IEX), running(server, coin, CRYPTO):
        for symbol, price in (("ETH/USD", 1999), ("AAPL", 201), ("BTC/USD", 49_000), ("TSLA", 99)):
            server.pin(symbol, price)
        assert [stocks.next().symbol for _ in range(2)] == ["AAPL", "TSLA"]
        assert [coins.next().symbol for _ in range(2)] == ["ETH/USD", "BTC/USD"]


def test_unsubscribing_while_it_runs_is_heard_of(server: Server) -> None:
    ear = Ear()
    stream = crypto_stream(server)
    stream.subscribe_quotes(ear.handler, "ETH/USD")
    stream.subscribe_quotes(ear.handler, "BTC/USD")
    with running(server, stream, CRYPTO):
        stream.unsubscribe_quotes("ETH/USD")
        eventually(lambda: connected(server, CRYPTO)[0]["channels"] == {"quotes": ["BTC/USD"]})
        server.pin("ETH/USD", 1000)
        server.pin("BTC/USD", 1000)
        assert ear.next().symbol == "BTC/USD"
        assert ear.silent()


def test_minute_bars_come_when_the_minute_has_ended() -> None:
    now = steady_clock()
    clock = MarketClock.starting(parse_instant(FRIDAY_AFTERNOON), 240.0, real=now())
    world = make_world(FlatMarket(), ExchangeConfig(), clock, now)
    with ServerThread(world, ServerConfig(rate_limit=0)) as thread:
        server = Server(thread.url)
        ear, stream = Ear(), crypto_stream(server)
        stream.subscribe_bars(ear.handler, "ETH/USD")
        with running(server, stream, CRYPTO):
            first, second = ear.next(), ear.next()
        server.close()
    assert isinstance(first, Bar)
    assert (first.symbol, first.close) == ("ETH/USD", 2000)
    assert (second.timestamp - first.timestamp).total_seconds() == 60


def test_a_moving_market_is_quoted_without_anybody_asking() -> None:
    with ServerThread(config=ServerConfig(streams=StreamConfig(quote_interval=0.05))) as thread:
        server = Server(thread.url)
        ear, stream = Ear(), crypto_stream(server)
        stream.subscribe_quotes(ear.handler, "BTC/USD")
        with running(server, stream, CRYPTO):
            found = [ear.next() for _ in range(3)]
        server.close()
    assert [quote.timestamp for quote in found] == sorted({quote.timestamp for quote in found})
    assert len({(quote.bid_price, quote.ask_price) for quote in found}) > 1


def test_a_market_at_rest_is_quoted_again_while_it_is_open() -> None:
    """As a real one is: a client must not take the stream for mute, nor the price for stale."""
    now = steady_clock()
    found = {}
    for moment in (FRIDAY_AFTERNOON, "2024-01-06T17:00:00Z"):
        clock = MarketClock.starting(parse_instant(moment), 1.0, real=now())
        feed = Feed(make_world(FlatMarket(), ExchangeConfig(), clock, now).exchange, 0.25)
        feed.remember(["BTC/USD", "AAPL"])
        heard = [
            (m.channel, m.symbol) for at in range(24) for m in feed.news(["BTC/USD", "AAPL"], at)
        ]
        found[moment] = {what: heard.count(what) for what in heard}
    coin, stock = ("quotes", "BTC/USD"), ("quotes", "AAPL")
    assert list(found.values()) == [{coin: 4, stock: 4}, {coin: 4}], "every 5 s, without a trade"


def test_who_listens_again_hears_the_next_change_only() -> None:
    now = steady_clock()
    exchange = make_world(
        FlatMarket(), ExchangeConfig(), MarketClock.starting(0.0, 1.0), now
    ).exchange
    feed = Feed(exchange, 0.25)

    def listen(*symbols: str, at: float) -> int:
        feed.remember(symbols)
        return len(list(feed.news(symbols, at)))

    assert listen("BTC/USD", at=0) == 0
    assert listen(at=1) == 0
    exchange.market.pin("BTC/USD", Decimal(77))
    assert listen("BTC/USD", at=60) == 0, "neither the change that it missed nor a quote at rest"
    exchange.market.pin("BTC/USD", Decimal(78))
    assert listen("BTC/USD", at=61) == 3, "a quote, a trade and a book"


# --- the protocol itself ------------------------------------------------------------------------


@contextlib.contextmanager
def raw(server: Server, path: str = IEX, **headers: str) -> Iterator[ClientConnection]:
    """A plain connection that has read its welcome."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with connect(stream_url(server, path), close_timeout=1, additional_headers=names) as client:
        assert answer(client) == [{"T": "success", "msg": "connected"}]
        yield client


def answer(client: ClientConnection) -> Any:
    frame = client.recv(timeout=5)
    assert isinstance(frame, str)
    return json.loads(frame)


def say(client: ClientConnection, message: Any) -> Any:
    client.send(json.dumps(message))
    return answer(client)


def error(code: int, words: str) -> list[dict[str, Any]]:
    return [{"T": "error", "code": code, "msg": words}]


def test_json_in_text_frames_for_who_does_not_ask_for_messagepack(server: Server) -> None:
    with raw(server) as client:
        assert say(client, AUTH) == AUTHENTICATED
        [reply] = say(client, {"action": "subscribe", "quotes": ["TSLA", "AAPL"], "bars": ["*"]})
        assert reply == {
            "T": "subscription",
            "trades": [],
            "quotes": ["AAPL", "TSLA"],
            "bars": ["*"],
            "updatedBars": [],
            "dailyBars": [],
            "statuses": [],
            "lulds": [],
            "corrections": [],
            "cancelErrors": [],
        }
        server.pin("AAPL", 210)
        [quote] = answer(client)
        assert (quote["T"], quote["S"], quote["bp"], quote["c"]) == ("q", "AAPL", 210, ["R"])
        assert quote["t"].startswith("2024-01-05T20:00:")


def test_messagepack_carries_times_of_its_own_kind(server: Server) -> None:
    packed = {"Content-Type": "application/msgpack"}
    with connect(stream_url(server, CRYPTO), close_timeout=1, additional_headers=packed) as client:
        client.recv(timeout=5)
        client.send(msgpack.packb(AUTH))
        assert msgpack.unpackb(client.recv(timeout=5)) == AUTHENTICATED
        client.send(msgpack.packb({"action": "subscribe", "quotes": ["ETH/USD"]}))
        client.recv(timeout=5)
        server.pin("ETH/USD", 1000)
        [quote] = msgpack.unpackb(client.recv(timeout=5))
        assert isinstance(quote["t"], msgpack.Timestamp)


def test_keys_in_the_handshake_authenticate(server: Server) -> None:
    with raw(server, APCA_API_KEY_ID="key", APCA_API_SECRET_KEY="secret") as client:
        assert answer(client) == AUTHENTICATED
        assert say(client, AUTH) == error(403, "already authenticated")


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ({"action": "subscribe", "quotes": ["AAPL"]}, 401, "not authenticated"),
        ({"action": "auth", "key": "", "secret": ""}, 402, "auth failed"),
        ({"action": "auth", "key": 1, "secret": 2}, 402, "auth failed"),
        ({"action": "dance"}, 400, "invalid syntax"),
        ([1], 400, "invalid syntax"),
    ],
)
def test_errors_before_authentication(server: Server, message: Any, code: int, words: str) -> None:
    with raw(server) as client:
        assert say(client, message) == error(code, words)
        assert say(client, AUTH) == AUTHENTICATED


@pytest.mark.parametrize("server_config", [config(data_symbols=2)])
@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ({"quotes": ["AAPL", "TSLA", "AMD"]}, 405, "symbol limit exceeded"),
        ({"quotes": "AAPL"}, 400, "invalid syntax"),
        ({"quotes": [1]}, 400, "invalid syntax"),
        ({"tips": ["AAPL"]}, 400, "invalid syntax"),
        ({"orderbooks": ["AAPL"]}, 410, "invalid subscribe action for this feed"),
    ],
)
def test_errors_of_a_subscription_change_nothing(
    server: Server, message: Any, code: int, words: str
) -> None:
    with raw(server) as client:
        say(client, AUTH)
        [before] = say(client, {"action": "subscribe", "quotes": ["AAPL", "TSLA"]})
        assert say(client, {"action": "subscribe"} | message) == error(code, words)
        assert say(client, {"action": "unsubscribe", "quotes": []}) == [before]


def test_one_connection_for_each_endpoint_and_key(server: Server) -> None:
    with raw(server) as first, raw(server) as second, raw(server, CRYPTO) as third:
        assert say(first, AUTH) == say(third, AUTH) == AUTHENTICATED
        assert say(second, AUTH) == error(406, "connection limit exceeded")
        with pytest.raises(ConnectionClosed):
            answer(second)
        with raw(server) as other:
            assert say(other, AUTH | {"key": "another"}) == AUTHENTICATED


@pytest.mark.parametrize("server_config", [config(data_connections=2)])
def test_the_limit_can_be_raised(server: Server) -> None:
    with raw(server) as first, raw(server) as second, raw(server) as third:
        assert say(first, AUTH) == say(second, AUTH) == AUTHENTICATED
        assert say(third, AUTH)[0]["code"] == 406


@pytest.mark.parametrize("server_config", [config(sip=False)])
def test_a_feed_outside_the_subscription(server: Server) -> None:
    with raw(server, SIP) as client:
        assert say(client, AUTH) == error(409, "insufficient subscription")
    with raw(server, IEX) as client:
        assert say(client, AUTH) == AUTHENTICATED


@pytest.mark.parametrize("server_config", [config(auth_timeout=0.05)])
def test_who_says_nothing_is_shown_out(server: Server) -> None:
    with raw(server) as client:
        assert answer(client) == error(404, "auth timeout")
        with pytest.raises(ConnectionClosed):
            answer(client)


@pytest.mark.parametrize("server_config", [config(backlog=0)])
def test_a_client_that_is_too_slow_is_shown_out(server: Server) -> None:
    with raw(server) as client:
        say(client, AUTH)
        say(client, {"action": "subscribe", "quotes": ["AAPL"]})
        server.pin("AAPL", 210)
        assert answer(client) == error(407, "slow client")
        with pytest.raises(ConnectionClosed):
            answer(client)
