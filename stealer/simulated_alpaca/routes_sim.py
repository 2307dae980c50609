"""Control and observation of the simulator itself, under /sim: no keys, no limits."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .errors import malformed
from .faults import Fault
from .orders import MAX_NUMBER, parse_asset
from .routes_trading import read_json
from .serialize import event_json, report_json, timestamp
from .world import world_of

DEFAULT_EVENTS = 1000


async def report(request: Request) -> Response:
    """GET /sim/report: the judge's findings."""
    return JSONResponse(report_json(world_of(request).advanced()))


async def clock(request: Request) -> Response:
    """GET /sim/clock: the text that other processes parse to share the market clock."""
    exchange = world_of(request).advanced()
    return JSONResponse(
        {
            "clock": str(exchange.clock),
            "market_time": timestamp(exchange.market_time),
            "speed": exchange.clock.speed,
        }
    )


def _plain(value: Any) -> Any:
    """Exact decimals back to floats, for a fault's fields."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return float(value) if isinstance(value, Decimal) else value


async def faults(request: Request) -> Response:
    """GET lists, POST adds one (or a list), DELETE clears."""
    book = world_of(request).exchange.faults
    if request.method == "DELETE":
        book.clear()
    elif request.method == "POST":
        body = _plain(await read_json(request))
        try:
            for item in body if isinstance(body, list) else [body]:
                fault = book.add(item, world_of(request).now())
                if fault.kind == "stream_drop":
                    _drop(request, fault)
        except ValueError as error:
            raise malformed(str(error)) from error
    return JSONResponse({"faults": [fault.describe() for fault in book.faults]})


def _drop(request: Request, fault: Fault) -> None:
    """End the streams that are connected now."""
    state = request.app.state
    for connection in [*state.trade_updates.connections, *state.data_streams.connections]:
        if connection.path.startswith(fault.path):
            connection.drop(fault.code)


def _amount(body: Any, name: str) -> Decimal:
    value = body.get(name) if isinstance(body, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise malformed(f"{name} must be a number")
    amount = Decimal(value)
    if abs(amount) > MAX_NUMBER:
        raise malformed(f"{name} is out of range")
    return amount


async def price(request: Request) -> Response:
    """POST {"symbol", "price"}: pin a symbol's mid, or let it go with price null."""
    exchange, body = world_of(request).advanced(), await read_json(request)
    if not isinstance(body, dict):
        raise malformed("request body format is invalid")
    symbol = parse_asset(body.get("symbol"), exchange.symbols).symbol
    pinned = None if body.get("price") is None else _amount(body, "price")
    if pinned is not None and pinned <= 0:
        raise malformed("price must be > 0")
    exchange.pin(symbol, pinned)
    told_at = time.time()
    request.app.state.data_streams.price_set()
    mid = exchange.market.mid(symbol)
    answer = {"symbol": symbol, "price": None if mid is None else str(mid), "real_time": told_at}
    return JSONResponse(answer)


async def equity(request: Request) -> Response:
    """POST {"cash_delta"}: pay in, or out."""
    exchange = world_of(request).advanced()
    exchange.add_cash(_amount(await read_json(request), "cash_delta"))
    return JSONResponse({"cash": str(exchange.account.cash)})


async def streams(request: Request) -> Response:
    """GET /sim/streams: who is connected, and what each one hears."""
    state = request.app.state
    connected = [*state.trade_updates.connections, *state.data_streams.connections]
    return JSONResponse(
        {"streams": [{"path": c.path, "channels": c.channels()} for c in connected]}
    )


async def requests(request: Request) -> Response:
    """GET /sim/requests: how many came since the start, refused ones as well."""
    return JSONResponse({"requests": dict(request.app.state.requests)})


async def log(request: Request) -> Response:
    """GET ?after=N&limit=M: the events after a sequence number, oldest first."""
    exchange, query = world_of(request).advanced(), request.query_params
    try:
        after, limit = int(query.get("after") or 0), int(query.get("limit") or DEFAULT_EVENTS)
    except ValueError as error:
        raise malformed("after and limit must be integers") from error
    events = exchange.events.after(after)[: max(limit, 0)]
    found = [event_json(event) for event in events]
    return JSONResponse({"oldest": exchange.events.oldest, "events": found})


ROUTES = [
    Route("/sim/report", report),
    Route("/sim/clock", clock),
    Route("/sim/faults", faults, methods=["GET", "POST", "DELETE"]),
    Route("/sim/price", price, methods=["POST"]),
    Route("/sim/equity", equity, methods=["POST"]),
    Route("/sim/streams", streams),
    Route("/sim/requests", requests),
    Route("/sim/log", log),
]
