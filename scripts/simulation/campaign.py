"""Many seeds on several processors: what was found, and how much was covered."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from scripts.simulation import planted
from scripts.simulation.scenario import draw
from scripts.simulation.world import Result, World

#: Seeds that one worker runs before it reports.
BATCH = 10


@dataclass(slots=True)
class Report:
    """All that was seen, added up."""

    seeds: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    virtual_seconds: float = 0.0
    steals: int = 0
    seeds_with_steals: int = 0
    orders: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    #: By virtual seconds from the last fault to rest: how many runs; looked at once a second.
    rests: Counter[int] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """One run more."""
        self.seeds += 1
        self.virtual_seconds += result.virtual_seconds
        self.steals += result.steals
        self.seeds_with_steals += bool(result.steals)
        self.orders += result.orders
        self.counts += result.counts
        self.injected += result.injected
        if result.rest_seconds is not None:
            self.rests[round(result.rest_seconds)] += 1
        for violation in result.violations[:1]:
            self.failures.append(
                {
                    "seed": result.seed,
                    "invariant": violation.invariant,
                    "at": round(violation.at, 3),
                    "text": violation.text,
                }
            )

    def record(self) -> dict[str, Any]:
        """As plain data; ``calls`` by verb, ``decisions`` by outcome or reason."""
        decided = {k.removeprefix("decided:"): n for k, n in self.counts.items() if ":" in k}
        minutes = max(self.seconds, 1e-9) / 60
        return {
            "seeds": self.seeds,
            "violations": len(self.failures),
            "seeds_per_minute": round(self.seeds / minutes, 1),
            "seeds_per_minute_of_processor": round(
                self.seeds / max(self.cpu_seconds, 1e-9) * 60, 1
            ),
            "seconds": round(self.seconds, 1),
            "virtual_hours": round(self.virtual_seconds / 3600, 2),
            "orders": self.orders,
            "steals": self.steals,
            "seeds_with_steals": self.seeds_with_steals,
            "fights": self.counts["fights"],
            "faults_injected": sum(self.injected.values()),
            "faults": dict(sorted(self.injected.items())),
            "decisions": dict(sorted(decided.items())),
            "calls": {
                k: n for k, n in sorted(self.counts.items()) if ":" not in k and k != "fights"
            },
            "seconds_to_rest": self._to_rest(),
            "failures": self.failures,
        }

    def _to_rest(self) -> dict[str, int]:
        """Virtual seconds from the last fault until nobody waited for what there was room for."""
        rests = sorted(self.rests.elements())
        if not rests:
            return {}
        at = {"median": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}
        return {name: rests[int(part * (len(rests) - 1))] for name, part in at.items()}


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """No search for garbage meanwhile: a run makes little of it, and its world is one piece."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        if was_enabled:
            gc.enable()


def run_batch(bug: str, seeds: range) -> tuple[list[Result], float]:
    """Some seeds in this process, and the processor's seconds they took."""
    began = time.process_time()
    with planted.BUGS[bug].planted() if bug else nullcontext(), _collected_at_the_end():
        results = [World(draw(seed)).run() for seed in seeds]
    return results, time.process_time() - began


def run(
    first: int,
    count: int,
    jobs: int,
    *,
    bug: str = "",
    stop_at_first: bool = False,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """Seeds *first* to *first* + *count* - 1.

    :param bug: a planted bug to run with (``planted``).
    :param say: told each failing seed at once, and the progress now and then.
    """
    report, began, told = Report(), time.monotonic(), 0.0
    for results, cpu in _batches(first, count, jobs, bug):
        report.cpu_seconds += cpu
        for result in results:
            report.add(result)
            for violation in result.violations[:1]:
                say(f"seed {result.seed}: {violation}")
        report.seconds = time.monotonic() - began
        if report.seconds - told > 5:
            told = report.seconds
            say(
                f"{report.seeds} of {count} seeds, {len(report.failures)} violations, "
                f"{report.seeds / report.seconds * 60:.0f} a minute"
            )
        if stop_at_first and report.failures:
            break
    report.failures.sort(key=lambda failure: int(failure["seed"]))
    return report


def _batches(first: int, count: int, jobs: int, bug: str) -> Iterator[tuple[list[Result], float]]:
    last = first + count
    batches = [range(at, min(at + BATCH, last)) for at in range(first, last, BATCH)]
    work = partial(run_batch, bug)
    if jobs == 1:
        yield from map(work, batches)
        return
    method = "fork" if sys.platform == "linux" else "spawn"
    with multiprocessing.get_context(method).Pool(jobs) as pool:
        yield from pool.imap_unordered(work, batches)
