"""The ASGI application: routes, streams, error answers, and what moves the market."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from . import (
    data_stream,
    routes_account,
    routes_data,
    routes_sim,
    routes_trading,
    trade_stream,
)
from .data_stream import DataStreams
from .errors import ApiError
from .gate import Gate
from .limits import RateLimiter
from .pacemaker import Pacemaker
from .settings import ServerConfig
from .trade_stream import TradeUpdates
from .world import World


def build_app(world: World, config: ServerConfig) -> ASGIApp:
    """The whole server around a world."""

    trades, data = TradeUpdates(world, config), DataStreams(world, config)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pacemaker = asyncio.create_task(Pacemaker(world, data, config.tick).run())
        try:
            yield
        finally:
            pacemaker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pacemaker

    app = Starlette(
        routes=[
            *routes_account.ROUTES,
            *routes_trading.ROUTES,
            *routes_data.ROUTES,
            *routes_sim.ROUTES,
            WebSocketRoute(trade_stream.PATH, trades.serve),
            *(
                WebSocketRoute(path, data.serve)
                for path in (data_stream.CRYPTO_PATH, data_stream.IEX_PATH, data_stream.SIP_PATH)
            ),
        ],
        lifespan=lifespan,
        exception_handlers={ApiError: _api_error, HTTPException: _http_error},
    )
    app.state.world = world
    app.state.trade_updates = trades
    app.state.data_streams = data
    gate = Gate(
        app,
        world.exchange.faults,
        RateLimiter(config.rate_limit),
        RateLimiter(config.data_rate_limit),
        world.now,
        config,
    )
    app.state.requests = gate.requests
    return gate


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, status_code=error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = 40410000 if error.status_code == 404 else error.status_code * 100_000
    message = "endpoint not found" if error.status_code == 404 else error.detail
    return JSONResponse({"code": code, "message": message}, status_code=error.status_code)


__all__ = ["ServerConfig", "build_app"]
