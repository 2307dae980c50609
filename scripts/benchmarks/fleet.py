"""A fleet at rest: memory, processor time and requests of many watchers that wait for their price.

Beside it, in the same run: as many processes that are started one by one and look at the broker by
themselves, as a script without this system does (`lone_watcher`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from scripts.benchmarks.estate import SYMBOLS, Estate, far_away, until, write_plan
from scripts.demonstration.stage import StageError

#: Seconds after the last watcher has started before anything is measured.
SETTLE_SECONDS = 10.0

MEGABYTE = 1_000_000


def measure(estate: Estate, watchers: int, idle_seconds: float) -> dict[str, Any]:
    """Figures of the fleet, then of as many lone processes; see `lines` for their meaning."""
    estate.start_keeper()
    plan = write_plan(estate.stage.directory, far_away(watchers))
    started = time.monotonic()
    parent = estate.start_fleet(plan)
    until(lambda: estate.phases().count("waiting_for_price") >= watchers, "all watchers")
    ready = time.monotonic() - started
    fleet = _at_rest(estate, parent.children(), idle_seconds) | {"ready_seconds": round(ready, 2)}
    fleet["parent_uss_mb"] = round(parent.memory_full_info().uss / MEGABYTE, 1)
    estate.stage.stop(["fleet", "keeper"])
    return {"watchers": watchers, "fleet": fleet, "lone": _lone(estate, watchers, idle_seconds)}


def _lone(estate: Estate, watchers: int, idle_seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.benchmarks.lone_watcher", estate.url]
    started = time.monotonic()
    processes = [
        subprocess.Popen(
            [*command, SYMBOLS[number % len(SYMBOLS)]], stdout=subprocess.PIPE, text=True
        )
        for number in range(watchers)
    ]
    try:
        for process in processes:
            assert process.stdout
            process.stdout.readline()
        ready = time.monotonic() - started
        found = _at_rest(estate, [psutil.Process(p.pid) for p in processes], idle_seconds)
        return found | {"ready_seconds": round(ready, 2)}
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _at_rest(
    estate: Estate, processes: list[psutil.Process], idle_seconds: float
) -> dict[str, Any]:
    """What they use while nothing happens."""
    time.sleep(SETTLE_SECONDS)
    requests, cpu, started = estate.requests_made(), _cpu(processes), time.monotonic()
    time.sleep(idle_seconds)
    elapsed = time.monotonic() - started
    gone = [p.pid for p in processes if p.status() == psutil.STATUS_ZOMBIE]
    if gone:
        raise StageError(f"{len(gone)} of {len(processes)} processes ended: nothing to measure")
    used = [process.memory_full_info().uss / MEGABYTE for process in processes]
    return {
        "processes": len(processes),
        "uss_mb_median": round(median(used), 1),
        "uss_mb_largest": round(max(used), 1),
        "cpu_of_one_core": round((_cpu(processes) - cpu) / elapsed, 4),
        "requests_a_minute": round((estate.requests_made() - requests) / elapsed * 60, 1),
    }


def _cpu(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(t.user + t.system for t in times)


def lines(result: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    rows = [f"{result['watchers']} watchers at rest{'one fleet':>25}{'started alone':>16}"]
    for name, words in (
        ("ready_seconds", "all waiting after, s"),
        ("uss_mb_median", "own memory each, MB"),
        ("uss_mb_largest", "own memory, largest, MB"),
        ("cpu_of_one_core", "processor, of one core"),
        ("requests_a_minute", "requests a minute"),
    ):
        rows.append(f"{words:<30}{result['fleet'][name]:>15}{result['lone'][name]:>16}")
    return rows


def run(directory: Path, watchers: int, idle_seconds: float) -> dict[str, Any]:
    """The whole benchmark."""
    from scripts.benchmarks.estate import estate

    with estate(directory) as found:
        return measure(found, watchers, idle_seconds)
