"""Breadth-first exploration of a transition system: every state once, so traces are shortest."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

#: Kinds of steps. MUST: happens if nothing else does. FAULT: may never happen. READING: happens for
#: ever and changes nothing at rest.
MUST, FAULT, READING = "must", "fault", "reading"

StateT = TypeVar("StateT", bound=Hashable)


class Step(NamedTuple, Generic[StateT]):
    """One step; ``wrong`` when taking it already breaks a promise."""

    kind: str
    label: str
    after: StateT
    wrong: str | None = None


@dataclass
class Result:
    """What an exploration found; ``violation`` is None when nothing is wrong."""

    states: int
    transitions: int
    depth: int
    seconds: float
    at_rest: int = 0
    complete: bool = True
    violation: str | None = None
    trace: list[str] = field(default_factory=list)


class _Found(Exception):
    """Ends the search: a violation at a state, after one more step perhaps."""

    def __init__(self, what: str, at: int, last: str = "") -> None:
        super().__init__(what)
        self.what, self.at, self.last = what, at, last


class Explorer(Generic[StateT]):
    """Explores from *first* by *steps*, checking each new state and each state at rest.

    :param check: what is wrong with a state, or None.
    :param check_rest: the same for a state in which nothing must happen any more.
    :param release: told of each state from which nothing more will be asked.
    """

    def __init__(
        self,
        first: StateT,
        steps: Callable[[StateT], Iterable[Step[StateT]]],
        check: Callable[[StateT], str | None],
        check_rest: Callable[[StateT], str | None],
        release: Callable[[StateT], None] = lambda state: None,
    ) -> None:
        self._steps, self._check, self._check_rest = steps, check, check_rest
        self._release = release
        self._states: list[StateT] = [first]
        self._index: dict[StateT, int] = {first: 0}
        self._parent, self._depth = array("i", [-1]), array("i", [0])
        self._labels: list[str] = [""]
        self._edges: list[tuple[int, int]] | None = None
        self._rests: list[int] = []
        self._transitions = 0

    def run(self, *, depth: int | None = None, progress: bool = False) -> Result:
        """Explore everything, or to *depth* steps.

        :param progress: also show that rest can be reached from every state without a fault.
        """
        started = time.monotonic()
        if progress:
            self._edges = []
        complete, violation, trace = True, None, []
        try:
            at = 0
            while at < len(self._states):
                if depth is not None and self._depth[at] >= depth:
                    complete = False
                    break
                self._expand(at)
                at += 1
            if progress and complete:
                self._must_reach_rest()
        except _Found as found:
            violation, trace = found.what, self._trace(found.at, found.last)
        return Result(
            states=len(self._states),
            transitions=self._transitions,
            depth=max(self._depth),
            seconds=time.monotonic() - started,
            at_rest=len(self._rests),
            complete=complete,
            violation=violation,
            trace=trace,
        )

    def _expand(self, at: int) -> None:
        resting = True
        for step in self._steps(self._states[at]):
            self._transitions += 1
            if step.wrong:
                raise _Found(step.wrong, at, step.label)
            to = self._index.get(step.after)
            if to is None:
                to = self._add(step.after, at, step.label)
            if step.kind == MUST and to != at:
                resting = False
            if self._edges is not None and step.kind != FAULT:
                self._edges.append((at, to))
        if resting:
            self._rests.append(at)
            wrong = self._check_rest(self._states[at])
            if wrong:
                raise _Found(wrong, at)
        self._release(self._states[at])

    def _add(self, state: StateT, parent: int, label: str) -> int:
        to = len(self._states)
        self._index[state] = to
        self._states.append(state)
        self._parent.append(parent)
        self._depth.append(self._depth[parent] + 1)
        self._labels.append(label)
        wrong = self._check(state)
        if wrong:
            raise _Found(wrong, to)
        return to

    def _must_reach_rest(self) -> None:
        """Backwards from the states at rest along steps that need no fault."""
        before: list[list[int]] = [[] for _ in self._states]
        for source, target in self._edges or ():
            before[target].append(source)
        reached = bytearray(len(self._states))
        todo = list(self._rests)
        for state in todo:
            reached[state] = 1
        while todo:
            for source in before[todo.pop()]:
                if not reached[source]:
                    reached[source] = 1
                    todo.append(source)
        stuck = reached.find(0)
        if stuck >= 0:
            raise _Found("progress: from here it never comes to rest", stuck)

    def _trace(self, at: int, last: str) -> list[str]:
        labels = [last] if last else []
        while at > 0:
            labels.append(self._labels[at])
            at = self._parent[at]
        return labels[::-1]
