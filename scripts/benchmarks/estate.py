"""A whole estate for measuring: server, simulated Alpaca, keeper and one fleet, all processes.

The market stands still and every watcher's limit is far below it, until a benchmark moves a price.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from scripts.demonstration.market import HEADERS, KEY_ID, SECRET_KEY
from scripts.demonstration.stage import Stage, StageError
from stealer.connect import connect
from stealer.coordinator import WorkStealingCoordinator
from stealer.model import canonical_symbol
from stealer.settings import Settings

#: Cryptos only: they trade at any hour, whenever the benchmark is run.
SYMBOLS = ("BTC/USD", "ETH/USD", "UNI/USD", "SOL/USD", "LINK/USD", "AVAX/USD")
PRICE = 100
LIMIT = 90

#: Each watcher wants so many dollars; the account has room for all of them and more.
DOLLARS = 1_000
CASH = 10_000_000

#: Alpaca's own limit of requests; orders are live at once and fill whole.
BROKER_OPTIONS = ("--rate-limit", "200", "--partial-probability", "0", "--accept-latency", "0")

WAIT_SECONDS = 120.0


class Estate:
    """What a benchmark sees of it."""

    def __init__(self, stage: Stage, broker_url: str, settings: Settings) -> None:
        self.stage, self.url, self.settings = stage, broker_url, settings
        self._session = requests.Session()
        self._session.headers.update(HEADERS)
        self.desk = WorkStealingCoordinator(connect(settings, name="bench"), settings)

    def price(self, symbol: str, price: float | None) -> float:
        """Hold a price, or let it go; the unix seconds at which the streams told it."""
        answer = self._session.post(
            f"{self.url}/sim/price", json={"symbol": symbol, "price": price}, timeout=10
        )
        answer.raise_for_status()
        return float(answer.json()["real_time"])

    def take_out(self, dollars: float) -> None:
        """Money leaves the account."""
        answer = self._session.post(
            f"{self.url}/sim/equity", json={"cash_delta": -round(dollars, 2)}, timeout=10
        )
        answer.raise_for_status()

    def get(self, path: str, **parameters: Any) -> Any:
        """A GET as JSON."""
        answer = self._session.get(self.url + path, params=parameters, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def requests_made(self) -> int:
        """Requests of all clients to the simulated Alpaca so far, besides those under /sim."""
        return int(sum(self.get("/sim/requests")["requests"].values()))

    def start_keeper(self) -> None:
        """The keeper; returns when the ledger is certified and the account published."""
        self.stage.start("keeper", "stealer.cli", ["keeper"])
        probe = self.desk
        until(
            lambda: probe.server().certified and probe.can_open_order("BTC/USD", "probe", 1, 1),
            "a certificate",
        )

    def start_fleet(self, plan: Path) -> psutil.Process:
        """The fleet's parent process."""
        self.stage.start("fleet", "watchers", ["run", str(plan)])
        return psutil.Process(self.stage.pid_of("fleet"))

    def phases(self) -> list[str]:
        """The phase of each watcher that has told one."""
        return [status["phase"] for status in self._reports()]

    def state_of(self, symbol: str, strategy: str) -> str:
        """Phase, reason and detail of one watcher, for a person."""
        name = canonical_symbol(symbol, self.settings.crypto_symbols)
        wanted = (s for s in self._reports() if (s["symbol"], s["strategy"]) == (name, strategy))
        return "; ".join(f"{s['phase']} ({s['reason']}) {s['detail']}" for s in wanted)

    def _reports(self) -> list[dict[str, Any]]:
        found = self.desk.read(lambda r: r.hvals(self.desk.keys.watchers))
        return [json.loads(status) for status in found]


def until(check: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> float:
    """Wait until *check* is true; the seconds it took.

    :raises StageError: it did not become true in time.
    """
    started = time.monotonic()
    while not check():
        if time.monotonic() - started > seconds:
            raise StageError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
    return time.monotonic() - started


@contextmanager
def estate(directory: Path, *broker_options: str) -> Iterator[Estate]:
    """Server and simulated Alpaca, running; everything is stopped at the end."""
    stage = Stage(directory)
    try:
        redis_url = stage.start_redis()
        url = stage.start_broker(
            ["--clock", "system", "--cash", str(CASH), *BROKER_OPTIONS, *broker_options]
        )
        stage.environment |= {
            "REDIS_URL": redis_url,
            "STEALER_ACCOUNT": "bench",
            "ALPACA_URL": url,
            "ALPACA_DATA_URL": url,
            "CRYPTO_SYMBOLS": ",".join(symbol.replace("/", "") for symbol in SYMBOLS),
            "WORK_STEALING_MAX_CONCURRENT_ORDERS": "1000",
            "CRYPTO_OUT_OF_HOURS_FORCE_COUNT": "0",
            # Few symbols, many steals: what is measured is how long each takes.
            "WORK_STEALING_COOLDOWN": "1",
            "WORK_STEALING_FIGHT_THRESHOLD": "1000",
            "STEALER_QUARANTINE_SECONDS": "25",
            "STEALER_TRUST_SECONDS": "3",
            "STEALER_ACCOUNT_STALE_SECONDS": "15",
        }
        settings = Settings.from_env(
            stage.environment, alpaca_key_id=KEY_ID, alpaca_secret_key=SECRET_KEY
        )
        found = Estate(stage, url, settings)
        for symbol in SYMBOLS:
            found.price(symbol, PRICE)
        yield found
    finally:
        stage.close()


def write_plan(directory: Path, entries: list[dict[str, Any]]) -> Path:
    """A plan of *entries*, each a symbol, strategy, limit and forecast PnL."""
    lines = ['fleet = "bench"', "", "[defaults]", "expiry_minutes = 600"]
    for number, entry in enumerate(entries):
        lines += [
            "",
            "[[entry]]",
            f'name = "w{number}"',
            f'symbol = "{entry["symbol"]}"',
            f'strategy = "{entry["strategy"]}"',
            f"limit_price = {entry['limit']:.2f}",
            f"target_qty = {DOLLARS / entry['limit']:.4f}",
            f"forecast_pnl = {entry['pnl']:.2f}",
        ]
    plan = directory / "plan.toml"
    plan.write_text("\n".join([*lines, ""]))
    return plan


def far_away(watchers: int) -> list[dict[str, Any]]:
    """Entries that wait for their price, taking turns through the symbols."""
    return [
        {
            "symbol": SYMBOLS[number % len(SYMBOLS)],
            "strategy": f"s{number // len(SYMBOLS)}",
            "limit": LIMIT,
            "pnl": 1 + number / 100,
        }
        for number in range(watchers)
    ]
