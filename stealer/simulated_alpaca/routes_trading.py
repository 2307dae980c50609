"""The trading endpoints under /v2: positions, assets, orders, clock, calendar."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import nyse
from .account import Position
from .assets import asset_for, canonical_symbol
from .clock import parse_instant
from .errors import ApiError, malformed, not_found, unprocessable
from .orders import Order
from .serialize import asset_json, eastern, order_json, position_json
from .world import World, world_of

DEFAULT_ORDERS = 50
MAX_ORDERS = 500
CALENDAR_FIRST, CALENDAR_LAST = date(1970, 1, 1), date(2029, 12, 31)


async def read_json(request: Request) -> Any:
    """The body with exact decimals. Raises ApiError for anything but JSON of finite numbers."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not a number")

    try:
        return json.loads(await request.body(), parse_float=Decimal, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise malformed("request body format is invalid") from error


def _position(world: World, position: Position) -> dict[str, Any]:
    exchange = world.exchange
    side = "sell" if position.qty > 0 else "buy"
    held = sum(
        (
            order.remaining
            for order in exchange.holding()
            if order.asset == position.asset and order.side == side
        ),
        Decimal(0),
    )
    return position_json(position, exchange.market.marks()[position.asset.symbol], held)


async def positions(request: Request) -> Response:
    """GET /v2/positions."""
    world = world_of(request)
    held = world.advanced().account.positions
    return JSONResponse([_position(world, position) for position in held.values()])


def _find_symbol(world: World, text: str) -> str | None:
    """A canonical symbol from either spelling or from an asset id."""
    for symbol in world.exchange.source.symbols:
        if asset_for(symbol).id == text:
            return symbol
    try:
        symbol = canonical_symbol(text)
    except ValueError:
        return None
    return symbol if symbol in world.exchange.symbols else None


def _open_position(request: Request) -> Position:
    world = world_of(request)
    held = world.advanced().account.positions
    symbol = _find_symbol(world, request.path_params["symbol"])
    if symbol is None or symbol not in held:
        raise not_found("position does not exist")
    return held[symbol]


async def position(request: Request) -> Response:
    """GET /v2/positions/{symbol or asset id}."""
    return JSONResponse(_position(world_of(request), _open_position(request)))


def _close(world: World, held: Position, qty: Decimal) -> Order:
    body = {
        "symbol": held.asset.symbol,
        "qty": qty,
        "type": "market",
        "side": "sell" if held.qty > 0 else "buy",
        "time_in_force": "gtc" if held.asset.is_crypto else "day",
    }
    return world.exchange.submit(world.now(), body)


async def close_position(request: Request) -> Response:
    """DELETE /v2/positions/{symbol}: a market order over all, `qty` or `percentage` of it."""
    held, query = _open_position(request), request.query_params
    try:
        qty = Decimal(query.get("qty") or abs(held.qty))
        if "percentage" in query:
            qty = (abs(held.qty) * Decimal(query["percentage"]) / 100).quantize(Decimal("1e-9"))
    except ArithmeticError as error:
        raise malformed("qty and percentage must be numbers") from error
    return JSONResponse(order_json(_close(world_of(request), held, qty)))


async def close_positions(request: Request) -> Response:
    """DELETE /v2/positions: a market order for each, and cancels first if `cancel_orders`."""
    world = world_of(request)
    exchange = world.advanced()
    if request.query_params.get("cancel_orders", "").lower() == "true":
        for order in list(exchange.live.values()):
            exchange.cancel(world.now(), order.id)
    answers: list[dict[str, Any]] = []
    for held in list(exchange.account.positions.values()):
        answer: dict[str, Any] = {"symbol": held.asset.position_symbol, "status": 200}
        try:
            answer["body"] = order_json(_close(world, held, abs(held.qty)))
        except ApiError as error:
            answer |= {"status": error.status, "body": error.body}
        answers.append(answer)
    return JSONResponse(answers, status_code=207)


async def assets(request: Request) -> Response:
    """GET /v2/assets with `asset_class` and `status`."""
    exchange, query = world_of(request).advanced(), request.query_params
    found = [asset_for(symbol) for symbol in exchange.source.symbols]
    wanted = query.get("asset_class") or ""
    if query.get("status") == "inactive":
        found = []
    return JSONResponse(
        [
            asset_json(asset, exchange.market.mid(asset.symbol))
            for asset in found
            if wanted in ("", asset.asset_class)
        ]
    )


async def asset(request: Request) -> Response:
    """GET /v2/assets/{symbol or asset id}."""
    world = world_of(request)
    exchange = world.advanced()
    symbol = _find_symbol(world, request.path_params["symbol"])
    if symbol is None:
        raise not_found(f"asset not found for {request.path_params['symbol']}")
    return JSONResponse(asset_json(asset_for(symbol), exchange.market.mid(symbol)))


async def submit_order(request: Request) -> Response:
    """POST /v2/orders."""
    world = world_of(request)
    # The body first: its end may come later than its beginning.
    body = await read_json(request)
    return JSONResponse(order_json(world.exchange.submit(world.now(), body)))


async def list_orders(request: Request) -> Response:
    """GET /v2/orders with status, limit, after, until, direction, symbols, side."""
    exchange, query = world_of(request).advanced(), request.query_params
    status = query.get("status") or "open"
    if status not in ("open", "closed", "all"):
        raise unprocessable(f"invalid status: {status}")
    pool: Iterable[Order] = exchange.live.values() if status == "open" else exchange.orders.values()
    chosen = [order for order in pool if status != "closed" or not order.live]
    chosen = [order for order in chosen if _matches(order, request)]
    chosen.sort(key=lambda order: order.sequence, reverse=query.get("direction") != "asc")
    return JSONResponse([order_json(order) for order in chosen[: _limit(query.get("limit"))]])


def _limit(text: str | None) -> int:
    if not text:
        return DEFAULT_ORDERS
    if not text.isdigit():
        raise malformed("limit must be a number")
    return min(int(text) or DEFAULT_ORDERS, MAX_ORDERS)


def _matches(order: Order, request: Request) -> bool:
    query = request.query_params
    names = query.get("symbols", "").split(",")
    symbols = {name.replace("/", "").upper() for name in names if name}
    if symbols and order.asset.position_symbol not in symbols:
        return False
    classes = [name for name in query.get("asset_class", "").split(",") if name]
    if classes and not {order.asset.asset_class, "all"} & set(classes):
        return False
    if query.get("side") and query["side"] != order.side:
        return False
    if not _in_sequence(order, request):
        return False
    try:
        after = parse_instant(query["after"]) if query.get("after") else None
        until = parse_instant(query["until"]) if query.get("until") else None
    except ValueError as error:
        raise malformed("after and until must be RFC 3339 times") from error
    return (after is None or order.submitted_at > after) and (
        until is None or order.submitted_at < until
    )


def _in_sequence(order: Order, request: Request) -> bool:
    """Whether it came between the orders named. Raises ApiError for one that does not exist."""
    exchange, query = world_of(request).exchange, request.query_params
    before, after = query.get("before_order_id"), query.get("after_order_id")
    if before and order.sequence >= exchange.get(before).sequence:
        return False
    return not after or order.sequence > exchange.get(after).sequence


async def get_order(request: Request) -> Response:
    """GET /v2/orders/{id}."""
    exchange = world_of(request).advanced()
    return JSONResponse(order_json(exchange.get(request.path_params["order_id"])))


async def get_order_by_client_id(request: Request) -> Response:
    """GET /v2/orders:by_client_order_id."""
    exchange = world_of(request).advanced()
    wanted = request.query_params.get("client_order_id", "")
    return JSONResponse(order_json(exchange.get_by_client_id(wanted)))


async def replace_order(request: Request) -> Response:
    """PATCH /v2/orders/{id}: answers the new order."""
    world = world_of(request)
    body = await read_json(request)
    return JSONResponse(
        order_json(world.exchange.replace(world.now(), request.path_params["order_id"], body))
    )


async def cancel_order(request: Request) -> Response:
    """DELETE /v2/orders/{id}: 204, and the cancel ends later."""
    world = world_of(request)
    world.exchange.cancel(world.now(), request.path_params["order_id"])
    return Response(status_code=204)


async def cancel_orders(request: Request) -> Response:
    """DELETE /v2/orders: 207 with a status for each."""
    world = world_of(request)
    live = list(world.advanced().live.values())
    for order in live:
        world.exchange.cancel(world.now(), order.id)
    return JSONResponse([{"id": order.id, "status": 200} for order in live], status_code=207)


async def clock(request: Request) -> Response:
    """GET /v2/clock, in market time."""
    now = world_of(request).advanced().market_time
    session = nyse.current_session(now)
    upcoming = nyse.next_session(now)
    return JSONResponse(
        {
            "timestamp": eastern(now),
            "is_open": session is not None,
            "next_open": eastern(upcoming.open),
            "next_close": eastern(session.close if session else upcoming.close),
        }
    )


async def calendar(request: Request) -> Response:
    """GET /v2/calendar with `start` and `end` dates, both included."""
    query = request.query_params
    try:
        first = date.fromisoformat((query.get("start") or str(CALENDAR_FIRST))[:10])
        last = date.fromisoformat((query.get("end") or str(CALENDAR_LAST))[:10])
    except ValueError as error:
        raise malformed("start and end must be dates") from error
    sessions = nyse.sessions_between(max(first, CALENDAR_FIRST), min(last, CALENDAR_LAST))
    return JSONResponse(
        [
            {
                "date": str(session.day),
                "open": eastern(session.open)[11:16],
                "close": eastern(session.close)[11:16],
                "session_open": "0400",
                "session_close": "2000",
                "settlement_date": str(nyse.next_session(session.close).day),
            }
            for session in sessions
        ]
    )


ROUTES = [
    Route("/v2/positions", positions, methods=["GET"]),
    Route("/v2/positions", close_positions, methods=["DELETE"]),
    Route("/v2/positions/{symbol:path}", position, methods=["GET"]),
    Route("/v2/positions/{symbol:path}", close_position, methods=["DELETE"]),
    Route("/v2/assets", assets),
    Route("/v2/assets/{symbol:path}", asset),
    Route("/v2/orders", submit_order, methods=["POST"]),
    Route("/v2/orders", list_orders, methods=["GET"]),
    Route("/v2/orders", cancel_orders, methods=["DELETE"]),
    Route("/v2/orders:by_client_order_id", get_order_by_client_id),
    Route("/v2/orders/{order_id}", get_order, methods=["GET"]),
    Route("/v2/orders/{order_id}", replace_order, methods=["PATCH"]),
    Route("/v2/orders/{order_id}", cancel_order, methods=["DELETE"]),
    Route("/v2/clock", clock),
    Route("/v2/calendar", calendar),
]
