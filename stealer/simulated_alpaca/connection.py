"""One WebSocket: its reader, its writer, and what stream faults do to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from .faults import FaultBook
from .outbox import Outbox
from .wire import decode, encode
from .world import World

#: Where the gate leaves the server's own transport, for an abrupt end.
TRANSPORT = "simulated_alpaca.transport"
NORMAL_CLOSURE = 1000


@dataclass(frozen=True)
class _Close:
    code: int


class Connection:
    """A connected client. ``text`` is whether its JSON goes in text frames; else in binary ones."""

    def __init__(self, websocket: WebSocket, world: World, text: bool, backlog: int) -> None:
        self.websocket = websocket
        self.path = str(websocket.url.path)
        self.world = world
        self.packed = websocket.headers.get("content-type") == "application/msgpack"
        self.key = websocket.headers.get("apca-api-key-id", "")
        self.secret = websocket.headers.get("apca-api-secret-key", "")
        self._text = text and not self.packed
        self._backlog = backlog
        self._outbox = Outbox()
        self._ending = False

    async def open(self) -> bool:
        """Accept the handshake, or answer it with a refusal that a fault asks for."""
        fault = self._faults.take_stream("stream_refuse", self.path, self.world.now())
        if fault is None:
            await self.websocket.accept()
            return True
        body = {"code": fault.code or fault.status * 100_000, "message": "too many connections"}
        await self.websocket.send_denial_response(JSONResponse(body, status_code=fault.status))
        return False

    def channels(self) -> dict[str, list[str]]:
        """What the client hears: symbols by channel."""
        raise NotImplementedError

    @property
    def _faults(self) -> FaultBook:
        return self.world.exchange.faults

    def answer(self, message: Any) -> None:
        """Send a control message; faults leave these alone."""
        if not self._ending:
            self._outbox.put(encode(message, self.packed))

    def publish(self, message: Any) -> bool:
        """Send what the client subscribed to, as the faults let it. False: the client is too slow.

        Messages published on a mute connection are lost, as they are at the real one.
        """
        if self._ending:
            return True
        if len(self._outbox) >= self._backlog:
            return False
        frame, now = encode(message, self.packed), self.world.now()
        if self._faults.take_stream("stream_mute", self.path, now):
            return True
        delay = self._faults.take_stream("stream_delay", self.path, now)
        late = self._faults.take_stream("stream_reorder", self.path, now)
        twice = self._faults.take_stream("stream_duplicate", self.path, now)
        seconds = (delay.seconds if delay else 0.0) + (late.seconds if late else 0.0)
        for _ in range(2 if twice else 1):
            self._outbox.put(frame, seconds, overtaken=late is not None)
        return True

    def close(self, code: int = NORMAL_CLOSURE) -> None:
        """End with a close frame after what was answered before."""
        if not self._ending:
            self._ending = True
            self._outbox.put(_Close(code))

    def drop(self, code: int | None) -> None:
        """End at once: with a close frame of ``code``, or without a word as a dead network does."""
        transport = self.websocket.scope.get(TRANSPORT)
        if code is None and transport is not None:
            self._ending = True
            transport.abort()
        else:
            self.close(code or NORMAL_CLOSURE)

    async def receive(self) -> Any:
        """The client's next message. Raises ValueError for nonsense, WebSocketDisconnect."""
        message = await self.websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        frame = message.get("bytes")
        return decode(message["text"] if frame is None else frame, self.packed)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Send what is put while the body reads; a disconnect ends the body quietly."""
        writer = asyncio.create_task(self._write())
        try:
            with contextlib.suppress(WebSocketDisconnect):
                yield
        finally:
            self._ending = True
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _write(self) -> None:
        # A client that went away shows in the reader, too, which then ends both.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                frame = await self._outbox.take()
                if isinstance(frame, _Close):
                    await self.websocket.close(frame.code)
                    return
                if self._text:
                    await self.websocket.send_text(frame.decode())
                else:
                    await self.websocket.send_bytes(frame)
