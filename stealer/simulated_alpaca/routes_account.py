"""The account's endpoints under /v2/account: its figures, activities and history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .clock import parse_instant
from .errors import ApiError, malformed, unprocessable
from .events import Event
from .history import DAY, TIMEFRAMES, default_timeframe, parse_period
from .serialize import account_json, activity_json
from .world import world_of

MAX_PAGE = 100
DEFAULT_PERIOD = "1M"


async def account(request: Request) -> Response:
    """GET /v2/account."""
    exchange = world_of(request).advanced()
    return JSONResponse(
        account_json(
            exchange.figures(),
            exchange.account.last_equity,
            exchange.clock.at(exchange.started),
            exchange.market_time,
        )
    )


async def activities(request: Request) -> Response:
    """GET /v2/account/activities and /v2/account/activities/{type}, in pages by `page_token`.

    Fills are the only activities here: of other types there are none.
    """
    executions, query = world_of(request).advanced().events.executions, request.query_params
    wanted = request.path_params.get("activity_type") or query.get("activity_types") or ""
    if query.get("category") and query.get("activity_types"):
        raise malformed("category cannot be used with activity_types")
    types = {name.upper() for name in wanted.split(",") if name}
    trades = query.get("category") != "non_trade_activity" and (not types or "FILL" in types)
    found = [*filter(_between(query), executions if trades else [])]
    if query.get("direction", "desc") != "asc":
        found.reverse()
    page = _after_token([activity_json(event) for event in found], query.get("page_token"))
    return JSONResponse(page[: _page_size(query)])


def _page_size(query: QueryParams) -> int:
    text = query.get("page_size") or str(MAX_PAGE)
    if not text.isdigit() or not 1 <= int(text) <= MAX_PAGE:
        raise malformed(f"page_size must be between 1 and {MAX_PAGE}")
    return int(text)


def _after_token(found: list[dict[str, Any]], token: str | None) -> list[dict[str, Any]]:
    """What follows the activity whose id the token is."""
    if not token:
        return found
    ids = [activity["id"] for activity in found]
    if token not in ids:
        raise unprocessable("page_token is not the id of an activity")
    return found[ids.index(token) + 1 :]


def _instant(query: QueryParams, name: str) -> float | None:
    text = query.get(name)
    try:
        return parse_instant(text) if text else None
    except ValueError as error:
        raise malformed(f"{name} must be a date or an RFC 3339 time") from error


def _between(query: QueryParams) -> Callable[[Event], bool]:
    """Whether an event is of the time that is asked for."""
    after, until, day = (_instant(query, name) for name in ("after", "until", "date"))
    return lambda event: (
        (after is None or event.market > after)
        and (until is None or event.market < until)
        and (day is None or event.market // DAY == day // DAY)
    )


async def portfolio_history(request: Request) -> Response:
    """GET /v2/account/portfolio/history with `period`, `timeframe`, `start`, `end`."""
    world, query = world_of(request), request.query_params
    now = world.advanced().market_time
    start, end = _instant(query, "start"), _instant(query, "end")
    if start is not None and end is not None and query.get("period"):
        raise malformed("only two of start, end and period can be given")
    try:
        period = float(parse_period(query.get("period") or DEFAULT_PERIOD))
    except ValueError as error:
        raise malformed(str(error)) from error
    if start is not None and (end is not None or not query.get("period")):
        period = (now if end is None else end) - start
    end = now if end is None and start is None else end
    if end is None:
        assert start is not None
        end = start + period
    timeframe = query.get("timeframe") or default_timeframe(period)
    if timeframe not in TIMEFRAMES:
        raise _bad_timeframe(timeframe)
    return JSONResponse(world.history.report(end - period, end, timeframe))


def _bad_timeframe(text: str) -> ApiError:
    return malformed(f"invalid timeframe: {text}; one of {', '.join(TIMEFRAMES)}")


ROUTES = [
    Route("/v2/account", account),
    Route("/v2/account/activities", activities),
    Route("/v2/account/activities/{activity_type}", activities),
    Route("/v2/account/portfolio/history", portfolio_history),
]
