"""The trade updates at /stream: authenticate, listen, and every event of every order.

Nothing is replayed: who connects hears of what happens from then on.
"""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket

from .connection import Connection
from .errors import number
from .events import Event
from .serialize import execution_id, order_json, timestamp
from .settings import ServerConfig
from .world import World

PATH = "/stream"
STREAM = "trade_updates"
POLICY_VIOLATION = 1008
GOING_AWAY = 1001
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class TradeConnection(Connection):
    """A client of /stream."""

    def __init__(self, websocket: WebSocket, world: World, backlog: int) -> None:
        super().__init__(websocket, world, text=False, backlog=backlog)
        self.authorized = False
        self.listening = False

    def channels(self) -> dict[str, list[str]]:
        """See `Connection.channels`."""
        return {STREAM: ["*"]} if self.listening else {}

    def listen(self, streams: Any) -> None:
        """Take the set of streams to hear; those that do not exist are left out of the answer."""
        self.listening = isinstance(streams, list) and STREAM in streams
        self.answer(
            {"stream": "listening", "data": {"streams": [STREAM] if self.listening else []}}
        )

    def authorization(self, action: str, ok: bool) -> None:
        """Answer whether the client is authorized."""
        status = "authorized" if ok else "unauthorized"
        self.answer({"stream": "authorization", "data": {"action": action, "status": status}})


class TradeUpdates:
    """Everybody connected to /stream. The events of the exchange reach them when they happen."""

    def __init__(self, world: World, config: ServerConfig) -> None:
        self.world = world
        self.config = config
        self.connections: set[TradeConnection] = set()
        world.exchange.events.listeners.append(self._tell)

    def _tell(self, event: Event) -> None:
        listening = [connection for connection in self.connections if connection.listening]
        if not listening:
            return
        message = {"stream": STREAM, "data": trade_update(event)}
        for connection in listening:
            if not connection.publish(message):
                connection.drop(POLICY_VIOLATION)

    async def serve(self, websocket: WebSocket) -> None:
        """A client's connection, from handshake to end."""
        connection = TradeConnection(websocket, self.world, self.config.streams.backlog)
        if not await connection.open():
            return
        async with connection.writing():
            try:
                while True:
                    await self._step(connection)
            finally:
                self.connections.discard(connection)

    async def _step(self, connection: TradeConnection) -> None:
        try:
            message = await connection.receive()
        except ValueError:
            message = None
        message = message if isinstance(message, dict) else {}
        action, given = message.get("action"), message.get("data")
        data = given if isinstance(given, dict) else {}
        if action in ("authenticate", "auth"):
            key = data.get("key_id") or message.get("key")
            secret = data.get("secret_key") or message.get("secret")
            self._authenticate(connection, key, secret)
        elif action == "listen" and connection.authorized:
            connection.listen(data.get("streams"))
        elif action == "listen":
            connection.authorization("listen", ok=False)
        else:
            connection.answer({"stream": "error", "data": {"error_message": "invalid message"}})

    def _authenticate(self, connection: TradeConnection, key: Any, secret: Any) -> None:
        if not self.config.accepts(key, secret):
            connection.authorization("authenticate", ok=False)
            return
        limit = self.config.streams.trade_connections
        others = self.connections - {connection}
        if limit and len(others) >= limit:
            if self.config.streams.second_trade_stream == "refuse":
                connection.authorization("authenticate", ok=False)
                connection.close(POLICY_VIOLATION)
                return
            for other in others:
                other.close(GOING_AWAY)
        self.connections.add(connection)
        connection.authorized = True
        connection.authorization("authenticate", ok=True)


def trade_update(event: Event) -> dict[str, Any]:
    """An event as the stream's `data`: the whole order, and for a fill what was executed."""
    update: dict[str, Any] = {
        "event": event.name,
        "event_id": event_id(event),
        "execution_id": execution_id(event),
        "at": timestamp(event.market),
        "timestamp": timestamp(event.market),
        "order": order_json(event.order),
    }
    if event.execution is not None:
        update["price"] = number(event.execution.price)
        update["qty"] = number(event.execution.qty)
        update["position_qty"] = number(event.execution.position_qty)
    return update


def event_id(event: Event) -> str:
    """A ULID: sorts as the events happened. Time in milliseconds, then the sequence number."""
    value = (int(event.market * 1000) << 80) | event.sequence
    digits = []
    for _ in range(26):
        value, digit = divmod(value, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits))
