"""Throughput of many processes that contend for one account's capacity, four ways in one run:

- ``acquire`` and ``abort`` of this project;
- the same job with redis-py's ``Lock`` around read, decide and write in Python, a call for each;
- the same with all reads in one round trip and all writes in another, as few as Python can;
- a script that only returns 1, called as often: what the connection itself allows.

One decision is one attempt to take capacity, granted or refused; a granted one is given back.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

import redis

from stealer.coordinator import WorkStealingCoordinator
from stealer.model import MICRO, OrderIntent
from stealer.settings import Settings

#: Capacity for this many orders of one thousand dollars, wanted by every process.
SLOTS = 4
ACCOUNT = "contended"


def measure(url: str, processes: int, seconds: float) -> dict[str, Any]:
    """Decisions per second of each way, and their ratios."""
    client = redis.Redis.from_url(url, decode_responses=True)
    _prepare(client)
    rates = {
        way: sum(_crowd(way, url, processes, seconds)) / seconds
        for way in ("steal", "lock", "packed_lock", "noop")
    }
    return {
        "processes": processes,
        "seconds": seconds,
        "decisions_per_second": {way: round(rate, 1) for way, rate in rates.items()},
        "acquire_to_lock": round(rates["steal"] / rates["lock"], 2),
        "noop_to_lock": round(rates["noop"] / rates["lock"], 2),
        "acquire_to_packed_lock": round(rates["steal"] / rates["packed_lock"], 2),
        "noop_to_packed_lock": round(rates["noop"] / rates["packed_lock"], 2),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The figures in words."""
    rates = result["decisions_per_second"]
    return [
        f"{result['processes']} processes, decisions a second: acquire {rates['steal']:,.0f}, "
        f"Lock {rates['lock']:,.0f}, Lock in two round trips {rates['packed_lock']:,.0f}, "
        f"no-op script {rates['noop']:,.0f}",
        f"acquire is {result['acquire_to_lock']} x the Lock version "
        f"(a no-op script {result['noop_to_lock']} x), and {result['acquire_to_packed_lock']} x "
        f"that in two round trips ({result['noop_to_packed_lock']} x)",
    ]


def _prepare(client: redis.Redis) -> None:
    settings = Settings(
        account=ACCOUNT,
        account_stale_seconds=86_000,
        quote_stale_seconds=86_000,
        quarantine_seconds=86_400 * 3,
    )
    desk = WorkStealingCoordinator(client, settings)
    desk.certify()
    desk.publish_session(True)
    desk.publish_account(equity=SLOTS * 500, buying_power=1e9)
    desk.publish_quote("AAPL", 99, 99.01)
    client.hset("lock:ledger", mapping={"limit": SLOTS * 1000 * MICRO, "charged": 0})


def _crowd(way: str, url: str, processes: int, seconds: float) -> list[int]:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(processes), context.Queue()
    crowd = [
        context.Process(target=_work, args=(way, url, number, seconds, barrier, results))
        for number in range(processes)
    ]
    for process in crowd:
        process.start()
    counts = [results.get(timeout=seconds + 60) for _ in crowd]
    for process in crowd:
        process.join()
    return counts


def _work(way: str, url: str, number: int, seconds: float, barrier: Barrier, results: Any) -> None:
    client = redis.Redis.from_url(url, decode_responses=True)
    step = {
        "steal": _acquire_step,
        "lock": _lock_step,
        "packed_lock": _packed_lock_step,
        "noop": _noop_step,
    }[way](client, number)
    barrier.wait()
    stop, count = time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        step()
        count += 1
    results.put(count)


def _acquire_step(client: redis.Redis, number: int) -> Any:
    desk = WorkStealingCoordinator(client, Settings(account=ACCOUNT))
    intent = OrderIntent("AAPL", "buy", 10, 100, f"s{number}", 1.0)

    def step() -> None:
        decision = desk.acquire(intent)
        if decision.claim:
            desk.abort(decision.claim)

    return step


def _lock_step(client: redis.Redis, number: int) -> Any:
    """Read, decide and write in Python under redis-py's Lock, with its defaults.

    The same records as ``acquire`` and ``abort`` keep.
    """
    need, claim, slot = 1000 * MICRO, f"lock:claim:{number}", f"AAPL|buy|s{number}"

    def take() -> bool:
        with client.lock("lock:mutex", timeout=10):
            if client.hget("lock:slots", slot) is not None:
                return False
            ledger: Any = client.hgetall("lock:ledger")
            client.hget("lock:quotes", "AAPL")
            waiters: Any = client.zrevrange("lock:waiters", 0, 15, withscores=True)
            fits = need <= int(ledger["limit"]) - int(ledger["charged"])
            if fits and not any(pnl > 1 for _, pnl in waiters):
                client.hset("lock:ledger", "charged", int(ledger["charged"]) + need)
                client.hset(claim, mapping={"slot": slot, "need": need, "state": "reserved"})
                client.hset("lock:slots", slot, claim)
                client.zadd("lock:deadlines", {claim: time.time() + 30})
                client.zrem("lock:waiters", slot)
                return True
            if not client.zrange("lock:open", 0, 7, withscores=True):
                client.zadd("lock:waiters", {slot: 1.0})
                client.hincrby("lock:counters", "denied", 1)
            return False

    def give_back() -> None:
        with client.lock("lock:mutex", timeout=10):
            charged = int(client.hget("lock:ledger", "charged") or 0)
            client.hset("lock:ledger", "charged", charged - need)
            client.delete(claim)
            client.hdel("lock:slots", slot)
            client.zrem("lock:deadlines", claim)

    def step() -> None:
        if take():
            give_back()

    return step


def _packed_lock_step(client: redis.Redis, number: int) -> Any:
    """The same in as few round trips as Python can: one pipeline of reads, one of writes."""
    need, claim, slot = 1000 * MICRO, f"lock:claim:{number}", f"AAPL|buy|s{number}"

    def take() -> bool:
        with client.lock("lock:mutex", timeout=10):
            with client.pipeline(transaction=False) as reads:
                reads.hgetall("lock:ledger")
                reads.hget("lock:slots", slot)
                reads.hget("lock:quotes", "AAPL")
                reads.zrevrange("lock:waiters", 0, 15, withscores=True)
                reads.zrange("lock:open", 0, 7, withscores=True)
                ledger, holder, _quote, waiters, victims = reads.execute()
            free = int(ledger["limit"]) - int(ledger["charged"])
            fits = holder is None and need <= free and not any(pnl > 1 for _, pnl in waiters)
            with client.pipeline() as writes:
                if fits:
                    writes.hset("lock:ledger", "charged", int(ledger["charged"]) + need)
                    writes.hset(claim, mapping={"slot": slot, "need": need, "state": "reserved"})
                    writes.hset("lock:slots", slot, claim)
                    writes.zadd("lock:deadlines", {claim: time.time() + 30})
                    writes.zrem("lock:waiters", slot)
                elif not victims:
                    writes.zadd("lock:waiters", {slot: 1.0})
                    writes.hincrby("lock:counters", "denied", 1)
                writes.execute()
            return fits

    def give_back() -> None:
        with client.lock("lock:mutex", timeout=10):
            charged = int(client.hget("lock:ledger", "charged") or 0)
            with client.pipeline() as writes:
                writes.hset("lock:ledger", "charged", charged - need)
                writes.delete(claim)
                writes.hdel("lock:slots", slot)
                writes.zrem("lock:deadlines", claim)
                writes.execute()

    def step() -> None:
        if take():
            give_back()

    return step


def _noop_step(client: redis.Redis, number: int) -> Any:
    digest = client.script_load("return 1")
    return lambda: client.evalsha(digest, 0)
