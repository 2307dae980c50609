"""Virtual time and the one scheduler: processes as greenlets, events in a heap.

A process runs the product's blocking code until it sleeps; whoever is due first runs next. Time
passes only here, so a run is decided by its seed alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from greenlet import getcurrent, greenlet

#: When every run begins, in microseconds since 1970: an arbitrary moment on the server's clock.
BEGINNING_US = 1_704_300_000_000_000


class Killed(BaseException):
    """Unwinds a process that has died: no handler of the product catches it."""


class Kernel:
    """The clock, in microseconds, and what is due."""

    def __init__(self, seed: object) -> None:
        self.now = BEGINNING_US
        self._rng = Random(f"{seed}/order")
        self._heap: list[tuple[int, float, int, Callable[[], None]]] = []
        self._count = 0
        self.end = BEGINNING_US
        self.switches = 0

    @property
    def seconds(self) -> float:
        """Virtual seconds since the beginning."""
        return (self.now - BEGINNING_US) / 1e6

    def after(self, us: int, action: Callable[[], None]) -> None:
        """Run *action* in *us* microseconds; what is due at the same time runs in seeded order."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + max(us, 0), self._rng.random(), self._count, action))

    def run(self, us: int) -> None:
        """Let *us* microseconds pass."""
        self.end = self.now + us
        heap = self._heap
        while heap and heap[0][0] <= self.end:
            at, _, _, action = heapq.heappop(heap)
            self.now = max(self.now, at)
            action()
        self.now = self.end

    def may_pass(self, until: int) -> bool:
        """True when nothing else is due before *until*: then nobody need be asked."""
        return until <= self.end and (not self._heap or self._heap[0][0] > until)


class Process:
    """One process of the product: its code, its clocks, and whether it lives.

    :param body: what it runs; called with this process.
    """

    def __init__(self, kernel: Kernel, name: str, seed: object) -> None:
        self.kernel = kernel
        self.name = name
        self.rng = Random(f"{seed}/{name}")
        #: Each process counts its own seconds, and its wall clock is wrong on purpose.
        self.offset = self.rng.uniform(0, 1e6)
        self.wall_error = self.rng.uniform(-3000, 3000)
        self.lives = 0
        self.alive = False
        self.paused_until = 0
        self._is_held = False  # it was to go on while it was stopped
        #: When the fence's timer ends this process; 0 while it is not armed.
        self.fence_at = 0
        self._greenlet: greenlet | None = None
        self._ended: Callable[[bool], None] = lambda by_itself: None
        self._ticket = 0
        self.calls: dict[str, int] = {}
        self.threads: list[Thread] = []

    def start(self, body: Callable[[Process], None], ended: Callable[[bool], None]) -> None:
        """A new life, begun from the scheduler. *ended* is told whether it ended by itself."""

        def live() -> None:
            try:
                body(self)
            except Killed:
                ended(False)
                return
            self.alive = False
            ended(True)

        self._ended = ended
        self.lives += 1
        self.alive, self.paused_until, self.fence_at = True, 0, 0
        self._is_held = False
        self._greenlet = greenlet(live)
        self._wake_in(0)

    def _wake_in(self, us: int) -> None:
        self._ticket += 1
        ticket = self._ticket
        self.kernel.after(us, lambda: self._resume(ticket))

    def _resume(self, ticket: int) -> None:
        if not self.alive or ticket != self._ticket or self._greenlet is None:
            return
        self._is_held = self.paused_until > self.kernel.now
        if self._is_held:
            self._wake_in(self.paused_until - self.kernel.now)
            return
        self.kernel.switches += 1
        self._greenlet.switch()

    def wake(self) -> None:
        """It sleeps, and what it waits for is there."""
        self._wake_in(0)

    @property
    def acting(self) -> Process:
        """Itself, or that thread of it which runs now."""
        now = getcurrent()
        return next((thread for thread in self.threads if thread._greenlet is now), self)

    def die(self) -> None:
        """Dead at once, wherever it is."""
        if not self.alive:
            return
        self.alive = False
        threads, self.threads = self.threads, []
        for thread in threads:
            if getcurrent() is self._greenlet:  # only the scheduler can end another greenlet
                self.kernel.after(0, thread.end)
            else:
                thread.end()
        if getcurrent() is self._greenlet:
            raise Killed
        if self._greenlet:
            self._greenlet.throw(Killed)
        else:  # it has not run yet
            self._ended(False)

    def pause(self, us: int) -> None:
        """Stopped, as by SIGSTOP, for so long."""
        self.paused_until = max(self.paused_until, self.kernel.now + us)
        for thread in self.threads:
            thread.paused_until = self.paused_until

    def go_on(self) -> None:
        """As by SIGCONT: what is stopped for longer goes on now."""
        self.paused_until = min(self.paused_until, self.kernel.now)
        if self._is_held:
            self._wake_in(0)
        for thread in self.threads:
            thread.go_on()

    # ---- what the product's code is given

    def nap(self, us: int) -> None:
        """Sleep *us* microseconds; others run meanwhile.

        :raises Killed: it died.
        """
        if not self.alive:
            raise Killed
        kernel = self.kernel
        until = kernel.now + us
        if kernel.may_pass(until) and self.paused_until <= until:
            kernel.now = until
        else:
            self._wake_in(us)
            assert self._greenlet is not None
            parent = self._greenlet.parent
            assert parent is not None
            parent.switch()
        if self.fence_at and kernel.now >= self.fence_at:
            self.die()

    @contextmanager
    def fence(self, within: float) -> Iterator[None]:
        """The operating system's timer around a POST: a process that was stopped dies at resume."""
        self.fence_at = self.kernel.now + int(within * 1e6)
        try:
            yield
        finally:
            self.fence_at = 0

    def sleep(self, seconds: float) -> None:
        """``time.sleep``."""
        self.nap(int(max(seconds, 0.0) * 1e6))

    def monotonic(self) -> float:
        """``time.monotonic``."""
        return self.offset + self.kernel.now / 1e6

    def wall(self) -> float:
        """``time.time`` of a machine whose clock is wrong."""
        return self.kernel.now / 1e6 + self.wall_error

    def latency(self) -> int:
        """How long one way of a call takes: mostly short, sometimes long."""
        rng = self.rng.random()
        return int(300 + rng * 4000) if rng < 0.97 else int(rng * 150_000)


class Thread(Process):
    """Another line of execution in *owner*, begun there: both are stopped, and die, together."""

    def __init__(self, owner: Process, seed: object) -> None:
        super().__init__(owner.kernel, owner.name, f"{seed}/thread/{owner.lives}")
        self.owner = owner
        self.calls = owner.calls  # a fault strikes once, in whichever line the call is made
        owner.threads.append(self)

    def start(self, body: Callable[[Process], None], ended: Callable[[bool], None]) -> None:
        """See ``Process``; it is resumed by the scheduler, as its owner is."""
        super().start(body, ended)
        assert self._greenlet is not None
        assert self.owner._greenlet is not None
        self._greenlet.parent = self.owner._greenlet.parent

    def die(self) -> None:
        """What kills one line of execution kills all."""
        self.kernel.after(0, self.owner.die)
        self.end()

    def end(self) -> None:
        """Its owner is dead."""
        super().die()

    def pause(self, us: int) -> None:
        """A process is stopped as a whole."""
        self.owner.pause(us)
