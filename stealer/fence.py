"""The operating system's fence around the POST (PROTOCOL, "Transitions").

A process may be stopped at any instruction (SIGSTOP, a debugger, a frozen container), so no check
of its own can keep it from sending late: the stop may come between the check and the write. A
timer of the operating system can. It runs while the process stands still, and its signal, left at
its default action, ends the process before it executes another instruction. A fleet starts it
again; the launched claim it leaves is resolved by the keeper.

The timer is the process's, so it is armed on the main thread only; a caller on another thread has
nothing but its own check. It counts like the monotonic clock: a machine that is suspended as a
whole suspends it too. The check before the write is by `seconds`, which counts on meanwhile.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

#: The shortest timer that is put back: zero would disarm it.
_LEAST_SECONDS = 0.001

_threads_told: set[str] = set()


def seconds() -> float:
    """A clock that never goes back; where the system can, it counts a suspended machine's time."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@contextmanager
def armed(within: float) -> Iterator[None]:
    """Let the process die unless the block is left *within* so many seconds.

    What was there before (handler, timer and mask of SIGALRM) is put back; a timer of somebody
    else is late by the time spent here. Off the main thread nothing is armed, which is said once.
    """
    if threading.current_thread() is not threading.main_thread():
        _tell(threading.current_thread().name)
        yield
        return
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, within)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left:
            rest = left - (time.monotonic() - began)
            signal.setitimer(signal.ITIMER_REAL, max(rest, _LEAST_SECONDS), interval)


@contextmanager
def unarmed(within: float) -> Iterator[None]:
    """No fence, for a clock that is not the operating system's: a simulation's or a test's."""
    yield


def _tell(thread: str) -> None:
    if thread not in _threads_told:
        _threads_told.add(thread)
        log.warning("orders sent by thread %s have no fence of the operating system", thread)
