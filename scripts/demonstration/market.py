"""What the demo itself asks the simulated Alpaca, through alpaca-py's data clients and plain HTTP.

The watchers and the keeper never use this: they have the broker's edge.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from scripts.demonstration.baseline import DAYS, History, days_of

#: Any keys will do for the simulated Alpaca.
KEY_ID, SECRET_KEY = "demo-key-id", "demo-secret-key"
HEADERS = {"APCA-API-KEY-ID": KEY_ID, "APCA-API-SECRET-KEY": SECRET_KEY}
TIMEOUT = 10


class Market:
    """The demo's own view of the simulated Alpaca at *url*."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers.update(HEADERS)

    def get(self, path: str, **parameters: Any) -> Any:
        """A GET as JSON."""
        answer = self._session.get(self.url + path, params=parameters, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()

    def symbols(self) -> dict[str, bool]:
        """Canonical symbol -> is crypto, of everything that is traded here."""
        return {
            asset["symbol"].replace("/", ""): asset["class"] == "crypto"
            for asset in self.get("/v2/assets")
        }

    def clock_text(self) -> str:
        """The market clock as every process is told it."""
        return str(self.get("/sim/clock")["clock"])

    def histories(self, symbols: dict[str, bool], now: datetime) -> list[History]:
        """Finished days of each symbol up to *now*; symbols without three of them are left out."""
        from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
        from alpaca.data.requests import CryptoBarsRequest, StockBarsRequest
        from alpaca.data.timeframe import TimeFrame

        start = now.astimezone(UTC) - timedelta(days=2 * DAYS)
        crypto = {s: f"{s[:-3]}/USD" for s, is_crypto in symbols.items() if is_crypto}
        stocks = [s for s, is_crypto in symbols.items() if not is_crypto]
        bars: dict[str, Any] = {}
        keys: dict[str, Any] = {"url_override": self.url, "raw_data": True}
        if crypto:
            wanted = CryptoBarsRequest(
                symbol_or_symbols=list(crypto.values()), timeframe=TimeFrame.Day, start=start
            )
            found: Any = CryptoHistoricalDataClient(KEY_ID, SECRET_KEY, **keys).get_crypto_bars(
                wanted
            )
            bars |= {symbol: found.get(pair, []) for symbol, pair in crypto.items()}
        if stocks:
            asked = StockBarsRequest(symbol_or_symbols=stocks, timeframe=TimeFrame.Day, start=start)
            found = StockHistoricalDataClient(KEY_ID, SECRET_KEY, **keys).get_stock_bars(asked)
            bars |= {symbol: found.get(symbol, []) for symbol in stocks}
        made = [History(s, symbols[s], days_of(rows)) for s, rows in bars.items()]
        return [history for history in made if len(history.days) >= 3]

    def prices(self, symbols: dict[str, bool]) -> dict[str, float]:
        """The present ask of each symbol."""
        found: dict[str, float] = {}
        crypto = [f"{s[:-3]}/USD" for s, is_crypto in symbols.items() if is_crypto]
        stocks = [s for s, is_crypto in symbols.items() if not is_crypto]
        for path, names in (
            ("/v1beta3/crypto/us/latest/quotes", crypto),
            ("/v2/stocks/quotes/latest", stocks),
        ):
            if names:
                quotes = self.get(path, symbols=",".join(names))["quotes"]
                found |= {s.replace("/", ""): float(q["ap"]) for s, q in quotes.items()}
        return {symbol: price for symbol, price in found.items() if price > 0}

    def stocks_trade(self) -> bool:
        """True while the stock exchange is open."""
        return bool(self.get("/v2/clock")["is_open"])

    def positions(self) -> list[dict[str, Any]]:
        """Open positions as Alpaca lists them."""
        return list(self.get("/v2/positions"))

    def sell(self, position: dict[str, Any]) -> bool:
        """Sell a whole position at the market, as a person would by hand: not our entry."""
        crypto = position["asset_class"] == "crypto"
        symbol = position["symbol"]
        order = {
            "symbol": f"{symbol[:-3]}/USD" if crypto and "/" not in symbol else symbol,
            "qty": position["qty_available"],
            "side": "sell",
            "type": "market",
            "time_in_force": "gtc" if crypto else "day",
            "client_order_id": f"exit-{uuid.uuid4()}",
        }
        answer = self._session.post(self.url + "/v2/orders", json=order, timeout=TIMEOUT)
        return answer.status_code == 200

    def report(self) -> dict[str, Any]:
        """The judge's report: what the broker saw, whatever our ledger believes."""
        return dict(self.get("/sim/report"))

    def orders_seen(self) -> set[str]:
        """Client order ids of every order that was ever live here."""
        seen: set[str] = set()
        after = 0
        while True:
            events = self.get("/sim/log", after=after, limit=1000)["events"]
            if not events:
                return seen
            after = events[-1]["sequence"]
            seen |= {e["order"]["client_order_id"] for e in events if e["event"] == "new"}
