"""The cost of one decision: ``acquire`` granted, denied and stealing, by number of open orders.

Each is one call through the coordinator and redis-py on a real server, so the figures include what
Python costs. They are ratios to a script that only returns 1, called through the same client, and
all kinds take turns in every round, so that a change of the machine's speed meets all of them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

import redis

from scripts.benchmarks.ledgers import ORDER_NEED, full_ledger
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
        for kind, call in _cases(desk).items():
            calls[f"{kind}@{size}"] = call
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
        "figures": figures,
        "ratio_to_noop": ratios,
        f"steal_{largest}_to_{smallest}": round(growth, 3),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    rows = [f"{'case':<16}{'median us':>11}{'p90 us':>9}{'x no-op':>9}"]
    for name, figure in result["figures"].items():
        ratio = result["ratio_to_noop"][name]
        rows.append(f"{name:<16}{figure['median_us']:>11}{figure['p90_us']:>9}{ratio:>9.2f}")
    rows += [f"{key}: {value}" for key, value in result.items() if key.startswith("steal_")]
    return rows


def _timed_noop(client: redis.Redis, digest: str) -> float:
    started = time.perf_counter()
    client.evalsha(digest, 0)
    return time.perf_counter() - started


def _cases(desk: WorkStealingCoordinator) -> dict[str, Callable[[], float]]:
    """One call of each kind; what it changed is put back outside the timed part."""
    price, qty = 100, ORDER_NEED // 100_000_000
    poor = OrderIntent("THIEF", "buy", qty, price, "thief", 0.5)
    rich = OrderIntent("THIEF", "buy", qty, price, "thief", 1e9)

    def granted() -> float:
        desk.client.hincrby(desk.keys.ledger, "limit_total", ORDER_NEED)
        desk.client.hincrby(desk.keys.ledger, "power_margin", ORDER_NEED)
        seconds, decision = _timed(desk, poor)
        _expect(decision, "granted")
        _forget_thief(desk, decision)
        desk.client.hincrby(desk.keys.ledger, "limit_total", -ORDER_NEED)
        desk.client.hincrby(desk.keys.ledger, "power_margin", -ORDER_NEED)
        return seconds

    def denied() -> float:
        seconds, decision = _timed(desk, poor)
        _expect(decision, "denied")
        _forget_waiter(desk)
        return seconds

    def steal() -> float:
        seconds, decision = _timed(desk, rich)
        _expect(decision, "steal")
        _forget_thief(desk, decision)
        _restore_victims(desk, decision)
        return seconds

    return dict(zip(KINDS, (granted, denied, steal), strict=True))


def _timed(desk: WorkStealingCoordinator, intent: OrderIntent) -> tuple[float, Decision]:
    started = time.perf_counter()
    decision = desk.acquire(intent)
    return time.perf_counter() - started, decision


def _expect(decision: Decision, outcome: str) -> None:
    if decision.outcome != outcome:
        raise RuntimeError(f"expected {outcome}: {decision}")


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
