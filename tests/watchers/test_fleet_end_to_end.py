"""Everything at once, as real processes: Redis, the simulated Alpaca, a keeper, and fleets.

Prices are pinned by the tests; every order, steal and cooldown is the system's own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.model import Claim
from stealer.settings import Settings

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

#: Real seconds after which something that must happen has not happened.
DEADLINE = 40.0

#: The keeper as a process, with passes close together.
KEEPER = """
import logging, sys
from stealer.keeper.main import run
from stealer.settings import Settings
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
sys.exit(run(Settings.from_env(), poll_seconds=0.3))
"""


class World:
    """One account with 10,000 dollars (20,000 to trade with), in stock hours."""

    #: Options of the simulated broker beside these.
    simulator_options: tuple[str, ...] = ()

    def __init__(self, server: EmbeddedServer, directory: Path) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        redis.Redis.from_url(server.url).flushall()
        clock = f"2024-01-05T15:00:00Z@{time.time()}*1"
        self.sim = self._simulator(clock)
        self.env = os.environ | {
            "REDIS_URL": server.url,
            "STEALER_MARKET_CLOCK": clock,
            "ALPACA_URL": self.sim,
            "APCA_API_KEY_ID": "key",
            "APCA_API_SECRET_KEY": "secret",
        }
        self.client = redis.Redis.from_url(server.url, decode_responses=True)
        self.ledger = WorkStealingCoordinator(self.client, Settings.from_env(self.env))
        self.ledger.certify()  # by hand, so that nobody waits out the quarantine
        self.run("keeper", "-c", KEEPER)

    def _simulator(self, clock: str) -> str:
        options = (
            "--cash",
            "10000",
            "--rate-limit",
            "0",
            "--clock",
            clock,
            "--symbols",
            "AAPL,MSFT",
            *self.simulator_options,
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "stealer.simulated_alpaca", *options], stdout=subprocess.PIPE
        )
        self.processes["simulator"] = process
        assert process.stdout
        return process.stdout.readline().decode().split()[-1]

    def run(self, name: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.err").open("ab") as err:
            process = subprocess.Popen([sys.executable, *arguments], env=self.env, stderr=err)
        self.processes[name] = process
        return process

    def fleet(self, name: str) -> subprocess.Popen[bytes]:
        return self.run(name, "-m", "watchers", "run", self.directory / f"{name}.toml")

    def plan(self, fleet: str, *entries: dict[str, Any]) -> None:
        """Write the plan of *fleet*, at once."""
        defaults = {"limit_price": 100, "poll_seconds": 0.2}
        text = f'fleet = "{fleet}"\n'
        for entry in entries:
            lines = [f"{k} = {json.dumps(v)}" for k, v in (defaults | entry).items()]
            text += "[[entry]]\n" + "\n".join(lines) + "\n"
        new = self.directory / f"{fleet}.new"
        new.write_text(text)
        new.replace(self.directory / f"{fleet}.toml")

    def price(self, symbol: str, price: float) -> None:
        body = json.dumps({"symbol": symbol, "price": price}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.sim}/sim/price", body), timeout=5)

    def orders(self, symbol: str = "", status: str = "open") -> list[dict[str, Any]]:
        """Orders as the broker has them."""
        query = f"status={status}&limit=500" + (f"&symbols={symbol}" if symbol else "")
        keys = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
        request = urllib.request.Request(f"{self.sim}/v2/orders?{query}", headers=keys)
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def report(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.sim}/sim/report", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def claim(self, symbol: str) -> Claim | None:
        return self.ledger.claim_in_slot(symbol, "buy", "maxdiff")

    def state(self, symbol: str) -> str:
        claim = self.claim(symbol)
        return claim.state.value if claim else "none"

    def steals(self) -> list[Any]:
        return [fields for _, fields in self.client.xrange(self.ledger.keys.steals)]

    def decision(self, symbol: str) -> str:
        """What the ledger last decided for a watcher, without the time."""
        text = self.client.hget(self.ledger.keys.decisions, f"{symbol}|buy|maxdiff") or ""
        return str(text).partition(" ")[2]

    def until(self, what: Callable[[], object], why: str) -> None:
        give_up = time.monotonic() + DEADLINE
        while not what():
            if time.monotonic() >= give_up:
                logs = "\n".join(
                    f"--- {p.name}\n{p.read_text()[-3000:]}" for p in self.directory.glob("*.err")
                )
                pytest.fail(f"not within {DEADLINE:g} s: {why}\n{logs}")
            time.sleep(0.05)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        process = self.processes[name]
        process.send_signal(number)
        return process.wait(DEADLINE)

    def close(self) -> None:
        """End the fleets before the broker that they cancel their orders at."""
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self.client.close()


@pytest.fixture
def world(redis_server: EmbeddedServer, tmp_path: Path) -> Iterator[World]:
    world = World(redis_server, tmp_path)
    yield world
    world.close()


AT_LIMIT, AWAY = 100.1, 102.0


def test_two_fleets_share_an_account_steal_and_honour_one_cooldown(world: World) -> None:
    apple = {"symbol": "AAPL", "target_qty": 150, "forecast_pnl": 1}
    world.plan("alpha", apple)
    world.plan("beta", {"symbol": "MSFT", "target_qty": 100, "forecast_pnl": 5})
    world.price("AAPL", AT_LIMIT)
    world.price("MSFT", AWAY)
    world.fleet("alpha")
    world.fleet("beta")
    world.until(lambda: world.state("AAPL") == "open", "alpha opens")
    world.price("AAPL", AWAY)
    world.until(lambda: (world.ledger.standing("AAPL", "maxdiff").ask or 0) >= AWAY, "the quote")

    # beta steals from alpha
    world.price("MSFT", AT_LIMIT)
    world.until(lambda: world.state("MSFT") == "open", "beta steals")
    assert [o["symbol"] for o in world.orders()] == ["MSFT"]
    assert [s["victims"] for s in world.steals()] == ["AAPL"]

    # alpha's entry becomes worth far more, but the cooldown keeps it from stealing back
    world.plan("alpha", apple | {"forecast_pnl": 50})
    world.price("MSFT", AWAY)
    world.price("AAPL", AT_LIMIT)
    world.until(lambda: world.ledger.standing("AAPL", "maxdiff").pnl == 50, "the edit arrives")
    world.until(
        lambda: "steal_back" in world.decision("AAPL"), "alpha is barred from stealing back"
    )
    assert len(world.steals()) == 1
    assert world.state("MSFT") == "open"

    # an operator ends the cooldown, and alpha's turn has come
    cooling = [*world.client.scan_iter(f"{world.ledger.keys.prefix}:cooldown*")]
    world.client.delete(*cooling)
    world.until(lambda: world.state("AAPL") == "open", "alpha steals back")
    assert [s["victims"] for s in world.steals()] == ["AAPL", "MSFT"]

    assert world.stop("alpha") == world.stop("beta") == 0
    assert world.orders() == []
    assert world.ledger.claim_ids() == []
    assert world.report()["cap_violations"] == 0


def test_a_killed_watcher_comes_back_and_adopts_its_order_and_a_killed_fleet_leaves_none(
    world: World,
) -> None:
    world.plan(
        "alpha",
        {"symbol": "AAPL", "target_qty": 50, "forecast_pnl": 1},
        {"symbol": "MSFT", "target_qty": 50, "forecast_pnl": 2},
    )
    world.price("AAPL", AT_LIMIT)
    world.price("MSFT", AT_LIMIT)
    fleet = world.fleet("alpha")
    world.until(lambda: world.state("AAPL") == world.state("MSFT") == "open", "both open")
    claim = world.claim("AAPL")
    assert claim
    assert claim.owner.endswith("alpha/AAPL-buy-maxdiff")

    # kill -9 of one watcher
    watcher = int(claim.owner.split(":")[1])
    os.kill(watcher, signal.SIGKILL)

    def adopted() -> bool:
        now = world.claim("AAPL")
        return bool(now and now.id == claim.id and now.owner != claim.owner)

    world.until(adopted, "the restarted watcher adopts its order")
    assert world.state("AAPL") == "open"
    assert len(world.orders("AAPL", "all")) == 1

    # kill -9 of the fleet: the children take their orders back
    children = psutil.Process(fleet.pid).children()
    fleet.kill()
    world.until(lambda: not any(c.is_running() for c in children), "the children end")
    world.until(lambda: world.orders() == [], "their orders are canceled")
    assert world.ledger.claim_ids() == []


def test_a_wrong_redis_password_is_said_once_for_all_and_not_tried_fast(tmp_path: Path) -> None:
    plan = tmp_path / "many.toml"
    entry = '[[entry]]\nsymbol = "AAPL"\nlimit_price = 1\ntarget_qty = 1\nstrategy = "s{}"\n'
    plan.write_text("".join(entry.format(i) for i in range(5)))
    err = tmp_path / "err"
    with EmbeddedServer.start(tmp_path / "redis", extra=("--requirepass", "right")) as server:
        env = os.environ | {
            "REDIS_URL": server.url.replace("://", "://:wrong@"),
            "APCA_API_KEY_ID": "key",
            "APCA_API_SECRET_KEY": "secret",
        }
        with err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "watchers", "run", "-v", plan], env=env, stderr=stderr
            )
        give_up = time.monotonic() + DEADLINE
        while err.read_text().count("starts again in") < 5 and time.monotonic() < give_up:
            time.sleep(0.05)
        process.terminate()
        code = process.wait(DEADLINE)

    said = err.read_text()
    assert code == 0
    assert said.count("check REDIS_PASSWORD and REDIS_URL (said once for all entries") == 1
    waits = [float(line.split()[-2]) for line in said.splitlines() if "starts again in" in line]
    assert len(waits) == 5
    assert min(waits) >= 30
    assert "Traceback" not in said
    assert "wrong@" not in said
