"""The market data endpoints: latest quotes and bars of stocks and crypto."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .assets import canonical_symbol
from .clock import parse_instant
from .errors import ApiError
from .exchange import Exchange
from .prices import bars as source_bars
from .prices import parse_timeframe
from .serialize import bar_json, quote_json
from .world import world_of

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000


def _bad(message: str) -> ApiError:
    return ApiError(400, 40010000, message)


def _symbols(request: Request, crypto: bool) -> list[str]:
    """The requested symbols of the endpoint's class that this market has, sorted."""
    names = [name for name in request.query_params.get("symbols", "").split(",") if name]
    if not names:
        raise _bad("symbols is required")
    found = set()
    known = world_of(request).exchange.symbols
    for name in names:
        try:
            symbol = canonical_symbol(name)
        except ValueError as error:
            raise _bad(f"invalid symbol: {name}") from error
        if ("/" in symbol) != crypto:
            raise _bad(f"invalid symbol: {name}")
        if symbol in known:
            found.add(symbol)
    return sorted(found)


def _quotes(request: Request, crypto: bool) -> Response:
    exchange = world_of(request).advanced()
    quotes = {symbol: exchange.market.quote(symbol) for symbol in _symbols(request, crypto)}
    return JSONResponse(
        {
            "quotes": {
                symbol: quote_json(quote) for symbol, quote in quotes.items() if quote is not None
            }
        }
    )


def _instant(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    try:
        return parse_instant(text) if text else default
    except ValueError as error:
        raise _bad(f"invalid {name}: {text}") from error


def _page_token(symbol: str, start: float) -> str:
    return base64.urlsafe_b64encode(f"{symbol}|{start!r}".encode()).decode()


def _parse_token(token: str | None) -> tuple[str, float] | None:
    if not token:
        return None
    try:
        symbol, start = base64.urlsafe_b64decode(token.encode()).decode().split("|")
        return symbol, float(start)
    except (ValueError, binascii.Error) as error:
        raise _bad("invalid page_token") from error


def _limit(text: str | None) -> int:
    try:
        limit = int(text or DEFAULT_LIMIT)
    except ValueError as error:
        raise _bad("limit must be a number") from error
    if limit < 1:
        raise _bad("limit must be at least 1")
    return min(limit, MAX_LIMIT)


def _bars(request: Request, crypto: bool) -> Response:
    """Pages over the symbols in order; the token names the next bar."""
    exchange, query = world_of(request).advanced(), request.query_params
    try:
        seconds = parse_timeframe(query.get("timeframe", ""))
    except ValueError as error:
        raise _bad(str(error)) from error
    limit = _limit(query.get("limit"))
    midnight = exchange.market_time // 86400 * 86400
    start = _instant(request, "start", midnight)
    end = _instant(request, "end", exchange.market_time)
    resume = _parse_token(query.get("page_token"))
    page: dict[str, list[dict[str, Any]]] = {}
    left, following = limit, None
    backward = query.get("sort") == "desc"
    for symbol in _symbols(request, crypto):
        if resume is not None and symbol < resume[0]:
            continue
        at = resume[1] if resume is not None and symbol == resume[0] else None
        first, last = (start, end if at is None else at) if backward else (at or start, end)
        found = _span(exchange, symbol, first, last, seconds, None if backward else left + 1)
        if backward:
            found = found[::-1]
        if len(found) > left:
            following = _page_token(symbol, found[left].start)
            found = found[:left]
        if found:
            page[symbol] = [bar_json(symbol, bar) for bar in found]
        left -= len(found)
        if following is not None:
            break
    return JSONResponse({"bars": page, "next_page_token": following})


def _span(
    exchange: Exchange, symbol: str, start: float, end: float, seconds: int, limit: int | None
) -> list[Any]:
    most = limit if limit is not None else 10 * MAX_LIMIT
    return source_bars(exchange.source, symbol, start, end, seconds, exchange.market_time, most)


async def crypto_quotes(request: Request) -> Response:
    """GET /v1beta3/crypto/us/latest/quotes."""
    return _quotes(request, crypto=True)


async def stock_quotes(request: Request) -> Response:
    """GET /v2/stocks/quotes/latest."""
    return _quotes(request, crypto=False)


async def crypto_bars(request: Request) -> Response:
    """GET /v1beta3/crypto/us/bars."""
    return _bars(request, crypto=True)


async def stock_bars(request: Request) -> Response:
    """GET /v2/stocks/bars."""
    return _bars(request, crypto=False)


ROUTES = [
    Route("/v1beta3/crypto/us/latest/quotes", crypto_quotes),
    Route("/v1beta3/crypto/us/bars", crypto_bars),
    Route("/v2/stocks/quotes/latest", stock_quotes),
    Route("/v2/stocks/bars", stock_bars),
]
