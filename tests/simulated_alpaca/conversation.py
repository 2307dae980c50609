"""One conversation with the server that reaches every endpoint, and what it answered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.datastructures import QueryParams
from starlette.requests import Request

from stealer.simulated_alpaca import ServerConfig, ServerThread
from stealer.simulated_alpaca.errors import ApiError
from tests.simulated_alpaca.bench import Bench, FlatMarket, eventually

HEADERS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
HOUR = 3600.0
MOMENT = 0.01
#: Every parameter of the data endpoints and of the lists, so that what is read can be seen.
BARS = "timeframe=1Hour&start=2024-01-05T15:00:00Z&end=2024-01-05T18:00:00Z&limit=2&sort=asc"
STOCK_BARS = f"{BARS}&adjustment=raw&feed=iex&currency=USD&asof=2024-01-05"
TIMES = "after=2024-01-01T00:00:00Z&until=2025-01-01T00:00:00Z&direction=desc"


@dataclass(frozen=True)
class Answer:
    """One answer. ``endpoint`` is the table's: ``GET /v2/orders/{order_id}``."""

    endpoint: str
    status: int
    body: Any

    @property
    def refused(self) -> bool:
        return self.status >= 400


@dataclass
class Conversation:
    """A server, its virtual time, and everything it answered."""

    bench: Bench
    url: str
    answers: list[Answer] = field(default_factory=list)
    read: dict[str, set[str]] = field(default_factory=dict)
    #: File and line of every call that has led to a refusal.
    raised: set[tuple[str, int]] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))

    def ask(self, endpoint: str, query: str = "", body: Any = None, **names: str) -> Any:
        """Ask an endpoint whose path's names are given, note the answer, and return its body."""
        method, path = endpoint.split()
        url = self.url + path.format(**names) + (f"?{query}" if query else "")
        found = requests.request(method, url, json=body, headers=self.headers, timeout=10)
        content = found.json() if found.content else None
        self.answers.append(Answer(endpoint, found.status_code, content))
        return content

    def unreadable(self, endpoint: str) -> None:
        """Ask with a body that is no JSON."""
        method, path = endpoint.split()
        found = requests.request(
            method, self.url + path, data="{", headers=self.headers, timeout=10
        )
        self.answers.append(Answer(endpoint, found.status_code, found.json()))

    def order(self, symbol: str, side: str, qty: Any, limit: Any = None, **more: Any) -> Any:
        body = {
            "symbol": symbol,
            "side": side,
            "qty": None if qty is None else str(qty),
            "type": "market" if limit is None else "limit",
            "time_in_force": "gtc" if "/" in symbol else "day",
            "limit_price": limit,
        }
        return self.ask("POST /v2/orders", body=body | more)

    def until(self, order: Any, status: str) -> None:
        """Wait until the server has brought an order that far."""

        def there() -> bool:
            self.bench.real += MOMENT
            found = self.ask("GET /v2/orders/{order_id}", order_id=order["id"])
            return bool(found["status"] == status)

        eventually(there)

    def simulate(self, path: str, **body: Any) -> None:
        """Post to /sim, which is ours and not compared."""
        requests.post(f"{self.url}/sim/{path}", json=body, timeout=10).raise_for_status()


@contextmanager
def _parameters_noted(read: dict[str, set[str]]) -> Iterator[None]:
    """Note for each route which query parameters its handler asks for."""

    class Noted(QueryParams):
        def __init__(self, asked: set[str], text: Any) -> None:
            super().__init__(text)
            self.asked = asked

        def get(self, key: Any, default: Any = None) -> Any:
            self.asked.add(key)
            return super().get(key, default)

        def __getitem__(self, key: Any) -> str:
            self.asked.add(key)
            return super().__getitem__(key)

        def __contains__(self, key: object) -> bool:
            self.asked.add(str(key))
            return super().__contains__(key)

    def query_params(request: Request) -> QueryParams:
        path = request.scope["route"].path.replace("{symbol:path}", "{symbol_or_asset_id}")
        route = f"{request.method} {path}"
        return Noted(read.setdefault(route, set()), request.scope["query_string"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Request, "query_params", property(query_params))
        yield


@contextmanager
def _refusals_noted(raised: set[tuple[str, int]]) -> Iterator[None]:
    """Note the calls on the stack wherever a refusal is made."""
    make = ApiError.__init__

    def noting(self: ApiError, *arguments: Any, **extra: Any) -> None:
        frame = sys._getframe(1)
        while frame is not None:
            raised.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
            frame = frame.f_back  # type: ignore[assignment]
        make(self, *arguments, **extra)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiError, "__init__", noting)
        yield


class NoBitcoinYet(FlatMarket):
    """A market in which one symbol has had no price so far."""

    def price(self, symbol: str, when: float) -> float | None:
        return None if symbol == "BTC/USD" else super().price(symbol, when)


def held() -> Conversation:
    """The whole conversation. Stocks trade when it begins and have closed when it ends."""
    talk = Conversation(Bench(cancel_latency=0.0), "")
    with _parameters_noted(talk.read), _refusals_noted(talk.raised):
        _with_everything(talk)
        other = replace(talk, bench=Bench(market=NoBitcoinYet(), cancel_latency=0.0))
        _with_nothing(other)
        _too_often(other)
    return talk


def _with_everything(talk: Conversation) -> None:
    with ServerThread(talk.bench.world(), ServerConfig(rate_limit=0)) as server:
        talk.url = server.url
        _orders(talk)
        _lists(talk)
        _refusals(talk)
        _positions(talk)
        _history(talk)
        _ends(talk)
        _market(talk)
        _bad_data_requests(talk)
        kept = dict(talk.headers)
        _without_keys(talk)
        talk.headers.update(kept)


def _with_nothing(talk: Conversation) -> None:
    """An account without a position, and in the end with too little to sell short."""
    with ServerThread(talk.bench.world(), ServerConfig(rate_limit=0)) as server:
        talk.url = server.url
        resting = [talk.order("AAPL", "buy", 1, "150"), talk.order("TSLA", "sell", 1, "150")]
        talk.order("AAPL", "sell", 1, "300")
        talk.order("TSLA", "buy", 1, "90")
        change = "PATCH /v2/orders/{order_id}"
        talk.ask(change, body=[], order_id=resting[0]["id"])
        talk.ask(change, body={"qty": "100000"}, order_id=resting[0]["id"])
        talk.ask(change, body={"limit_price": "150.001"}, order_id=resting[0]["id"])
        used = {"client_order_id": resting[1]["client_order_id"]}
        talk.ask(change, body=used, order_id=resting[0]["id"])
        talk.ask("DELETE /v2/orders")
        for order in resting:
            talk.until(order, "canceled")
        talk.order("AAPL", "sell", "0.5", "300")
        talk.order("ETH/USD", "sell", 1, "2100")
        talk.order("BTC/USD", "buy", 1, "40000")
        talk.simulate("equity", cash_delta=-99_000)
        talk.order("AAPL", "sell", 1, "300")


def _too_often(talk: Conversation) -> None:
    """The second request of a minute, where one is allowed."""
    config = ServerConfig(rate_limit=1, data_rate_limit=1)
    with ServerThread(talk.bench.world(), config) as server:
        talk.url = server.url
        talk.ask("GET /v2/clock")
        talk.ask("GET /v2/clock")
        talk.order("AAPL", "buy", 1, "150")
        for _ in range(2):
            talk.ask("GET /v2/stocks/quotes/latest", "symbols=AAPL")


def _orders(talk: Conversation) -> None:
    """Every type of order, filled, partially filled, replaced, canceled and rejected."""
    for symbol, size in (("AAPL", 20), ("ETH/USD", 2), ("BTC/USD", "0.2")):
        talk.until(talk.order(symbol, "buy", size), "filled")
    talk.until(talk.order("TSLA", "sell", 5), "filled")
    talk.until(talk.order("AAPL", "buy", None, notional="250"), "filled")
    talk.order("AAPL", "buy", 1, type="stop", stop_price="250")
    talk.order("ETH/USD", "buy", 1, "2600", type="stop_limit", stop_price="2500")
    resting = talk.order("ETH/USD", "buy", 1, "1500", client_order_id="resting")
    talk.until(resting, "new")
    talk.ask("GET /v2/orders:by_client_order_id", "client_order_id=resting")
    change = {"qty": "2", "limit_price": "1600", "client_order_id": "replaced"}
    new = talk.ask("PATCH /v2/orders/{order_id}", body=change, order_id=resting["id"])
    talk.until(resting, "replaced")
    talk.simulate("faults", kind="partial_on_cancel", fraction=0.5)
    talk.ask("DELETE /v2/orders/{order_id}", order_id=new["id"])
    talk.until(new, "canceled")
    talk.simulate("faults", kind="reject")
    talk.until(talk.order("AAPL", "buy", 1, "100"), "rejected")
    talk.ask("DELETE /v2/orders/{order_id}", order_id=new["id"])
    talk.ask("PATCH /v2/orders/{order_id}", body=change, order_id=new["id"])


def _lists(talk: Conversation) -> None:
    talk.ask("GET /v2/account")
    chosen = f"status=all&limit=500&nested=true&symbols=AAPL,ETH/USD&side=buy&{TIMES}"
    talk.ask("GET /v2/orders", "status=all")
    talk.ask("GET /v2/orders", f"{chosen}&asset_class=crypto")
    talk.ask("GET /v2/orders", "status=closed")
    talk.ask("GET /v2/positions")
    for symbol in ("AAPL", "BTCUSD"):
        talk.ask("GET /v2/positions/{symbol_or_asset_id}", symbol_or_asset_id=symbol)
    talk.ask("GET /v2/assets")
    talk.ask("GET /v2/assets", "status=active&asset_class=crypto&exchange=CRYPTO&attributes=x")
    for symbol in ("AAPL", "BTC/USD"):
        talk.ask("GET /v2/assets/{symbol_or_asset_id}", symbol_or_asset_id=symbol)
    talk.ask("GET /v2/clock")
    talk.ask("GET /v2/calendar", "start=2024-01-01&end=2024-01-31&date_type=TRADING")


def _refusals(talk: Conversation) -> None:
    """Every refusal of an order, and what cannot be found or read."""
    talk.order("AAPL", "buy", 10_000, "199")
    talk.order("BTC/USD", "buy", 100, "49000")
    talk.order("ETH/USD", "sell", 100, "3000")
    talk.order("AAPL", "sell", 1, "90")
    talk.order("BTC/USD", "buy", "0.00001", "40000")
    talk.order("AAPL", "buy", "0.001", "100")
    talk.order("AAPL", "buy", 1, "150.001")
    talk.order("BTC/USD", "buy", 1, "40000.001")
    talk.order("ETH/USD", "buy", 1, "1500", client_order_id="resting")
    talk.order("NOPE", "buy", 1)
    talk.order("AAPL", "hold", 1)
    talk.order("AAPL", "buy", "many")
    talk.order("AAPL", "buy", -1)
    talk.order("AAPL", "buy", 1, type="trailing_stop", trail_price="1")
    talk.order("AAPL", "buy", 1, "150", order_class="bracket")
    talk.order("AAPL", "buy", "0.5", "150", time_in_force="gtc")
    talk.order("AAPL", "buy", 1, extended_hours=True)
    talk.order("ETH/USD", "buy", 1, "1500", time_in_force="day")
    talk.ask("POST /v2/orders", body=[])
    talk.unreadable("POST /v2/orders")
    _refusals_by_form(talk)
    unknown = "00000000-0000-4000-8000-000000000000"
    talk.ask("GET /v2/orders/{order_id}", order_id=unknown)
    talk.ask("PATCH /v2/orders/{order_id}", body={"qty": "1"}, order_id=unknown)
    talk.ask("DELETE /v2/orders/{order_id}", order_id=unknown)
    talk.ask("GET /v2/orders:by_client_order_id", "client_order_id=unknown")
    talk.ask("GET /v2/orders", "status=never")
    talk.ask("GET /v2/orders", "limit=x")
    talk.ask("GET /v2/orders", "after=x")
    talk.ask("GET /v2/orders", "before_order_id=unknown")
    talk.ask("GET /v2/positions/{symbol_or_asset_id}", symbol_or_asset_id="META")
    talk.ask("DELETE /v2/positions/{symbol_or_asset_id}", symbol_or_asset_id="META")
    talk.ask("DELETE /v2/positions/{symbol_or_asset_id}", "qty=x", symbol_or_asset_id="AAPL")
    talk.ask("DELETE /v2/positions/{symbol_or_asset_id}", "qty=1000", symbol_or_asset_id="AAPL")
    talk.ask("GET /v2/assets/{symbol_or_asset_id}", symbol_or_asset_id="META")
    talk.ask("GET /v2/calendar", "start=x")
    talk.ask("GET /v2/watchlists")
    talk.ask("POST /v2/positions/{symbol_or_contract_id}/exercise", symbol_or_contract_id="AAPL")


def _refusals_by_form(talk: Conversation) -> None:
    """Orders whose fields are missing, too many, of the wrong kind, or of no grid."""
    talk.order("", "buy", 1)
    talk.order("AAPL", "", 1)
    for missing in ("type", "time_in_force"):
        talk.order("AAPL", "buy", 1, "150", **{missing: ""})
    talk.order("AAPL", "buy", 1, type="limit", limit_price=True)
    talk.order("AAPL", "buy", "1e20", "150")
    talk.order("AAPL", "buy", 1, "150", extended_hours="yes")
    talk.order("AAPL", "buy", 1, "150", client_order_id="x" * 129)
    talk.order("AAPL", "buy", None, "150")
    talk.order("AAPL", "buy", 1, "150", notional="100")
    talk.order("AAPL", "buy", 1, type="limit")
    talk.order("AAPL", "buy", 1, "150", type="market")
    talk.order("AAPL", "buy", 1, type="stop")
    talk.order("AAPL", "buy", 1, stop_price="250")
    talk.order("AAPL", "buy", 1, type="stop", stop_price="250.001")
    talk.order("AAPL", "buy", 1, "150", time_in_force="opg")
    talk.order("ETH/USD", "buy", 1, type="stop", stop_price="2500")
    talk.order("ETH/USD", "buy", "1.0000000001", "1500")
    talk.order("ETH/USD", "sell", 1, "2550")


def _positions(talk: Conversation) -> None:
    """Positions closed: a part, one, and all with their orders."""
    working = talk.ask("GET /v2/orders")
    talk.ask("DELETE /v2/orders")
    for order in working:
        talk.until(order, "canceled")
    closing = "DELETE /v2/positions/{symbol_or_asset_id}"
    talk.until(talk.ask(closing, "qty=1", symbol_or_asset_id="AAPL"), "filled")
    talk.until(talk.ask(closing, "percentage=50", symbol_or_asset_id="AAPL"), "filled")
    talk.until(talk.ask(closing, symbol_or_asset_id="BTCUSD"), "filled")
    for _ in range(2):
        talk.order("AAPL", "sell", 8, "300")
    talk.ask("DELETE /v2/positions", "cancel_orders=true")


def _history(talk: Conversation) -> None:
    """What happened to the account, in pages and in windows."""
    paths: list[dict[str, str]] = [{}, {"activity_type": "FILL"}]
    for names in paths:
        listed = "GET /v2/account/activities" + ("/{activity_type}" if names else "")
        first = talk.ask(listed, f"page_size=2&{TIMES}", **names)
        talk.ask(listed, f"page_size=2&{TIMES}&page_token={first[-1]['id']}", **names)
        talk.ask(listed, "date=2024-01-05", **names)
        talk.ask(listed, "page_size=101", **names)
        talk.ask(listed, "page_token=unknown", **names)
        talk.ask(listed, "until=x", **names)
    talk.ask("GET /v2/account/activities", "activity_types=FILL")
    talk.ask("GET /v2/account/activities", "category=trade_activity&activity_types=FILL")
    history = "GET /v2/account/portfolio/history"
    for query in ("period=1D&timeframe=1Min&end=2024-01-06T00:00:00Z", "start=2024-01-05", ""):
        talk.ask(history, query)
    talk.ask(history, "timeframe=2Min")
    talk.ask(history, "period=x")
    talk.ask(history, "start=x")
    talk.ask(history, "period=1D&start=2024-01-05&end=2024-01-06")


def _ends(talk: Conversation) -> None:
    """A day's order that the close ends."""
    order = talk.order("AAPL", "buy", 1, "50")
    talk.bench.real += 2 * HOUR
    talk.until(order, "expired")
    talk.ask("GET /v2/account")
    talk.ask("GET /v2/clock")


def _market(talk: Conversation) -> None:
    talk.ask("GET /v1beta3/crypto/us/latest/quotes", "symbols=BTC/USD")
    talk.ask("GET /v1beta3/crypto/us/latest/quotes")
    talk.ask("GET /v1beta3/crypto/us/bars", f"symbols=BTC/USD&{BARS}")
    talk.ask("GET /v1beta3/crypto/us/bars", "symbols=BTC/USD&timeframe=x")
    talk.ask("GET /v2/stocks/quotes/latest", "symbols=AAPL&feed=iex&currency=USD")
    talk.ask("GET /v2/stocks/quotes/latest")
    talk.ask("GET /v2/stocks/bars", f"symbols=AAPL&{STOCK_BARS}")
    talk.ask("GET /v2/stocks/bars", "symbols=AAPL&timeframe=x")


def _bad_data_requests(talk: Conversation) -> None:
    for base, latest, symbol, other in (
        ("/v1beta3/crypto/us", "latest/quotes", "BTC/USD", "AAPL"),
        ("/v2/stocks", "quotes/latest", "AAPL", "BTC/USD"),
    ):
        for wrong in ("!", other):
            talk.ask(f"GET {base}/{latest}", f"symbols={wrong}")
        asked = f"symbols={symbol}&timeframe=1Hour"
        for wrong in ("start=x", "end=x", "limit=x", "limit=0", "page_token=x"):
            talk.ask(f"GET {base}/bars", f"{asked}&{wrong}")


def _without_keys(talk: Conversation) -> None:
    talk.headers.clear()
    talk.ask("GET /v2/account")
    talk.ask("GET /v2/stocks/quotes/latest", "symbols=AAPL")
