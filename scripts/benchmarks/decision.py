"""The cost of one decision: ``acquire`` granted, denied and stealing, by number of open orders.

Each is one call through the coordinator and redis-py on a real server, so the figures include what
Python costs. They are ratios to a script that only returns 1, called through the same client, and
all kinds take turns in every round, so that a change of the machine's speed meets all of them.
So do the commands that each kind sends inside the server, sent again with constants and without the
logic (`replay`): what these cost, no quicker Lua can save.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

import redis

from scripts.benchmarks.ledgers import ORDER_NEED, full_ledger
from scripts.benchmarks.replay import commands_of, replayed
from stealer.coordinator import WorkStealingCoordinator
from stealer.model import Decision, OrderIntent

KINDS = ("granted", "denied", "steal")


def measure(url: str, sizes: list[int], rounds: int) -> dict[str, Any]:
    """Medians and 90th percentiles in microseconds, and ratios to the no-op."""
    client = redis.Redis.from_url(url, decode_responses=True)
    noop = client.script_load("return 1")
    calls: dict[str, Callable[[], float]] = {"noop": lambda: _timed_noop(client, noop)}
    for size in sizes:
        desk = full_ledger(client, f"bench{size}", size)
        for kind in KINDS:
            calls[f"{kind}@{size}"] = Case(kind, desk).timed
    # On an account of its own: what is sent again leaves a ledger that nothing can be decided by.
    watched = full_ledger(client, "watched", min(sizes))
    sent = {kind: Case(kind, watched).commands() for kind in KINDS}
    for kind, commands in sent.items():
        calls[f"{kind}, commands"] = replayed(client, f"bench_{kind}", commands)
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    for number in range(rounds + rounds // 10):
        for name, call in calls.items():
            seconds = call()
            if number >= rounds // 10:  # the first tenth warms up
                times[name].append(seconds * 1e6)
    gc.enable()
    figures = {
        name: {"median_us": round(median(t), 1), "p90_us": round(quantiles(t, n=10)[-1], 1)}
        for name, t in times.items()
    }
    base = figures["noop"]["median_us"]
    ratios = {name: round(f["median_us"] / base, 3) for name, f in figures.items()}
    largest, smallest = max(sizes), min(sizes)
    growth = figures[f"steal@{largest}"]["median_us"] / figures[f"steal@{smallest}"]["median_us"]
    return {
        "rounds": rounds,
        "commands": {kind: len(commands) for kind, commands in sent.items()},
        "figures": figures,
        "ratio_to_noop": ratios,
        f"steal_{largest}_to_{smallest}": round(growth, 3),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    rows = [f"{'case':<18}{'median us':>11}{'p90 us':>9}{'x no-op':>9}"]
    for name, figure in result["figures"].items():
        ratio = result["ratio_to_noop"][name]
        rows.append(f"{name:<18}{figure['median_us']:>11}{figure['p90_us']:>9}{ratio:>9.2f}")
    rows.append("commands: " + ", ".join(f"{k} {n}" for k, n in result["commands"].items()))
    rows += [f"{key}: {value}" for key, value in result.items() if key.startswith("steal_")]
    return rows


def _timed_noop(client: redis.Redis, digest: str) -> float:
    started = time.perf_counter()
    client.evalsha(digest, 0)
    return time.perf_counter() - started


class Case:
    """One kind of decision, again and again on the same ledger: what it changes is put back."""

    def __init__(self, kind: str, desk: WorkStealingCoordinator) -> None:
        qty = ORDER_NEED // 100_000_000
        pnl = 1e9 if kind == "steal" else 0.5
        self.kind, self.desk = kind, desk
        self.intent = OrderIntent("THIEF", "buy", qty, 100, "thief", pnl)

    def timed(self) -> float:
        """Seconds of one decision."""
        seconds = 0.0

        def decide() -> Decision:
            nonlocal seconds
            started = time.perf_counter()
            decision = self.desk.acquire(self.intent)
            seconds = time.perf_counter() - started
            return decision

        self._surrounded(decide)
        return seconds

    def commands(self) -> list[list[bytes]]:
        """What one decision sends inside the server."""
        found: list[list[bytes]] = []

        def decide() -> Decision:
            decisions: list[Decision] = []
            client = self.desk.client
            found.extend(
                commands_of(client, lambda: decisions.append(self.desk.acquire(self.intent)))
            )
            return decisions[0]

        self._surrounded(decide)
        return found

    def _surrounded(self, decide: Callable[[], Decision]) -> None:
        desk = self.desk
        room = ORDER_NEED if self.kind == "granted" else 0
        for figure in ("limit_total", "power_margin"):
            desk.client.hincrby(desk.keys.ledger, figure, room)
        decision = decide()
        if decision.outcome != self.kind:
            raise RuntimeError(f"expected {self.kind}: {decision}")
        if decision.claim:
            _forget_thief(desk, decision)
            _restore_victims(desk, decision)
        _forget_waiter(desk)
        for figure in ("limit_total", "power_margin"):
            desk.client.hincrby(desk.keys.ledger, figure, -room)


def _forget_thief(desk: WorkStealingCoordinator, decision: Decision) -> None:
    """The thief's claim away, and the broker's figure as it was before."""
    assert decision.claim
    desk.abort(decision.claim)
    full = desk.client.hget(desk.keys.ledger, "charged_total")
    desk.client.hset(desk.keys.ledger, "since_margin", str(full))
    _forget_waiter(desk)


def _forget_waiter(desk: WorkStealingCoordinator) -> None:
    desk.client.delete(desk.keys.waiters, desk.keys.waiting)


def _restore_victims(desk: WorkStealingCoordinator, decision: Decision) -> None:
    """Victims open again, cooldowns lifted: the next round meets the same ledger."""
    with desk.client.pipeline(transaction=False) as pipe:
        for victim in decision.victims:
            pipe.hset(desk.keys.of("claim", victim.id), mapping={"state": "open", "heir": ""})
            pipe.zadd(desk.keys.open, {victim.id: victim.pnl})
            pipe.zrem(desk.keys.heirless, victim.id)
            a, b = sorted((victim.symbol, "THIEF"))
            pipe.delete(
                desk.keys.of("cooldown", victim.symbol),
                desk.keys.of("recent", a, b),
                desk.keys.of("fight", a, b),
            )
        pipe.execute()
