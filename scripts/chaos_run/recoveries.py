"""How long things take until they work again, from the fault to the first look that finds so."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: A recovery that takes longer is counted as not seen; the end of the run judges what it left.
GIVE_UP_SECONDS = 90.0


@dataclass
class Recoveries:
    """Stopwatches that run until what they wait for is the case."""

    seen: dict[str, list[float]] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)
    _running: list[tuple[str, float, Callable[[], object]]] = field(default_factory=list)

    def start(self, name: str, is_over: Callable[[], object]) -> None:
        """From now until *is_over* says so. One that raises is asked again."""
        self._running.append((name, time.monotonic(), is_over))

    def look(self) -> None:
        """Ask all that run."""
        now = time.monotonic()
        still = []
        for name, began, is_over in self._running:
            try:
                over = bool(is_over())
            except Exception:  # the ledger or a process is away: not yet
                over = False
            if over:
                self.seen.setdefault(name, []).append(time.monotonic() - began)
            elif now - began > GIVE_UP_SECONDS:
                self.unseen[name] = self.unseen.get(name, 0) + 1
            else:
                still.append((name, began, is_over))
        self._running = still

    def running(self, name: str) -> bool:
        """Whether a stopwatch of that name runs."""
        return any(running == name for running, _, _ in self._running)

    def summary(self) -> dict[str, Any]:
        """Seconds by name: how many, median, longest; and those not seen to the end."""
        unfinished = dict(self.unseen)
        for name, _, _ in self._running:
            unfinished[name] = unfinished.get(name, 0) + 1
        return {
            name: {
                "count": len(found),
                "median_s": round(statistics.median(found), 2) if found else None,
                "longest_s": round(max(found), 2) if found else None,
                "not_seen": unfinished.get(name, 0),
            }
            for name in sorted(self.seen.keys() | unfinished.keys())
            for found in [self.seen.get(name, [])]
        }
