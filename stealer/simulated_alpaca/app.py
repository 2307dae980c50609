"""The ASGI application: routes, error answers, the ticker that moves the market."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from . import routes_data, routes_sim, routes_trading
from .errors import ApiError
from .gate import Gate
from .limits import RateLimiter
from .world import World

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerConfig:
    """The HTTP side. Limits are requests a minute, 0 for none; ``tick`` is real seconds."""

    rate_limit: int = 200
    data_rate_limit: int = 0
    key: str = ""
    secret: str = ""
    tick: float = 0.05


def build_app(world: World, config: ServerConfig) -> ASGIApp:
    """The whole server around a world."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ticker = asyncio.create_task(_tick_for_ever(world, config.tick))
        try:
            yield
        finally:
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker

    app = Starlette(
        routes=[*routes_trading.ROUTES, *routes_data.ROUTES, *routes_sim.ROUTES],
        lifespan=lifespan,
        exception_handlers={ApiError: _api_error, HTTPException: _http_error},
    )
    app.state.world = world
    return Gate(
        app,
        world.exchange.faults,
        RateLimiter(config.rate_limit),
        RateLimiter(config.data_rate_limit),
        world.now,
        config.key,
        config.secret,
    )


async def _tick_for_ever(world: World, seconds: float) -> None:
    while True:
        try:
            world.advanced()
        except Exception:
            # A market that stands still silently would look like a quiet one.
            log.exception("the simulated market could not advance")
        await asyncio.sleep(seconds)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, status_code=error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = 40410000 if error.status_code == 404 else error.status_code * 100_000
    message = "endpoint not found" if error.status_code == 404 else error.detail
    return JSONResponse({"code": code, "message": message}, status_code=error.status_code)
