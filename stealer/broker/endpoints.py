"""Which server the edge may talk to: paper unless live was asked for in so many words.

A wrong address here costs real money, so nothing is guessed: an address that contradicts
``live`` is refused before anything is contacted.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from stealer.broker.interface import BrokerMisconfigured

PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"
DATA_URL = "https://data.alpaca.markets"
DATA_STREAM_URL = "wss://stream.data.alpaca.markets"

_ALPACA = "alpaca.markets"
_PAPER_HOST = "paper-api.alpaca.markets"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base addresses without a trailing slash; ``live`` is True only if real money moves."""

    trading_url: str
    data_url: str
    live: bool


def choose_endpoints(live: bool, trading_url: str | None, data_url: str | None) -> Endpoints:
    """The servers to use.

    Without *trading_url*, Alpaca's own paper or live server. Without *data_url*, Alpaca's data
    server, except next to a trading server that is not Alpaca's (a simulator serves both).

    :raises BrokerMisconfigured: a live address without ``live=True``, a paper address with it,
        or an address that could not work or would send the keys unencrypted.
    """
    trading = _checked("trading_url", trading_url or (LIVE_URL if live else PAPER_URL))
    host = _host(trading)
    if _is_alpaca(host) and host != _PAPER_HOST and not live:
        raise BrokerMisconfigured(
            f"trading_url: {trading} is not Alpaca's paper server and would trade real money; "
            f"use {PAPER_URL}, or ask for live trading in so many words (live=True)"
        )
    if host == _PAPER_HOST and live:
        raise BrokerMisconfigured(
            f"trading_url: live trading was asked for but {trading} is the paper server; "
            f"drop live=True or use {LIVE_URL}"
        )
    if live and trading.startswith("http://") and host not in _LOOPBACK:
        raise BrokerMisconfigured(f"trading_url: {trading}: live trading needs https")
    default_data = DATA_URL if _is_alpaca(host) else trading
    return Endpoints(trading, _checked("data_url", data_url or default_data), live)


def _is_alpaca(host: str) -> bool:
    return host == _ALPACA or host.endswith("." + _ALPACA)


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def _checked(name: str, url: str) -> str:
    """*url* without trailing slash; the text of a bad one is repeated only if it holds no key."""
    try:
        parts = urlsplit(url.strip())
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        raise BrokerMisconfigured(f"{name}: not an address; write it like {PAPER_URL}") from None
    if user is not None or "@" in parts.netloc:
        raise BrokerMisconfigured(f"{name}: keys do not belong into an address; pass them as keys")
    if parts.scheme not in {"http", "https"} or not host:
        raise BrokerMisconfigured(
            f"{name}: {url!r} is not an http(s) address; write it like {PAPER_URL}"
        )
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith(("/v2", "/v1beta3")):
        raise BrokerMisconfigured(
            f"{name}: {url!r} must be the server only, without version or query; "
            f"write it like {PAPER_URL}"
        )
    if parts.scheme == "http" and _is_alpaca(host.rstrip(".")):
        raise BrokerMisconfigured(f"{name}: {url} would send the keys unencrypted; use https")
    return url.strip().rstrip("/")


def stream_urls(endpoints: Endpoints, stock_feed: str) -> dict[str, str]:
    """The addresses of the three streams, by the names of :mod:`stealer.broker.streams`.

    Alpaca has a host of its own for market data; a simulator serves all of them on one.
    """
    trading = _as_stream(endpoints.trading_url)
    data = _as_stream(endpoints.data_url)
    if endpoints.data_url == DATA_URL:
        data = DATA_STREAM_URL
    return {
        "trade updates": f"{trading}/stream",
        "crypto quotes": f"{data}/v1beta3/crypto/us",
        "stock quotes": f"{data}/v2/{stock_feed}",
    }


def _as_stream(url: str) -> str:
    """``https://HOST`` as ``wss://HOST``."""
    return "ws" + url.removeprefix("http")
