"""Alpaca's streams through alpaca-py: order updates and quotes as they happen.

Each stream runs in a thread of its own, and alpaca-py connects it again by itself. What that does
not tell is watched here: whether a connection stands, since when, and when it was last heard.
Alpaca allows one connection an account and kind, so only the keeper that leads has streams.

Handlers are called in the stream's thread and must be quick. Nothing is replayed after a reconnect:
``on_connect`` says when a snapshot is due.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from stealer.broker import convert
from stealer.broker.endpoints import Endpoints, stream_urls
from stealer.broker.interface import BrokerError, BrokerMisconfigured
from stealer.broker.symbols import canonical_from_broker, is_crypto, symbol_for_broker
from stealer.evidence import BrokerOrder, Quote

log = logging.getLogger(__name__)

TRADES, CRYPTO, STOCKS = "trade updates", "crypto quotes", "stock quotes"

#: Keep-alive: a peer that does not answer a ping within this is gone. alpaca-py waits 180 s.
_WIRE = {"ping_interval": 10, "ping_timeout": 20, "max_queue": 1024}

#: Seconds before a stream that ended is made anew, and at most for one to end.
REMAKE_SECONDS = 1.0
END_SECONDS = 3.0

#: Seconds a connection may take to acknowledge what is subscribed before it is made anew.
ACKNOWLEDGE_SECONDS = 20.0

#: What this needs of alpaca-py besides its public methods (written against 0.44.0).
_HOOKS = ("_start_ws", "_dispatch", "close", "stop_ws", "run")


#: alpaca-py's loggers of streams: of a connection that fails they print the whole stack.
_LOGGERS = ("alpaca.trading.stream", "alpaca.data.live.websocket")


def _sentence_only(record: logging.LogRecord) -> bool:
    """Keeps a line of a log and drops its stack: the connection is made anew, and watched."""
    record.exc_info = record.exc_text = None
    return True


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream now; times on the monotonic clock, None for never.

    Connected is one that has acknowledged what is subscribed: what happens before is not told.
    """

    connected_at: float | None
    heard_at: float | None
    connects: int


class _Channel:
    """One stream in its thread, made anew whenever it ends before it is told to.

    :param make: a new alpaca-py stream of the given watched kind, with its handlers; None for now.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[_Channel], Any],
        on_connect: Callable[[str], object],
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self._make, self._on_connect, self._monotonic = make, on_connect, monotonic
        self._stopping = threading.Event()
        self.stream: Any = None
        self.state = StreamState(None, None, 0)
        self._thread = threading.Thread(target=self._run, name=f"stream {name}", daemon=True)
        self._thread.start()

    def opened(self) -> None:
        """The connection is authorized; nothing is told on it yet."""
        if self._stopping.is_set():  # told before its loop ran, when nothing could be closed
            self.restart()

    def acknowledged(self) -> None:
        """The peer has said that it tells what is subscribed: at first, and after changes."""
        if self._stopping.is_set() or self.state.connected_at is not None:
            return
        now = self._monotonic()
        self.state = StreamState(now, now, self.state.connects + 1)
        log.info("%s: connected", self.name)
        self._on_connect(self.name)

    def unacknowledged(self) -> None:
        """The connection has had its time."""
        if self.state.connected_at is None:
            log.warning("%s: the subscription is not acknowledged: connecting anew", self.name)
            self.restart()

    def lost(self) -> None:
        """The connection has ended."""
        if self.state.connected_at is not None:
            log.warning("%s: disconnected", self.name)
        self.state = StreamState(None, self.state.heard_at, self.state.connects)

    def heard(self) -> None:
        """Something came."""
        now = self._monotonic()
        self.state = StreamState(self.state.connected_at, now, self.state.connects)

    def restart(self) -> None:
        """Close the connection; the thread makes another."""
        stream = self.stream
        loop = getattr(stream, "_loop", None)
        if loop is None or not loop.is_running():
            return

        async def end() -> None:
            await stream.stop_ws()
            await stream.close()  # its reader looks for a stop only every five seconds

        # The loop may end in between.
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(end(), loop)

    def stop(self) -> None:
        """End for good, soon."""
        self._stopping.set()
        self.restart()

    def join(self) -> None:
        """Wait a little for the end."""
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.stream = self._make(self)
            try:
                if self.stream is not None:
                    self.stream.run()
            except Exception as error:  # whatever alpaca-py lets out: the next one may do better
                log.warning("%s: %s", self.name, error)
            self.lost()
            self._stopping.wait(REMAKE_SECONDS)


class AlpacaStreams:
    """The account's streams. Data streams are made with the first symbol of their kind.

    :param on_quotes: given the newest quote of each symbol of one frame.
    :param on_order: given the kind of event and the order as it is after it.
    :param on_connect: told the name of a stream that has connected, the first time as well.
    :param stock_feed: Alpaca's data feed for stocks, ``iex`` or ``sip``.
    :raises BrokerMisconfigured: alpaca-py is missing, or built differently than this needs.
    """

    def __init__(
        self,
        api_key: str,
        secret_key: str,
        endpoints: Endpoints,
        *,
        crypto_symbols: frozenset[str],
        on_quotes: Callable[[list[Quote]], object],
        on_order: Callable[[str, BrokerOrder], object],
        on_connect: Callable[[str], object],
        stock_feed: str = "iex",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = {"api_key": api_key, "secret_key": secret_key}
        self._urls = stream_urls(endpoints, stock_feed)
        self._crypto = crypto_symbols
        self._on_quotes, self._on_order, self._on_connect = on_quotes, on_order, on_connect
        self._monotonic = monotonic
        self._classes = _watched_classes()
        self._channels: dict[str, _Channel] = {}
        #: Symbols by kind: the keeper's wish, and what the running stream was asked for.
        self._wanted: dict[str, frozenset[str]] = {CRYPTO: frozenset(), STOCKS: frozenset()}
        self._asked = dict(self._wanted)
        self._changing = threading.Lock()
        self._pending: dict[str, dict[str, Quote]] = {CRYPTO: {}, STOCKS: {}}
        self._open(TRADES, self._make_trades)

    def want(self, symbols: Iterable[str]) -> None:
        """Hear quotes of exactly these canonical symbols from now on."""
        names = frozenset(symbols)
        crypto = frozenset(name for name in names if is_crypto(name, self._crypto))
        for kind, wanted in ((CRYPTO, crypto), (STOCKS, names - crypto)):
            before, self._wanted[kind] = self._wanted[kind], wanted
            if wanted and kind not in self._channels:
                self._open(kind, partial(self._make_data, kind))
            elif not wanted and kind in self._channels:
                self._channels.pop(kind).stop()  # alpaca-py spins when nothing is subscribed
            elif wanted != before:
                self._resubscribe(kind)

    def states(self) -> Mapping[str, StreamState]:
        """Every stream by name."""
        return {name: channel.state for name, channel in self._channels.items()}

    def restart(self, name: str) -> None:
        """Replace a connection that stands but says nothing."""
        if name in self._channels:
            self._channels[name].restart()

    def stop(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            channel.stop()
        for channel in self._channels.values():
            channel.join()

    # -- making ---------------------------------------------------------------------------------

    def _open(self, name: str, make: Callable[[_Channel], Any]) -> None:
        self._channels[name] = _Channel(name, make, self._connected, self._monotonic)

    def _make_trades(self, channel: _Channel) -> Any:
        stream = self._made(TRADES, channel)
        stream.subscribe_trade_updates(self._heard_order)
        return stream

    def _make_data(self, kind: str, channel: _Channel) -> Any:
        asked = self._asked[kind] = self._wanted[kind]
        if not asked:  # about to be stopped; alpaca-py would spin
            return None
        stream = self._made(kind, channel)
        stream.subscribe_quotes(self._quote_handler(kind), *self._broker_names(asked))
        return stream

    def _made(self, name: str, channel: _Channel) -> Any:
        stream = self._classes[name](
            **self._keys,
            raw_data=True,
            url_override=self._urls[name],
            websocket_params=dict(_WIRE),
        )
        stream.channel = channel
        return stream

    def _connected(self, name: str) -> None:
        """In the stream's thread: what was wanted while it connected is asked from another."""
        if name != TRADES:
            asyncio.get_running_loop().run_in_executor(None, self._resubscribe, name)
        self._on_connect(name)

    def _resubscribe(self, kind: str) -> None:
        """Ask a running stream for what is wanted; one that is connecting comes here when it is."""
        with self._changing:
            channel = self._channels.get(kind)
            if channel is None or channel.state.connected_at is None:
                return
            wanted, asked = self._wanted[kind], self._asked[kind]
            try:
                if wanted - asked:
                    names = self._broker_names(wanted - asked)
                    channel.stream.subscribe_quotes(self._quote_handler(kind), *names)
                if asked - wanted:
                    channel.stream.unsubscribe_quotes(*self._broker_names(asked - wanted))
                self._asked[kind] = wanted
            except Exception as error:  # it was closing just now, or never knew the symbol
                log.info("%s: made anew, its symbols could not be changed: %s", kind, error)
                channel.restart()

    def _broker_names(self, names: Iterable[str]) -> list[str]:
        return [symbol_for_broker(name, self._crypto) for name in sorted(names)]

    # -- hearing --------------------------------------------------------------------------------

    async def _heard_order(self, message: Any) -> None:
        try:
            data = message["data"]
            order = convert.order_record(data["order"], self._crypto)
            event = str(data["event"])
        except (BrokerError, KeyError, TypeError) as error:
            log.warning("%s: an update that cannot be read: %s", TRADES, error)
            return
        self._on_order(event, order)

    def _quote_handler(self, kind: str) -> Callable[[Any], Any]:
        pending = self._pending[kind]

        async def heard(message: Any) -> None:
            quote = _quote_of(message)
            if quote is None:
                return
            if not pending:  # told together, once the whole frame has been read
                asyncio.get_running_loop().call_soon(self._tell, pending)
            pending[quote.symbol] = quote

        return heard

    def _tell(self, pending: dict[str, Quote]) -> None:
        quotes = list(pending.values())
        pending.clear()
        self._on_quotes(quotes)


def _quote_of(message: Any) -> Quote | None:
    """A quote of a data stream's raw message; None when one side is missing or it is unreadable."""
    try:
        at = message["t"]
        when = at if isinstance(at, str) else at.to_datetime().isoformat()
        return convert.quote_record(
            canonical_from_broker(str(message["S"])), {**message, "t": when}
        )
    except (BrokerError, KeyError, TypeError, AttributeError, ValueError) as error:
        log.warning("a quote that cannot be read: %s", error)
        return None


def _watched_classes() -> dict[str, type]:
    """alpaca-py's three streams, telling their channel what happens to the connection.

    :raises BrokerMisconfigured: alpaca-py is missing or built differently.
    """
    try:
        from alpaca.data.live import CryptoDataStream, StockDataStream
        from alpaca.trading.stream import TradingStream
    except ImportError as error:
        raise BrokerMisconfigured(
            f"alpaca-py cannot be imported ({error}); install it: pip install alpaca-py"
        ) from None
    kinds = {TRADES: TradingStream, CRYPTO: CryptoDataStream, STOCKS: StockDataStream}
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_sentence_only)  # the same filter is added once only
    if any(not hasattr(kind, hook) for kind in kinds.values() for hook in _HOOKS):
        raise BrokerMisconfigured(
            "this version of alpaca-py is built differently: its streams cannot be watched; "
            "install alpaca-py 0.44.0, or set STEALER_STREAMS=0"
        )
    return {name: _watched(kind) for name, kind in kinds.items()}


def _watched(kind: Any) -> type:
    class Watched(kind):  # type: ignore[misc]
        channel: _Channel

        async def _start_ws(self) -> None:
            await super()._start_ws()
            self.channel.opened()
            asyncio.get_running_loop().call_later(ACKNOWLEDGE_SECONDS, self._give_up, self._ws)

        def _give_up(self, connection: Any) -> None:
            if self._ws is connection:  # not another one since
                self.channel.unacknowledged()

        async def _dispatch(self, message: Any) -> None:
            self.channel.heard()
            if message.get("T") == "subscription" or message.get("stream") == "listening":
                self.channel.acknowledged()
            await super()._dispatch(message)

        async def close(self) -> None:
            self.channel.lost()
            await super().close()

    return Watched
