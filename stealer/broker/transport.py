"""The wire under alpaca-py: a bound on every call, and certainty about what was sent.

alpaca-py passes no timeout to requests, so a call could hang for ever; the adapter here supplies
one whenever none is given. And "was it sent?" is not guessed from the kind of exception: the
connection itself reports the moment it starts to write. What failed before that moment (name
look-up, connect, TLS, the guard) was certainly not sent; everything else is unresolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from stealer.broker.interface import Guard, RequestBudget

#: Methods that may be sent again within one exchange (paged market data); no others.
_REPEATABLE = frozenset({"GET"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for each part of an answer after the request."""

    connect: float = 3.0
    read: float = 10.0


@dataclass(slots=True)
class Exchange:
    """What is known about one call on the wire, filled in while it happens."""

    guard: Guard | None = None
    watched: bool = False  #: our connection class took part, so ``sent`` can be believed
    sent: bool = False  #: the first byte of the request may have left
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def certainly_not_sent(self) -> bool:
        """True only on positive knowledge that no byte of the request left."""
        return self.watched and not self.sent

    @property
    def succeeded(self) -> bool:
        """True for an answer in 2xx. alpaca-py takes an empty 302 for success; this does not."""
        return self.status is not None and 200 <= self.status < 300

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Enter the guard, then count the request as sent: that order, so a refusal is clean."""
        with self.guard() if self.guard is not None else nullcontext():
            self.sent = True
            yield


_current: ContextVar[Exchange | None] = ContextVar("stealer_broker_exchange", default=None)


@contextmanager
def recording(exchange: Exchange) -> Iterator[Exchange]:
    """Record the calls made inside into *exchange*; per thread, so threads do not mix."""
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


class WatchedConnection(HTTPConnection):
    """An HTTP connection that tells the current exchange when it begins to write."""

    def connect(self) -> None:
        exchange = _current.get()
        if exchange is not None:
            exchange.watched = True
        super().connect()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        exchange = _current.get()
        if exchange is None:
            super().request(method, url, *args, **kwargs)
            return
        exchange.watched = True
        if exchange.sent and method not in _REPEATABLE:
            raise AssertionError(f"{method} must not be sent twice")
        if self.is_closed:
            self.connect()  # first, so that the guard covers the write and not the handshake
        with exchange.sending():
            super().request(method, url, *args, **kwargs)


class WatchedSecureConnection(WatchedConnection, HTTPSConnection):
    """The same over TLS; connecting includes the handshake."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = WatchedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = WatchedSecureConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}


class BoundedAdapter(HTTPAdapter):
    """Sends through watched connections, with a timeout, never by itself a second time."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        bound = timeout or (self._timeouts.connect, self._timeouts.read)
        response = super().send(request, stream, bound, verify, cert, proxies)
        exchange = _current.get()
        if exchange is not None:
            exchange.status = response.status_code
            exchange.headers = response.headers
        return response


def budget_from(headers: Mapping[str, str]) -> RequestBudget | None:
    """The request budget stated in *headers* (any letter case), None if nothing is stated."""
    limit = _whole(headers.get("X-RateLimit-Limit"))
    remaining = _whole(headers.get("X-RateLimit-Remaining"))
    reset_at = _whole(headers.get("X-RateLimit-Reset"))
    if limit is None and remaining is None and reset_at is None:
        return None
    return RequestBudget(limit, remaining, None if reset_at is None else float(reset_at))


def seconds_to_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from the answer's own date to the reset it states; None when it states none.

    On the broker's clock alone, if it sends a date: in whole seconds, so up to one too many. Else
    by *now*, unix seconds here.
    """
    reset_at = _whole(headers.get("X-RateLimit-Reset"))
    if reset_at is None:
        return None
    try:
        date = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        date = now
    return max(reset_at - date, 0.0)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
