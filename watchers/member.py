"""One entry's place in a fleet: its process, what follows when that ends, and when."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from watchers import children
from watchers.children import Ending
from watchers.plan import PlanProcess
from watchers.plan_exit import PlanExit


class State(StrEnum):
    """Where an entry is in its fleet."""

    WAITING = "waiting"  #: to be started when its time comes
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    EXPIRED = "expired"
    STOPPED = "stopped"
    GAVE_UP = "gave up"
    KILLED = "killed"  #: did not stop within the bound


#: An entry in one of these has no process and gets none before its plan changes.
FINAL = frozenset({State.DONE, State.EXPIRED, State.STOPPED, State.GAVE_UP, State.KILLED})

#: Endings after which the fleet as a whole has not done all it should.
FALLEN_SHORT = frozenset({State.EXPIRED, State.GAVE_UP, State.KILLED})

_BY_ITSELF = {
    Ending.DONE: State.DONE,
    Ending.EXPIRED: State.EXPIRED,
    Ending.STOPPED: State.STOPPED,
    Ending.IMPOSSIBLE: State.GAVE_UP,
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """When a process that failed starts again: twice as late each time, never all at once.

    Times in seconds. After running *well* for a while a failure counts as the first again.
    *misconfigured* is the first pause when only a person can help, and *misconfigured_cap* its
    longest.
    """

    first: float = 1.0
    cap: float = 60.0
    well: float = 60.0
    misconfigured: float = 60.0
    misconfigured_cap: float = 600.0
    spread: Callable[[], float] = random.random

    def pause(self, failures: int, *, misconfigured: bool) -> float:
        """Seconds to wait after *failures* in a row (1 or more), between half and all of them."""
        first = self.misconfigured if misconfigured else self.first
        cap = self.misconfigured_cap if misconfigured else self.cap
        whole = min(first * 2.0 ** min(failures - 1, 30), cap)
        return whole * (0.5 + 0.5 * self.spread())


@dataclass(slots=True)
class Member:
    """One entry or exit of the fleet. Times are seconds on the fleet's monotonic clock."""

    entry: PlanProcess
    state: State = State.WAITING
    pid: int | None = None
    pipe: int = -1
    phase: str = ""
    words: str = ""
    started_at: float = 0.0
    start_at: float = 0.0
    kill_at: float = 0.0
    failures: int = 0
    successor: PlanProcess | None = None  #: takes the entry's place once it has stopped
    removed: bool = False
    killed: bool = False
    left_behind: bool = False  #: its last process crashed, and may have left an order

    @property
    def name(self) -> str:
        """The entry's name in the fleet."""
        return self.entry.name

    @property
    def follows(self) -> str:
        """The name of the entry that it is the exit of; '' for an entry."""
        return self.entry.entry if isinstance(self.entry, PlanExit) else ""

    @property
    def wanted(self) -> PlanProcess | None:
        """The entry as the plan has it, which may not have started yet; None when removed."""
        return None if self.removed else self.successor or self.entry

    @property
    def shown(self) -> str:
        """One word for a summary: what its process does, or its state."""
        if self.state is State.RUNNING:
            return (self.phase or "starting").replace("_", " ")
        return "restarting" if self.state is State.WAITING and self.failures else self.state.value

    def started(self, pid: int, pipe: int, now: float) -> None:
        """Its process runs."""
        self.pid, self.pipe, self.started_at = pid, pipe, now
        self.state, self.phase, self.words, self.killed = State.RUNNING, "", "", False

    def stop(self, now: float, bound: float) -> None:
        """Ask its process, if any, to stop within *bound* seconds."""
        if self.pid is not None and self.state is State.RUNNING:
            self.state, self.kill_at = State.STOPPING, now + bound
            children.send(self.pid, signal.SIGTERM)
        elif self.state is State.WAITING:
            self.state = State.STOPPED

    def kill(self) -> None:
        """End its process by force."""
        assert self.pid is not None
        self.killed = True
        children.send(self.pid, signal.SIGKILL)

    def ended(self, status: int, now: float, backoff: Backoff) -> float | None:
        """Its process is over. Seconds until it starts again, None when it does not."""
        self.pid, self.pipe = None, -1
        known = status in set(Ending)
        self.left_behind = self.killed or not known or status == Ending.CRASHED
        if self.state is State.STOPPING:
            asked = _BY_ITSELF.get(Ending(status)) if known else None
            self.state = State.KILLED if self.killed else asked or State.STOPPED
            return None
        by_itself = _BY_ITSELF.get(Ending(status)) if known else None
        if by_itself:
            self.state = by_itself
            return None
        if now - self.started_at >= backoff.well:
            self.failures = 0
        self.failures += 1
        pause = backoff.pause(self.failures, misconfigured=status == Ending.MISCONFIGURED)
        self.state, self.start_at = State.WAITING, now + pause
        return pause

    def replace(self, entry: PlanProcess, now: float) -> None:
        """Begin anew as *entry*; its process must be over."""
        self.entry, self.successor, self.removed = entry, None, False
        self.state, self.start_at, self.failures = State.WAITING, now, 0
