"""One run of one scenario: everything put together on one clock, phase after phase."""

from __future__ import annotations

import secrets
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, partial
from random import Random
from typing import Any
from unittest.mock import patch

from scripts.simulation import events
from scripts.simulation.client import SimulatedRedis
from scripts.simulation.edge import Edge
from scripts.simulation.judge import Judge, Violation
from scripts.simulation.kernel import Kernel, Killed, Process
from scripts.simulation.memory_redis import Identity, MemoryRedis, MemoryServer, Saved
from scripts.simulation.memory_redis.server import new_runtime
from scripts.simulation.scenario import PNLS, STRATEGY, Entry, Scenario, settings
from scripts.simulation.streams import SimulatedStreams
from scripts.simulation.venue import Hooks, Order, Venue
from stealer import OrderIntent, WorkStealingCoordinator
from stealer.entry import Entries
from stealer.evidence import Quote
from stealer.keeper.keeper import Keeper
from watchers.entry_watcher import EntryWatcher
from watchers.task import EntryTask

#: How far the market stands from a limit, as a fraction; and where it stands while things settle.
AWAY = (0.001, *[0.0028] * 5, 0.0035, *[0.0045] * 6, 0.006, 0.02)
NEAR = 0.002

#: How often keepers look, how long their lease is, the bounds for coming to rest and for ending.
KEEPER_POLL_SECONDS = 1.8
LEASE_SECONDS = 4.0
SETTLE_SECONDS = 60.0
STOP_SECONDS = 60.0

#: How often a symbol is quoted where keepers listen.
QUOTE_SECONDS = 1.5


@cache
def runtime() -> Any:
    """One Lua runtime a process of this machine: making one is slow."""
    return new_runtime()


@dataclass(slots=True)
class Result:
    """How one run went."""

    seed: int
    violations: list[Violation]
    counts: Counter[str]
    injected: Counter[str]
    steals: int
    orders: int
    virtual_seconds: float
    rest_seconds: float | None = None  #: from the last fault until all was at rest
    trace: list[str] = field(default_factory=list)


class World:
    """See the module; ``run`` does all of it."""

    def __init__(self, scenario: Scenario, *, traced: bool = False) -> None:
        self.scenario = scenario
        self.traced = traced
        self.trace: list[str] = []
        self.kernel = kernel = Kernel(scenario.seed)
        self.market_epoch = scenario.market
        self.settings = settings(
            lambda: scenario.market + kernel.seconds,
            crypto_out_of_hours_force_count=scenario.forced_by_rank,
        )
        self.prefix = f"stealer:{{{self.settings.account}}}"
        self.runtime = runtime()
        self.rng = Random(f"{scenario.seed}/world")
        self.server = MemoryServer(
            lambda: kernel.now, Identity(self.hex(40), self.hex(40)), runtime()
        )
        self.judge = Judge(self)
        self.venue = Venue(
            kernel, scenario.seed, scenario.equity, scenario.strict, scenario.lag_us,
            Hooks(self._arrived, self._changed),
        )  # fmt: skip
        self.judge.allowance.note()
        self.broker_down = False
        self.account_lag_us = 0
        self.exits_from = 0
        self.blocked: dict[str, Process] = {}
        self.streams: list[SimulatedStreams] = []
        self.quotes: dict[str, Quote] = {}
        self.injected: Counter[str] = Counter()
        self.faulty, self.stopping, self.over = True, False, False
        self._rest_seconds: float | None = None
        self._rest_by = 0
        self.checkpoints: list[tuple[int, Saved]] = []
        self.processes = {
            name: Process(kernel, name, scenario.seed)
            for name in [*(e.name for e in scenario.entries), *scenario.keepers]
        }
        self.entries = {entry.name: entry for entry in scenario.entries}
        self._by_symbol = {entry.symbol: entry for entry in scenario.entries}
        self.watchers: dict[str, EntryWatcher] = {}
        self._tasks: Counter[str] = Counter()
        self._aimed: dict[str, dict[tuple[str, int], Any]] = {}
        for fault in scenario.plan:
            if fault.call:
                aimed = self._aimed.setdefault(fault.target, {})
                aimed.setdefault((fault.call, fault.nth), fault)
        self.operator = WorkStealingCoordinator(
            MemoryRedis(self.server), self.settings, owner="operator"
        )

    def hex(self, digits: int) -> str:
        """Random hexadecimal digits, by the seed."""
        return f"{self.rng.getrandbits(4 * digits):0{digits}x}"

    # ---- the run

    def run(self) -> Result:
        """All phases; stops at the first violation."""
        with patch.object(secrets, "token_hex", lambda count: self.hex(2 * count)):
            if self.scenario.certified:
                self.operator.certify()
            for entry in self.scenario.entries:
                self._move_quote(entry)
                self._move_forecast(entry)
                self._start(entry.name, self.rng.uniform(0, 2.0))
            for keeper in self.scenario.keepers:
                self._start(keeper, self.rng.uniform(0, 0.5))
            if self.scenario.streams:
                self._quote_again()
            events.schedule(self)
            try:
                self._phases()
            finally:
                self.over = True
                for process in self.processes.values():
                    process.die()
        return Result(
            self.scenario.seed,
            self.judge.violations,
            self.judge.counts,
            self.injected,
            len(self.judge.steals),
            len(self.venue.orders),
            self.kernel.seconds,
            self._rest_seconds,
            self.trace,
        )

    def _phases(self) -> None:
        if not self._pass_time(self.scenario.active_seconds):
            return
        self.mark("faults stop, the market stands near every limit")
        self._calm()
        calm_at = self.kernel.seconds
        self._rest_by = self.kernel.now + int(SETTLE_SECONDS * 1e6)
        if not self._until(self._at_rest, SETTLE_SECONDS, self._tell_unrest):
            return
        self._rest_seconds = self.kernel.seconds - calm_at
        self.mark("watchers are told to stop")
        self.stopping = True
        for process in self.processes.values():
            process.go_on()
        if self._until(self._all_ended, STOP_SECONDS, self._tell_leaks):
            self.judge.judge_records()

    def _pass_time(self, seconds: float) -> bool:
        """False as soon as something is violated."""
        until = self.kernel.now + int(seconds * 1e6)
        while self.kernel.now < until:
            self.kernel.run(min(500_000, until - self.kernel.now))
            if self.judge.violations:
                return False
        return True

    def _until(self, reached: Callable[[], bool], seconds: float, tell: Callable[[], None]) -> bool:
        until = self.kernel.now + int(seconds * 1e6)
        while self.kernel.now < until:
            if not self._pass_time(1.0):
                return False
            if reached():
                return True
        tell()
        return False

    def _calm(self) -> None:
        """No more faults; the broker behaves; people take their orders back."""
        self.faulty = False
        self.broker_down, self.server.down = False, False
        self.account_lag_us = 0
        self.venue.calm = True
        events.end(self)
        for entry in self.scenario.entries:
            self.set_quote(entry, NEAR)
        self.judge.allowance.note()

    # ---- coming to rest (invariant 8) and ending (invariant 5)

    def _waiting(self) -> list[str]:
        """Watchers that are ready, whose order would fit, and that have none."""
        found = []
        live = {o.symbol for o in self.venue.orders.values() if o.ours and o.live}
        free = self.judge.allowance.free()
        for name, watcher in self.watchers.items():
            entry = self.entries[name]
            process = self.processes[name]
            if process.paused_until > self._rest_by or not process.alive or entry.symbol in live:
                continue
            if not entry.crypto and not self.session_open:
                continue
            missing = entry.qty - int(Decimal(watcher.status.filled_qty))
            need = missing * entry.limit
            if missing <= 0 or need > free[0] or (entry.crypto and need > free[1]):
                continue
            if self.judge.excused(watcher, process.monotonic()):
                continue
            found.append(
                f"{name} ({entry.symbol}, needs {need} of {free}): {watcher.status.reason}"
            )
        return found

    def _at_rest(self) -> bool:
        pending = any(o.status == "pending_cancel" for o in self.venue.orders.values())
        return not pending and not self._waiting() and self.certified

    def _tell_unrest(self) -> None:
        self.judge.found(8, f"after {SETTLE_SECONDS} s: {'; '.join(self._waiting()) or 'no rest'}")

    def _all_ended(self) -> bool:
        alive = [name for name in self.watchers if self.processes[name].alive]
        return not alive and not self.judge.leaks()

    def _tell_leaks(self) -> None:
        alive = [name for name in self.watchers if self.processes[name].alive]
        left = self.judge.leaks()
        self.judge.found(5, f"left {STOP_SECONDS} s after the end: {alive} {'; '.join(left)}")

    @property
    def certified(self) -> bool:
        """The ledger is certified for its server."""
        ledger, server = self.judge._hash("ledger"), self.server.identity
        known = (ledger.get("run"), ledger.get("repl"))
        return known == (server.run_id, server.replid)

    @property
    def session_open(self) -> bool:
        """The published session, by the same text that scripts read."""
        ledger = self.judge._hash("ledger")
        is_open = ledger.get("session") == "open"
        until = int(ledger.get("session_until", 0) or 0)
        return not is_open if until and self.kernel.now // 1000 >= until else is_open

    @property
    def server_up(self) -> bool:
        """Redis can be asked what it knows."""
        return not self.server.down and self.certified

    # ---- processes

    def _start(self, name: str, after_seconds: float) -> None:
        process = self.processes[name]
        body = self._watch if name in self.entries else self._keep

        def begin() -> None:
            if not self.over and not process.alive:
                process.start(body, lambda by_itself: self._ended(name, by_itself))

        self.kernel.after(int(after_seconds * 1e6), begin)

    def _ended(self, name: str, by_itself: bool) -> None:
        """A dead process is started again; a finished entry begins anew while there are faults."""
        if self.over:
            return
        rng = self.processes[name].rng
        if not by_itself:
            self._start(name, rng.uniform(0.2, 4.0))
        elif self.faulty and name in self.entries:
            self._tasks[name] += 1
            self._start(name, rng.uniform(0.5, 4.0))

    def guarded(self, process: Process, body: Callable[[], object]) -> None:
        """Whatever escapes the product's code is a finding."""
        try:
            body()
        except Killed:
            raise
        except Exception as error:
            where = traceback.format_exc(limit=-4)
            self.judge.found(0, f"{process.name}: {type(error).__name__}: {error}\n{where}")

    def _watch(self, process: Process) -> None:
        entry = self.entries[process.name]
        coordinator = WorkStealingCoordinator(
            SimulatedRedis(self, process), self.settings, owner=f"{process.name}:{process.lives}"
        )
        task = EntryTask(
            OrderIntent(
                entry.symbol, "buy", entry.qty, entry.limit, STRATEGY, entry.pnl, entry.mode,
                entry.forced,
            ),
            None,
            1e5,
            entry.poll_seconds,
            f"{entry.name}/{self._tasks[entry.name]}",
            stop_seconds=6.0,
        )  # fmt: skip

        def should_stop() -> bool:
            return self.stopping

        entries = Entries(
            coordinator, Edge(self, process), should_stop=should_stop, sleep=process.sleep,
            monotonic=process.monotonic, fence=process.fence,
        )  # fmt: skip
        watcher = EntryWatcher(
            task, coordinator, entries, should_stop=should_stop, sleep=process.sleep,
            monotonic=process.monotonic, now=process.wall,
        )  # fmt: skip
        self.watchers[process.name] = watcher
        self.guarded(process, watcher.run)

    def _keep(self, process: Process) -> None:
        coordinator = WorkStealingCoordinator(
            SimulatedRedis(self, process), self.settings, owner=f"{process.name}:{process.lives}"
        )
        listening = partial(SimulatedStreams, self, process) if self.scenario.streams else None
        keeper = Keeper(
            coordinator, Edge(self, process), lease_seconds=LEASE_SECONDS, sleep=process.sleep,
            pause=process.sleep, monotonic=process.monotonic,
            open_streams=listening,
        )  # fmt: skip
        self.guarded(process, lambda: keeper.keep(KEEPER_POLL_SECONDS, lambda: self.over))

    # ---- the market

    def set_quote(self, entry: Entry, away: float) -> None:
        """The ask stands *away* above the entry's limit."""
        ask = Decimal(entry.limit) * (1 + Decimal(str(away)))
        self._quote(Quote(entry.symbol, ask - Decimal("0.01"), ask, self._market_now))

    def quote(self, symbol: str) -> Quote | None:
        """The symbol's latest quote. Without streams it is as of now: nobody compares times."""
        found = self.quotes.get(symbol)
        if found is None or self.scenario.streams:
            return found
        return replace(found, at=self._market_now)

    def _quote(self, quote: Quote) -> None:
        self.quotes[quote.symbol] = quote
        for streams in self.streams:
            streams.tell_quote(quote)

    def _quote_again(self) -> None:
        """The market quotes the same again, as an open one does."""
        for quote in list(self.quotes.values()):
            self._quote(replace(quote, at=self._market_now))
        self.kernel.after(int(QUOTE_SECONDS * 1e6), self._quote_again)

    @property
    def _market_now(self) -> float:
        """Unix seconds at the market."""
        return self.kernel.seconds + self.market_epoch

    def _move_quote(self, entry: Entry) -> None:
        rng = Random(f"{self.scenario.seed}/quote/{entry.symbol}")

        def move() -> None:
            if self.faulty:
                self.set_quote(entry, rng.choice(AWAY))
                self.kernel.after(int(rng.expovariate(1 / 3.0) * 1e6), move)

        move()

    def _move_forecast(self, entry: Entry) -> None:
        rng = Random(f"{self.scenario.seed}/forecast/{entry.symbol}")

        def move() -> None:
            if self.faulty and not self.server.down:
                pnl = rng.choice(PNLS)
                self.operator.publish_forecast(entry.symbol, STRATEGY, pnl)
            if self.faulty:
                self.kernel.after(int(rng.expovariate(1 / 6.0) * 1e6), move)

        self.kernel.after(int(rng.expovariate(1 / 5.0) * 1e6), move)

    def _arrived(self, order: Order) -> None:
        self.judge.on_arrival(order)
        for streams in self.streams:
            streams.tell_order("new", order)

    def _changed(self, order: Order, what: str) -> None:
        if self.traced:
            self.note(None, f"order {order.id}", f"{order.symbol} {what}", "")
        if order.ours and order.side == "buy" and what.startswith("filled"):
            # Exits are somebody else's business; without them all capacity would end as positions.
            entry = self._by_symbol[order.symbol]
            wait = int(order.rng.expovariate(1 / 4.0) * 1e6)
            wait = max(wait, self.exits_from - self.kernel.now)
            self.kernel.after(wait, lambda: events.sell_held(self, entry))
        if not order.ours or (not order.crypto and what.startswith("filled")):
            self.judge.allowance.note()
        for streams in self.streams:
            streams.tell_order(what.partition(" ")[0], order)

    # ---- calls and their faults

    def run_verb(self, process: Process, verb: str, arguments: tuple[str, ...]) -> Any:
        """One script, judged."""
        reply, woken = self.server.perform(*arguments)
        self.judge.on_verb(process.name, verb, arguments[-1], reply)
        for key in woken:
            if key in self.blocked:
                self.blocked[key].wake()
        return reply

    def run_command(self, arguments: Any) -> Any:
        """One plain command."""
        return self.server.perform(*arguments)[0]

    def fault_of(self, process: Process, call: str) -> tuple[str, float]:
        """The fault that the plan has for this call, if any: its kind and size."""
        aimed = self._aimed.get(process.name)
        if aimed is None or not self.faulty:
            return "", 0.0
        calls = process.calls
        nth = calls[call] = calls.get(call, 0) + 1
        anything = calls["*"] = calls.get("*", 0) + 1
        fault = aimed.get((call, nth)) or aimed.get(("*", anything))
        if fault is None:
            return "", 0.0
        self.injected[fault.kind] += 1
        self.note(process, call, f"FAULT {fault}", "")
        if fault.kind == "crash_before":
            process.die()
        if fault.kind == "pause_before":
            process.pause(int(fault.size * 1e6))
            return "", 0.0
        return fault.kind, fault.size

    def after_call(self, process: Process, kind: str, seconds: float) -> None:
        """Faults between a call's effect and its reply."""
        if kind == "crash_after":
            process.die()
        elif kind == "pause_after":
            process.pause(int(seconds * 1e6))

    def note(self, process: Process | None, call: str, what: object, kind: str) -> None:
        """A line of the trace."""
        if self.traced:
            name = process.name if process else "-"
            text = str(what).replace("\x1f", " ")
            self.trace.append(f"{self.kernel.seconds:9.4f} {name:4} {call:18} {text}")

    def mark(self, what: str) -> None:
        """A heading of the trace."""
        if self.traced:
            self.trace.append(f"{self.kernel.seconds:9.4f} ---- {what}")
