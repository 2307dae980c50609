"""An order and a cancel sent to nobody, so that what the first ones cost is paid before.

The first request of a process loads, compiles and builds a good deal that is the same in every
watcher. Done once in a fleet's parent it is memory that all share; done again in a watcher, as far
as the wire, it gives it the pages that it will write to. So its first order, or its first victim's
cancel, leaves sooner. No connection is opened: both ends of the wire are in this process.

It only saves time, so what fails here stops nothing: the first order meets the same, and says it.
"""

from __future__ import annotations

import json
import logging
import socket
from contextlib import AbstractContextManager, suppress
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

from stealer.broker.client import Clients
from stealer.broker.convert import order_record
from stealer.broker.endpoints import Endpoints
from stealer.broker.interface import Guard
from stealer.broker.transport import (
    BoundedAdapter,
    Exchange,
    Timeouts,
    WatchedConnection,
    budget_from,
    recording,
)

log = logging.getLogger(__name__)

_ORDER = {
    "id": "00000000-0000-0000-0000-000000000000",
    "client_order_id": "rehearsal",
    "symbol": "BTC/USD",
    "asset_class": "crypto",
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "qty": "1",
    "filled_qty": "0",
    "limit_price": "1",
    "status": "new",
    "created_at": "2000-01-01T00:00:00Z",
    "submitted_at": "2000-01-01T00:00:00Z",
    "updated_at": "2000-01-01T00:00:00Z",
}


class _ToOurselves(WatchedConnection):
    """A connection whose other end has answered already."""

    def _new_conn(self) -> socket.socket:
        ours, self._theirs = socket.socketpair()
        body = json.dumps(_ORDER)
        self._theirs.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-RateLimit-Limit: 200\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body.encode())
        )
        return ours

    def close(self) -> None:
        super().close()
        if hasattr(self, "_theirs"):
            self._theirs.close()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _ToOurselves


class _Adapter(BoundedAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool}  # whatever proxy there is
        return manager


class _FarEnough(Exception):
    """The next step would have been the wire."""


def _stop() -> AbstractContextManager[object]:
    raise _FarEnough


def rehearse(*, send: bool = True) -> None:
    """Send one order to ourselves and read the answer, and a cancel.

    :param send: False: only as far as the wire, which is what an order waits for.
    """
    try:
        _send_to_ourselves(None if send else _stop)
    except Exception as error:
        log.debug("rehearsal of an order: %r", error)


def _send_to_ourselves(guard: Guard | None) -> None:
    nobody = "http://127.0.0.1"
    endpoints = Endpoints(trading_url=nobody, data_url=nobody, live=False)
    clients = Clients(("nobody", "nothing"), endpoints, Timeouts())
    session = clients.trading._session
    session.mount("http://", _Adapter(Timeouts()))
    try:
        for request in (_order, _cancel):
            with suppress(_FarEnough):
                request(clients, Exchange(guard))
    finally:
        clients.close()


def _order(clients: Clients, exchange: Exchange) -> None:
    with recording(exchange):
        answer = clients.trading.post("/orders", {"symbol": "BTC/USD", "qty": "1"})
    budget_from(exchange.headers)
    order_record(answer, frozenset({"BTC/USD"}))


def _cancel(clients: Clients, exchange: Exchange) -> None:
    with recording(exchange):
        clients.trading.cancel_order_by_id(_ORDER["id"])
