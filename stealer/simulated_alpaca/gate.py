"""The outermost layer of the server: rate limit, keys, wire faults.

Plain ASGI, because a dropped reply needs the server's own `send`.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .connection import TRANSPORT
from .errors import ApiError, too_many_requests, unauthorized
from .faults import Fault, FaultBook
from .limits import RateLimiter
from .settings import ServerConfig

HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_MESSAGES = {429: (42910000, "rate limit exceeded"), 504: (50410000, "request timed out")}


@dataclass
class Gate:
    """Wraps the app."""

    app: ASGIApp
    faults: FaultBook
    trading_limit: RateLimiter
    data_limit: RateLimiter
    now: Callable[[], float]
    config: ServerConfig
    #: Requests by method and kind of limit, refused ones as well.
    requests: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "websocket":
            # The middle layers hide the server's `send`, and with it the connection's transport.
            scope[TRANSPORT] = _transport(send)
        if scope["type"] != "http" or path.startswith("/sim/"):
            await self.app(scope, receive, send)
            return
        given = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        key = given.get("apca-api-key-id", "")
        data = path.startswith(("/v2/stocks/", "/v1beta3/"))
        limiter = self.data_limit if data else self.trading_limit
        self.requests[f"{scope['method']} {'data' if data else 'trading'}"] += 1
        allowed, extra = limiter.take(key, self.now())
        extra["X-Request-ID"] = uuid.uuid4().hex
        problem: ApiError | None = None
        if not self._authorized(path, key, given.get("apca-api-secret-key", "")):
            problem = unauthorized()
        elif not allowed:
            problem = too_many_requests()
        if problem is not None:
            await _answer(send, problem.status, _json(problem.body), extra)
            return
        await self._pass(scope, receive, send, extra)

    def _authorized(self, path: str, key: str, secret: str) -> bool:
        # Crypto market data needs no keys at Alpaca.
        if path.startswith("/v1beta3/crypto/") and not key:
            return True
        return self.config.accepts(key, secret)

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, extra: dict[str, str]
    ) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_headers(extra)]
            await send(message)

        async def swallow(message: Message) -> None:
            return None

        fault = self.faults.take_wire(scope["method"], scope["path"])
        if fault is None:
            await self.app(scope, receive, send_with_headers)
        elif fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
            await self.app(scope, receive, send_with_headers)
        elif fault.kind == "drop_reply":
            await self.app(scope, receive, swallow)
            await _hang_up(send)
        elif fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
            await _hang_up(send)
        elif fault.kind == "html":
            await _answer(send, 502, HTML_PAGE, extra, "text/html")
        else:
            await _answer(send, fault.status, _json(_fault_body(fault)), extra)


def _fault_body(fault: Fault) -> dict[str, Any]:
    code, message = _MESSAGES.get(fault.status, (fault.status * 100_000 + 10_000, "internal error"))
    return {"code": fault.code or code, "message": fault.message or message}


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _headers(extra: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in extra.items()]


async def _answer(
    send: Send, status: int, body: bytes, extra: dict[str, str], kind: str = "application/json"
) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": status, "headers": headers + _headers(extra)}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _transport(send: Send) -> Any:
    """The transport behind uvicorn's `send`, None under another server."""
    return getattr(getattr(send, "__self__", None), "transport", None)


async def _hang_up(send: Send) -> None:
    """Close the connection without a byte of answer, as a crashed proxy does."""
    transport = _transport(send)
    if transport is not None:
        transport.abort()
        return
    # Another ASGI server: the nearest thing is an answer that breaks off.
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]}
    )
