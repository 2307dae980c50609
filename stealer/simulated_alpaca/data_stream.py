"""The market data streams: the crypto feed at /v1beta3/crypto/us, stocks at /v2/iex and /v2/sip."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from starlette.websockets import WebSocket

from .connection import Connection
from .feed import CHANNELS, Feed, Message
from .settings import ServerConfig
from .world import World

CRYPTO_PATH, IEX_PATH, SIP_PATH = "/v1beta3/crypto/us", "/v2/iex", "/v2/sip"
POLICY_VIOLATION = 1008
ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
}
#: A trade subscription of stocks brings these along.
_WITH_TRADES = ("corrections", "cancelErrors")


class Refused(Exception):
    """A control message that earns an error; ``code`` is one of `ERRORS`."""

    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code])
        self.code = code


class DataConnection(Connection):
    """A client of a data endpoint and what it subscribed to."""

    def __init__(self, websocket: WebSocket, world: World, backlog: int) -> None:
        super().__init__(websocket, world, text=True, backlog=backlog)
        self.crypto = self.path == CRYPTO_PATH
        self.authenticated = False
        self.wanted: dict[str, set[str]] = {name: set() for name in CHANNELS[self.crypto]}

    def channels(self) -> dict[str, list[str]]:
        """See `Connection.channels`."""
        return {name: sorted(symbols) for name, symbols in self.wanted.items() if symbols}

    def error(self, code: int) -> None:
        """Send an error of `ERRORS`."""
        self.answer([{"T": "error", "code": code, "msg": ERRORS[code]}])

    def success(self, words: str) -> None:
        """Send a success."""
        self.answer([{"T": "success", "msg": words}])

    def wants(self, message: Message) -> bool:
        """Whether the message is of this feed, and of a channel and a symbol subscribed to."""
        symbols = self.wanted.get(message.channel, ())
        return ("/" in message.symbol) == self.crypto and (
            message.symbol in symbols or "*" in symbols
        )

    def change(self, body: dict[str, Any], limit: int) -> None:
        """Subscribe or unsubscribe as ``body`` says. Raises Refused and changes nothing."""
        changes: dict[str, set[str]] = {}
        for name, symbols in body.items():
            if name == "action":
                continue
            if name not in self.wanted or name in _WITH_TRADES:
                raise Refused(410 if any(name in known for known in CHANNELS.values()) else 400)
            if not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
                raise Refused(400)
            changes[name] = set(symbols)
            if name == "trades" and not self.crypto:
                changes |= {extra: set(symbols) for extra in _WITH_TRADES}
        adding = body["action"] == "subscribe"
        after = {
            name: known | changes.get(name, set()) if adding else known - changes.get(name, set())
            for name, known in self.wanted.items()
        }
        if limit and len(after["trades"] | after["quotes"]) > limit:
            raise Refused(405)
        self.wanted = after
        reply = {name: sorted(symbols) for name, symbols in after.items()}
        self.answer([{"T": "subscription"} | reply])


class DataStreams:
    """Everybody connected to a data endpoint, and the feed that they hear."""

    def __init__(self, world: World, config: ServerConfig) -> None:
        self.world = world
        self.config = config
        self.connections: set[DataConnection] = set()
        self.feed = Feed(world.exchange, config.streams.quote_interval)

    def tick(self) -> None:
        """Send what is new, quotes at the configured rate."""
        self._send(self.feed.news(self._wanted(), self.world.now()))

    def price_set(self) -> None:
        """Send every quote that changed now: a price was set by hand."""
        self._send(self.feed.quotes(self._wanted(), self.world.now()))

    def _wanted(self) -> set[str]:
        """The symbols that anybody subscribed to."""
        named = {
            symbol
            for connection in self.connections
            for symbols in connection.wanted.values()
            for symbol in symbols
        }
        known = self.world.exchange.symbols
        return set(known) if "*" in named else named & known

    def _send(self, messages: Iterable[Message]) -> None:
        found = list(messages)
        if not found:
            return
        for connection in list(self.connections):
            batch = [m.body for m in found if connection.wants(m)]
            if batch and not connection.publish(batch):
                connection.error(407)
                connection.close(POLICY_VIOLATION)
                self.connections.discard(connection)

    async def serve(self, websocket: WebSocket) -> None:
        """A client's connection, from handshake to end."""
        connection = DataConnection(websocket, self.world, self.config.streams.backlog)
        if not await connection.open():
            return
        async with connection.writing():
            try:
                connection.success("connected")
                await self._converse(connection)
            finally:
                self.connections.discard(connection)

    async def _converse(self, connection: DataConnection) -> None:
        if connection.key or connection.secret:
            given = {"action": "auth", "key": connection.key, "secret": connection.secret}
            self._handle(connection, given)
        try:
            async with asyncio.timeout(self.config.streams.auth_timeout):
                while not connection.authenticated:
                    await self._step(connection)
        except TimeoutError:
            connection.error(404)
            connection.close(POLICY_VIOLATION)
        while True:
            await self._step(connection)

    async def _step(self, connection: DataConnection) -> None:
        try:
            message = await connection.receive()
        except ValueError:
            message = None
        self._handle(connection, message)

    def _handle(self, connection: DataConnection, message: Any) -> None:
        try:
            self._obey(connection, message)
        except Refused as refused:
            connection.error(refused.code)
            if refused.code in (406, 409):
                connection.close(POLICY_VIOLATION)

    def _obey(self, connection: DataConnection, message: Any) -> None:
        action = message.get("action") if isinstance(message, dict) else None
        if action == "auth":
            self._authenticate(connection, message.get("key"), message.get("secret"))
        elif action not in ("subscribe", "unsubscribe"):
            raise Refused(400)
        elif not connection.authenticated:
            raise Refused(401)
        else:
            self.feed.remember(self.world.exchange.symbols)
            connection.change(message, self.config.streams.data_symbols)

    def _authenticate(self, connection: DataConnection, key: Any, secret: Any) -> None:
        """Check keys, feed and the number of connections. Raises Refused."""
        if connection.authenticated:
            raise Refused(403)
        if not self.config.accepts(key, secret):
            raise Refused(402)
        if connection.path == SIP_PATH and not self.config.streams.sip:
            raise Refused(409)
        same = [c for c in self.connections if (c.path, c.key) == (connection.path, key)]
        if 0 < self.config.streams.data_connections <= len(same):
            raise Refused(406)
        connection.key, connection.authenticated = key, True
        self.connections.add(connection)
        connection.success("authenticated")
