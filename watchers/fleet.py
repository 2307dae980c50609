"""A fleet: one process for each entry of a plan, started by one parent that watches over them.

The parent loads what is heavy once, opens no connection and does no trading. It restarts what
crashed, later each time; leaves alone what ended by itself; stops all at once; and follows edits of
the plan: what is unchanged is not touched, and a broken edit changes nothing.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from watchers import children
from watchers.children import PARENT_SIGNALS, Ending, Lifeline
from watchers.member import FALLEN_SHORT, FINAL, Backoff, Member, State
from watchers.plan import Plan, PlanError, PlanProcess
from watchers.status import Phase

log = logging.getLogger(__name__)

#: Seconds a stop may take before processes are killed: a watcher's own bound (15) and some more.
STOP_SECONDS = 20.0

#: Seconds between two looks at the plan file.
PLAN_SECONDS = 1.0

#: Seconds between two summaries: of an unchanged fleet, and at least, of a changing one.
SUMMARY_SECONDS = 60.0
CHANGED_SUMMARY_SECONDS = 5.0

#: Seconds after which an exit that saw nothing left to do starts again while its entry goes on.
EXIT_AGAIN_SECONDS = 30.0

#: Exit statuses: all done or stopped; some expired, gave up or were killed.
ALL_WELL, FELL_SHORT = 0, 1

#: What runs in a child. It says how it ended; anything it raises is a crash.
Work = Callable[[PlanProcess, Lifeline], Ending]


class PlanSource(Protocol):
    """Where edited plans come from, see ``PlanFile``."""

    def load(self) -> Plan:
        """The plan now."""
        ...

    def poll(self) -> Plan | None:
        """A new plan, once."""
        ...


class Fleet:
    """Runs the entries of *plan*, each as *work* in a process of its own.

    :param source: asked for edited plans; None: the plan stays.
    :param prepare: called once before the first fork, to load what all children share.
    """

    def __init__(
        self,
        plan: Plan,
        work: Work,
        source: PlanSource | None = None,
        *,
        prepare: Callable[[], None] = lambda: None,
        stop_seconds: float = STOP_SECONDS,
        plan_seconds: float = PLAN_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = plan.fleet
        self.members = {one.name: Member(one) for one in plan.processes}
        self._work, self._source, self._prepare = work, source, prepare
        self._stop_seconds, self._plan_seconds = stop_seconds, plan_seconds
        self._backoff = backoff or Backoff()
        self._selector = selectors.DefaultSelector()
        self._inbox = self._outbox = -1
        self._signals: list[int] = []
        self._stopping = False
        self._plan_at = time.monotonic() + plan_seconds
        self._summary_at = self._repeat_at = 0.0
        self._summary = ""
        self._said: set[str] = set()

    def run(self) -> int:
        """Until all entries have ended, or SIGTERM or SIGINT; ``ALL_WELL`` or ``FELL_SHORT``."""
        self._prepare()
        children.share_memory()
        log.info("fleet %s: process %d, entries: %d", self.name, os.getpid(), len(self.members))
        with self._hearing_signals():
            while not self._step():
                pass
        self._tell_summary("ended: ")
        states = {member.state for member in self.members.values()}
        return FELL_SHORT if states & FALLEN_SHORT else ALL_WELL

    def _step(self) -> bool:
        """One turn of the loop; True when nothing is left to do."""
        self._resume_exits()
        self._start_due()
        if all(member.state in FINAL for member in self.members.values()):
            return True
        self._listen(self._patience())
        for number in self._signals:
            self._obey(number)
        self._signals.clear()
        self._reap()
        self._kill_overdue()
        if time.monotonic() >= self._plan_at:
            self._plan_at = time.monotonic() + self._plan_seconds
            self._look_at_plan(at_once=False)
        self._tell_summary_when_due()
        return False

    # ---- signals and waiting

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        """Signals as bytes on a pipe that the loop waits on, so that none comes between."""
        self._inbox, self._outbox = os.pipe()
        os.set_blocking(self._inbox, False)
        os.set_blocking(self._outbox, False)
        self._selector.register(self._inbox, selectors.EVENT_READ)
        before = {n: signal.signal(n, lambda number, frame: None) for n in PARENT_SIGNALS}
        wakeup = signal.set_wakeup_fd(self._outbox, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            os.close(self._inbox)
            os.close(self._outbox)

    def _patience(self) -> float:
        """Seconds until something is due by itself."""
        due = [self._plan_at, self._summary_at]
        for member in self.members.values():
            if member.state is State.WAITING:
                due.append(member.start_at)
            elif member.state is State.STOPPING:
                due.append(member.kill_at)
        # A member whose slot is still held by another one is due and cannot start: look again soon.
        return max(min(due) - time.monotonic(), 0.02)

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fd == self._inbox:
                self._signals += os.read(self._inbox, 4096)
            else:
                self._hear(key.data)

    def _hear(self, member: Member) -> None:
        messages = children.read_messages(member.pipe)
        if not messages:  # it has closed its end: it is over, or about to be
            self._selector.unregister(member.pipe)
            os.close(member.pipe)
            member.pipe = -1
        for message in messages:
            member.phase = message.get("phase", member.phase)
            if member.phase not in ("", Phase.BLOCKED):
                self._said.clear()  # what hindered all has passed, and is news when it comes back
            member.words = message.get("words", member.words)

    def _obey(self, number: int) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            log.info("fleet %s: %s: reading the plan", self.name, name)
            self._look_at_plan(at_once=True)
        elif number != signal.SIGCHLD and self._stopping:
            log.info("fleet %s: %s: is stopping already", self.name, name)
        elif number != signal.SIGCHLD:
            log.info("fleet %s: %s: stops within %g s", self.name, name, self._stop_seconds)
            self._stopping = True
            for member in self.members.values():
                member.successor = None
                self._stop(member)

    # ---- processes

    def _start_due(self) -> None:
        now = time.monotonic()
        held = {m.entry.slot for m in self.members.values() if m.pid is not None}
        for member in self.members.values():
            due = member.state is State.WAITING and now >= member.start_at
            if due and member.entry.slot not in held:
                self._start(member)
                held.add(member.entry.slot)

    def _resume_exits(self) -> None:
        """An exit may find that its entry is over when that is only late to start again."""
        if self._stopping:
            return
        for member in self.members.values():
            entry = self.members.get(member.follows)
            if member.state is State.DONE and entry and entry.state not in FINAL:
                member.replace(member.entry, time.monotonic() + EXIT_AGAIN_SECONDS)

    def _start(self, member: Member, *, stopped: bool = False) -> None:
        entry = member.entry
        others = [m.pipe for m in self.members.values() if m.pipe >= 0]
        mine = [self._inbox, self._outbox, self._selector.fileno(), *others]
        try:
            pid, pipe = children.fork_child(
                lambda line: self._work(entry, line), stopped=stopped, close=mine
            )
        except OSError as error:
            log.error("%s: no process for it: %s", member.name, error)
            member.ended(Ending.UNAVAILABLE, time.monotonic(), self._backoff)
            return
        member.started(pid, pipe, time.monotonic())
        self._selector.register(pipe, selectors.EVENT_READ, member)
        log.debug("%s: process %d", member.name, pid)

    def _stop(self, member: Member) -> None:
        """Stop its process. Where one crashed, another takes back what that left at the broker."""
        if member.state is State.WAITING and member.left_behind:
            self._start(member, stopped=True)
        member.stop(time.monotonic(), self._stop_seconds)

    def _reap(self) -> None:
        for member in list(self.members.values()):
            status = None if member.pid is None else children.ended(member.pid)
            if status is None:
                continue
            if member.pipe >= 0:
                self._hear(member)
            if member.pipe >= 0:
                self._selector.unregister(member.pipe)
                os.close(member.pipe)
            pause = member.ended(status, time.monotonic(), self._backoff)
            self._tell_end(member, status, pause)
            self._follow(member)

    def _follow(self, member: Member) -> None:
        """What the plan wants in the place of a member that has no process any more."""
        if member.state not in FINAL or self._stopping:
            return
        if member.removed:
            del self.members[member.name]
        elif member.successor:
            member.replace(member.successor, time.monotonic())

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for member in self.members.values():
            if member.state is State.STOPPING and not member.killed and now >= member.kill_at:
                then = "its order stays at the broker"
                if not member.follows:
                    then = "the keeper cancels its order when nobody was heard of for it a while"
                log.error(
                    "%s: has not stopped within %g s: killed; %s",
                    *(member.name, self._stop_seconds, then),
                )
                member.kill()

    # ---- the plan

    def _look_at_plan(self, *, at_once: bool) -> None:
        """Follow an edited plan; *at_once* also starts now what waits to be started again."""
        if self._source is None or self._stopping:
            return
        try:
            plan = self._source.load() if at_once else self._source.poll()
        except PlanError as error:
            log.error(
                "fleet %s: the new plan is not used, the fleet runs on as it is:\n%s",
                self.name,
                error,
            )
            return
        if plan is not None:
            self._adopt(plan)
        for member in self.members.values():
            if at_once and member.state is State.WAITING:
                member.start_at = time.monotonic()

    def _adopt(self, plan: Plan) -> None:
        now = time.monotonic()
        entries = {one.name: one for one in plan.processes}
        added = [name for name in entries if name not in self.members]
        removed = [m.name for m in self.members.values() if m.name not in entries]
        changed = [n for n, e in entries.items() if n not in added and self.members[n].wanted != e]
        for name in removed:
            self.members[name].removed = True
        for name in changed:
            self.members[name].removed, self.members[name].successor = False, entries[name]
        for name in (*removed, *changed):
            self._stop(self.members[name])
            self._follow(self.members[name])
        for name in added:
            self.members[name] = Member(entries[name], start_at=now)
        if plan.fleet != self.name:
            log.info("fleet %s is called %s now", self.name, plan.fleet)
            self.name = plan.fleet
        log.info(
            "fleet %s: new plan: added %s; removed %s; changed %s",
            self.name,
            *(", ".join(names) or "nothing" for names in (added, removed, changed)),
        )

    # ---- telling

    def _tell_end(self, member: Member, status: int, pause: float | None) -> None:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else "crashed"
        again = "" if pause is None else f"; starts again in {pause:.1f} s"
        if member.words:
            # The same words from many entries are one trouble, and said once.
            if member.words not in self._said:
                log.error("%s (said once for all entries; first %s)", member.words, member.name)
                self._said.add(member.words)
            log.debug("%s: %s%s", member.name, member.words, again)
        elif status < 0 or status not in set(Ending) or status == Ending.CRASHED:
            if not member.killed:
                log.error("%s: %s%s", member.name, how, again)
        else:
            log.info("%s: %s", member.name, member.state.value)

    def _tell_summary_when_due(self) -> None:
        now = time.monotonic()
        if now < self._summary_at:
            return
        self._summary_at = now + CHANGED_SUMMARY_SECONDS
        changed = self._counts() != self._summary
        if changed or now >= self._repeat_at:
            self._tell_summary("")

    def _tell_summary(self, how: str) -> None:
        self._summary = self._counts()
        self._repeat_at = time.monotonic() + SUMMARY_SECONDS
        log.info("fleet %s: %s%s", self.name, how, self._summary)

    def _counts(self) -> str:
        counts = Counter(member.shown for member in self.members.values())
        return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
