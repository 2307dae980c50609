"""Everything of one run together, and the one loop in which all of it moves."""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
import requests

from scripts.chaos_run import times
from scripts.chaos_run.hosts import HUB, Network
from scripts.chaos_run.market import Broker, Market
from scripts.chaos_run.recoveries import Recoveries
from scripts.chaos_run.sentinel import direct
from scripts.chaos_run.servers import Pair, Single
from scripts.chaos_run.stage import Actor, Stage
from scripts.chaos_run.wire import Wire
from scripts.chaos_run.witness import Witness
from stealer.cli.operator import Operator
from stealer.embedded import EmbeddedServer
from stealer.errors import StealerError
from stealer.settings import Settings

log = logging.getLogger(__name__)

#: Cash of the account: twice that can be traded with.
CASH = 100_000.0

#: Together the watchers want this many times what the account has.
GREED = 3.0

#: Seconds between two turns of the loop, and while somebody waits for the right moment.
TURN_SECONDS, HUNT_SECONDS = 0.1, 0.02

#: Seconds between two readings of the broker's log, and of the ledger's reasons.
LISTEN_SECONDS = 0.5

#: After a loss of memory is over, its victims may still be canceled for this long.
AFTERMATH_SECONDS = 15.0


@dataclass
class Plan:
    """What was asked for on the command line."""

    seconds: float
    every: float
    seed: int
    watchers: int
    fleets: int
    topology: str
    only: frozenset[str]


@dataclass(eq=False)
class Scene:
    """One run. ``blind`` are times (unix seconds) in which the ledger could not keep reasons."""

    plan: Plan
    stage: Stage
    wire: Wire
    servers: Single | Pair
    broker: Broker
    settings: Settings
    network: Network | None
    rng: random.Random
    market: Market = field(init=False)
    witness: Witness = field(init=False)
    recoveries: Recoveries = field(default_factory=Recoveries)
    actions: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    blind: list[tuple[float, float]] = field(default_factory=list)
    down: set[EmbeddedServer] = field(default_factory=set)
    hunts: list[Callable[[], bool]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _due: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _listen_at: float = 0.0
    _heard_to: float = field(default_factory=time.time)
    _client: redis.Redis | None = None
    _ledger: Operator | None = None
    _port: int = 0

    def __post_init__(self) -> None:
        names = [f"fleet-{number}" for number in range(1, self.plan.fleets + 1)]
        each = GREED * CASH * self.settings.leverage / self.plan.watchers
        self.market = Market(
            self.broker,
            self.ledger,
            self.stage.directory,
            names,
            self.plan.watchers,
            each,
            random.Random(self.plan.seed),
        )
        self.witness = Witness(self.broker, self.ledger.keys, self.settings.account)

    @property
    def ledger(self) -> Operator:
        """The ledger on the server that is the primary now, past the proxy."""
        port = self.servers.primary().port
        if self._ledger is None or port != self._port:
            self._client, self._port = direct(port), port
            self._ledger = Operator(self._client, self.settings, owner="chaos")
        return self._ledger

    def start_processes(self) -> None:
        """Two keepers, and the fleets, each on its host."""
        self.market.open()
        hosts = self.network.hosts if self.network else ()
        for number in (1, 2):
            self.stage.add(
                f"keeper-{number}",
                "stealer.cli",
                *("keeper", "--poll-seconds", f"{times.KEEPER_POLL:g}"),
                host=hosts[(number - 1) % len(hosts)] if hosts else "",
            )
        for number in range(self.plan.fleets):
            name = self.market.fleet_of(number)
            self.stage.add(
                name,
                "watchers",
                *("run", str(self.market.plan_file(name))),
                host=hosts[number] if hosts else "",
            )

    # ---- time

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Do *work* after a while, in the loop."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), work))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Turn after turn for *seconds*; True as soon as *until* says so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()
            with suppress(StealerError, redis.RedisError):
                if until():
                    return True
        return False

    def turn(self) -> None:
        """One turn of the loop."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        self.servers.watch()
        self.stage.supervise()
        self.market.ledger = self.ledger
        self.market.tend()
        if now >= self._listen_at:
            self._listen_at = now + LISTEN_SECONDS
            self._listen()
        with suppress(StealerError, redis.RedisError):
            self.hunts = [hunt for hunt in self.hunts if not hunt()]
        self.recoveries.look()
        time.sleep(HUNT_SECONDS if self.hunts else TURN_SECONDS)

    def finish_pending(self) -> None:
        """Faults end: everything that was to happen later happens now, and the wire is clean."""
        while self._due:
            heapq.heappop(self._due)[2]()
        self.hunts.clear()
        self.wire.clear()
        self.broker.clear_faults()

    def _listen(self) -> None:
        began = time.time()
        with suppress(requests.RequestException):
            for event in self.witness.listen():
                if event.status == "filled":
                    self.market.filled.add(event.slot)
            if self.witness.ask_why(self.ledger.client):
                self._heard_to = began

    # ---- what actions share

    def watcher_pids(self) -> dict[int, Actor]:
        """Every watcher's process and its fleet."""
        return {pid: fleet for fleet in self.stage.fleets() for pid in fleet.children()}

    def leader(self) -> tuple[str, Actor | None]:
        """The holder of the keeper's lease, and its process if it is one of ours."""
        holder = str(self.ledger.client.get(self.ledger.keys.keeper) or "")
        pid = int(holder.split(":")[1]) if holder else None
        found = [keeper for keeper in self.stage.keepers() if pid and keeper.pid == pid]
        return holder, found[0] if found else None

    def until_certified(self, name: str, began: float | None = None) -> None:
        """A stopwatch until the ledger may be used again; till then reasons may be lost.

        :param began: unix seconds from which on the ledger's memory is lost; now if None. What it
            said after the witness last asked is lost with it.
        """
        entry = len(self.blind)
        self.blind.append((min(began or time.time(), self._heard_to), float("inf")))
        lost = self.ledger.server().identity if self._answers() else ""

        def is_over() -> bool:
            server = self.ledger.server()
            if not server.certified or (name != "flush" and server.identity == lost):
                return False
            self.blind[entry] = (self.blind[entry][0], time.time() + AFTERMATH_SECONDS)
            return True

        self.recoveries.start(f"{name} -> certified", is_over)

    def certified(self) -> bool:
        """Whether the ledger may be used.

        :raises StealerError: it cannot be reached.
        """
        return self.ledger.certified()

    def _answers(self) -> bool:
        with suppress(StealerError, redis.RedisError):
            return bool(self.ledger.client.ping())
        return False

    def restart(self, server: EmbeddedServer) -> None:
        """Start a server again that was killed."""
        server.restart()
        self.down.discard(server)


def open_scene(plan: Plan, directory: Path, network: Network | None, stack: ExitStack) -> Scene:
    """Start the proxy, the servers and the broker; watchers and keepers come later.

    Everything is stopped with *stack*, in the reverse order.

    :raises StageError, EmbeddedServerError, WireError: something did not start.
    """
    hub = HUB if network else "127.0.0.1"
    wire = Wire(directory / "proxy.log")
    stack.callback(wire.close)
    servers = (Pair if plan.topology == "sentinel" else Single)(directory, wire, hub)
    stack.callback(servers.close)
    stage = Stage(directory, network)
    stack.callback(stage.close)
    clock = f"2024-01-05T15:00:00Z@{time.time()}*1"  # an ordinary Friday, six hours of trading
    port = stage.start_broker(
        [
            *("--cash", str(CASH), "--seed", str(plan.seed), "--clock", clock),
            *("--rate-limit", "0", "--judge-window", f"{times.JUDGE_WINDOW:g}"),
            # The broker refuses nothing for want of money: what we send too much, the judge sees.
            "--no-buying-power-checks",
        ]
    )
    broker_port = wire.relay("broker", hub, ("127.0.0.1", port))
    stage.environment |= {
        "REDIS_URL": servers.url,
        "ALPACA_URL": f"http://{hub}:{broker_port}",
        "STEALER_MARKET_CLOCK": clock,
        "WORK_STEALING_MAX_CONCURRENT_ORDERS": str(max(2, plan.watchers * 2 // 5)),
    }
    settings = Settings.from_env(stage.environment)
    rng = random.Random(f"actor {plan.seed}")
    return Scene(plan, stage, wire, servers, Broker(port), settings, network, rng)
