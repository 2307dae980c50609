"""The people and programs around the watchers: prices, plans, forecasts, and who sells what filled.

Prices are held at the simulated Alpaca and wander by our seed, so that orders are approached,
stolen and filled. Everything goes to the broker and the ledger directly, past the proxy.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from scripts.chaos_run.stage import KEY_ID, SECRET_KEY
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import StealerError

log = logging.getLogger(__name__)

#: Where prices begin; the symbols of the simulated market.
BASES = {
    "BTCUSD": 43_000.0, "ETHUSD": 2_300.0, "UNIUSD": 6.8, "SOLUSD": 98.0, "LINKUSD": 15.0,
    "AVAXUSD": 37.0, "AAPL": 185.0, "NVDA": 490.0, "TSLA": 240.0, "MSFT": 372.0, "AMD": 140.0,
    "META": 350.0,
}  # fmt: skip

#: How far below the price the limit of each strategy begins.
DEPTHS = (0.0015, 0.003, 0.005, 0.0075, 0.011)

#: Watchers enter within this of their limit; further away a plan is renewed.
TOLERANCE = 0.02

#: Standard deviation of a price's step, and how strongly it is drawn back to where it began.
STEP, PULL = 0.0012, 0.05

#: Seconds between two rounds of each.
PRICE_SECONDS, PLAN_SECONDS, FORECAST_SECONDS, SELL_SECONDS = 1.0, 5.0, 3.0, 2.0

#: Watchers, at most: one for each symbol and strategy.
MOST = len(BASES) * len(DEPTHS)

TIMEOUT = 10


def is_crypto(symbol: str) -> bool:
    """Whether a symbol of ``BASES`` is a crypto pair."""
    return symbol.endswith("USD")


@dataclass
class Wish:
    """What one watcher is asked for; a new *generation* is another task."""

    symbol: str
    strategy: str
    depth: float
    pnl: float
    limit: float = 0.0
    qty: float = 0.0
    generation: int = 0

    @property
    def name(self) -> str:
        """The entry's name in its plan."""
        return f"{self.symbol}-{self.strategy}"

    @property
    def ticket(self) -> str:
        """The task's name, over all restarts."""
        return f"chaos/{self.name}/{self.generation}"

    @property
    def slot(self) -> str:
        """As the ledger calls it."""
        return f"{self.symbol}|buy|{self.strategy}"


class Broker:
    """The harness's own way to the simulated Alpaca."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"APCA-API-KEY-ID": KEY_ID, "APCA-API-SECRET-KEY": SECRET_KEY})

    def get(self, path: str, **parameters: Any) -> Any:
        """A GET as JSON."""
        answer = self._session.get(self.url + path, params=parameters, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any) -> requests.Response:
        """A POST."""
        return self._session.post(self.url + path, json=body, timeout=TIMEOUT)

    def report(self) -> dict[str, Any]:
        """The judge's findings."""
        return dict(self.get("/sim/report"))

    def fault(self, **fault: Any) -> None:
        """A fault at the broker, see docs/simulated-alpaca.md."""
        self.post("/sim/faults", fault).raise_for_status()

    def clear_faults(self) -> None:
        """End them all."""
        self._session.delete(f"{self.url}/sim/faults", timeout=TIMEOUT).raise_for_status()


class Market:
    """Prices and plans for *watchers* entries that together want *greed* times the capacity."""

    def __init__(
        self,
        broker: Broker,
        coordinator: WorkStealingCoordinator,
        directory: Path,
        fleets: list[str],
        watchers: int,
        dollars: float,
        rng: random.Random,
    ) -> None:
        self._broker, self.ledger, self._directory = broker, coordinator, directory
        self.fleet_names, self._dollars, self._rng = fleets, dollars, rng
        self._mids = dict(BASES)
        self._due = dict.fromkeys(("price", "plan", "forecast", "sell"), 0.0)
        self.calm = False  #: prices stand, nothing fills, plans stay
        self.sold = 0
        self.filled: set[str] = set()  #: slots whose order has filled since their plan was made
        names = [(s, k) for k in range(len(DEPTHS)) for s in BASES][:watchers]
        self.wishes = [Wish(symbol, f"d{k}", DEPTHS[k], rng.uniform(1, 30)) for symbol, k in names]

    def open(self) -> None:
        """First prices and plans."""
        self._hold_prices()
        self._renew(self.wishes)

    def plan_file(self, fleet: str) -> Path:
        """Where the plan of a fleet is."""
        return self._directory / f"{fleet}.toml"

    def fleet_of(self, number: int) -> str:
        """Which fleet has the wish of that number."""
        return self.fleet_names[number % len(self.fleet_names)]

    def tend(self) -> None:
        """Whatever is due; a ledger that is away is tried again."""
        now = time.monotonic()
        rounds = {"forecast": (FORECAST_SECONDS, self._publish), "sell": (SELL_SECONDS, self._sell)}
        if not self.calm:
            rounds |= {
                "price": (PRICE_SECONDS, self._move),
                "plan": (PLAN_SECONDS, self._renew_due),
            }
        for name, (pause, work) in rounds.items():
            if now >= self._due[name]:
                self._due[name] = now + pause
                with suppress(StealerError, requests.RequestException):
                    work()

    def all_at_once(self, dollars: float) -> None:
        """New plans in which every watcher is near its limit and all fit the account."""
        self.calm, self._dollars = True, dollars
        for wish in self.wishes:
            wish.depth = 0.002
        self._renew(self.wishes)

    def _move(self) -> None:
        for symbol, base in BASES.items():
            away = self._mids[symbol] / base - 1
            self._mids[symbol] *= 1 + self._rng.gauss(-PULL * away, STEP)
        self._hold_prices()

    def _hold_prices(self) -> None:
        for symbol, mid in self._mids.items():
            pair = f"{symbol[:-3]}/USD" if is_crypto(symbol) else symbol
            self._broker.post("/sim/price", {"symbol": pair, "price": round(mid, 4)})

    def _renew_due(self) -> None:
        stale = [
            wish
            for wish in self.wishes
            if wish.slot in self.filled
            or not -0.003 < self._mids[wish.symbol] / wish.limit - 1 < TOLERANCE - 0.002
        ]
        if stale:
            self._renew(stale)

    def _renew(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            mid = self._mids[wish.symbol]
            wish.generation += 1
            wish.limit = round(mid * (1 - wish.depth), 2)
            spread = 0.0 if self.calm else 0.8  # of sizes, so that small ones fill the gaps
            size = self._dollars * self._rng.uniform(1 - spread, 1 + spread) / wish.limit
            wish.qty = round(size, 4) if is_crypto(wish.symbol) else max(round(size), 1)
            wish.pnl = round(self._rng.uniform(1, 30), 2)
            self.filled.discard(wish.slot)
        for number, fleet in enumerate(self.fleet_names):
            mine = self.wishes[number :: len(self.fleet_names)]
            text = "\n".join([f'fleet = "{fleet}"', *map(_entry, mine), ""])
            draft = self.plan_file(fleet).with_suffix(".new")
            draft.write_text(text)
            draft.replace(self.plan_file(fleet))

    def _publish(self) -> None:
        for wish in self.wishes:
            wish.pnl = round(max(wish.pnl * self._rng.uniform(0.8, 1.25), 0.5), 2)
            self.ledger.publish_forecast(
                wish.symbol, wish.strategy, wish.pnl, ttl_seconds=20, source="chaos"
            )

    def _sell(self) -> None:
        """Close positions by hand, as somebody does who takes the profit: capacity comes back."""
        for position in self._broker.get("/v2/positions"):
            symbol = position["symbol"].replace("/", "")
            if float(position["qty_available"]) <= 0:
                continue
            # A limit, since a market order would be refused beside our own buys (wash trade).
            order = {
                "symbol": f"{symbol[:-3]}/USD" if is_crypto(symbol) else symbol,
                "qty": position["qty_available"],
                "side": "sell",
                "type": "limit",
                "limit_price": f"{int(self._mids[symbol] * 0.9997 * 100) / 100:.2f}",
                "time_in_force": "ioc",
                "client_order_id": f"exit-{uuid.uuid4()}",
            }
            self.sold += self._broker.post("/v2/orders", order).status_code == 200


def _entry(wish: Wish) -> str:
    return (
        f'\n[[entry]]\nname = "{wish.name}"\nticket = "{wish.ticket}"\n'
        f'symbol = "{wish.symbol}"\nstrategy = "{wish.strategy}"\n'
        f"limit_price = {wish.limit}\ntarget_qty = {wish.qty}\nforecast_pnl = {wish.pnl}\n"
        f"tolerance_pct = {TOLERANCE}\nexpiry_minutes = 600\npoll_seconds = 1.0"
    )
