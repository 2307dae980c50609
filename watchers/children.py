"""Child processes: forked from one parent, told to stop when it dies, heard until they end.

What must hold around a fork, all in this module:

- the parent has no thread but its main one, and has opened no connection;
- signals are held back between the fork and the child's own handlers, so that none is lost and none
  reaches a handler of the parent in the child;
- a child whose parent dies, however it dies, gets SIGTERM from the kernel (Linux), and also looks
  at its parent's id at every step (elsewhere), so that it takes its order back by itself.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import NoReturn

from stealer.signals import STOP_SIGNALS, StopFlag, on_stop
from watchers.status import Phase

log = logging.getLogger(__name__)

#: prctl's number for "send me this signal when my parent dies" (linux/prctl.h).
_PR_SET_PDEATHSIG = 1

#: What the parent handles itself and a child must not inherit.
PARENT_SIGNALS = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)

#: Bytes of one message to the parent: a pipe takes that much at once or not at all (PIPE_BUF).
MESSAGE_BYTES = 4000


class Ending(IntEnum):
    """How a child ended, as its exit status. Any other status, or a signal, is a crash."""

    DONE = 0
    CRASHED = 1
    EXPIRED = 10
    STOPPED = 11
    UNAVAILABLE = 12  #: Redis could not be reached at the start
    MISCONFIGURED = 13  #: Redis refuses what is needed; somebody may put that right
    IMPOSSIBLE = 14  #: it cannot work in this environment; starting again changes nothing


class Lifeline(StopFlag):
    """A child's side of the tie to its parent: set when it shall stop, also by its parent's death.

    Messages are short lines on a pipe that never blocks: a parent too busy to read misses a phase,
    never a process's end.
    """

    def __init__(self, parent: int, pipe: int) -> None:
        super().__init__()
        self._parent = parent
        self._pipe = pipe

    def is_set(self) -> bool:
        """True once it was told to stop, or its parent is gone."""
        return super().is_set() or os.getppid() != self._parent

    def tell_phase(self, phase: Phase, reason: str) -> None:
        """The phase it is in, for the fleet's summary."""
        self._tell({"phase": phase.value, "reason": reason})

    def tell_words(self, words: str) -> None:
        """Why it is about to end, in a sentence that the parent says once for all children."""
        self._tell({"words": words[: MESSAGE_BYTES // 8]})

    def _tell(self, message: dict[str, str]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with suppress(OSError):
            os.write(self._pipe, line[:MESSAGE_BYTES])


class ThreadsAlive(RuntimeError):
    """A process with threads was to be forked; the child could hang on a lock nobody frees."""


def fork_child(
    body: Callable[[Lifeline], Ending], *, stopped: bool = False, close: Iterable[int] = ()
) -> tuple[int, int]:
    """Start *body* in a child; (its process id, the pipe on which it tells).

    :param stopped: the child begins with its stop set: it only takes back what is out.
    :param close: file descriptors of the parent that are none of the child's business.
    :raises ThreadsAlive: this process has other threads.
    :raises OSError: the system gives no process or pipe now.
    """
    if threading.active_count() != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise ThreadsAlive(f"no process with threads is forked; alive: {names}")
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    parent = os.getpid()
    with _held_back(PARENT_SIGNALS):
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            _child(body, parent, writer, stopped, [reader, *close])
    os.close(writer)
    return pid, reader


@contextmanager
def _held_back(signals: Iterable[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(
    body: Callable[[Lifeline], Ending], parent: int, pipe: int, stopped: bool, close: list[int]
) -> NoReturn:
    """The child's whole life. It leaves by ``os._exit``: nothing of the parent's stack may run."""
    status = int(Ending.CRASHED)
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in close:
            os.close(descriptor)
        line = Lifeline(parent, pipe)
        if stopped:
            line.set()
        # A terminal that goes away is the parent's affair: it re-reads its plan on SIGHUP.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with on_stop(line.set):
            _die_with(parent, line)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENT_SIGNALS)
            status = int(body(line))
    except BaseException:
        log.exception("crashed")
    finally:
        with suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _die_with(parent: int, line: Lifeline) -> None:
    """Ask the kernel for SIGTERM at the parent's death; it may have died already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            log.warning("prctl: %s", os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        line.set()


def share_memory() -> None:
    """Before the first fork: leave what is loaded alone, so that its pages stay shared."""
    gc.collect()
    gc.freeze()


def ended(pid: int) -> int | None:
    """The exit status of a child that is over, negative for a signal; None while it runs."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else waited for it; how it ended is lost
        return int(Ending.CRASHED)
    return os.waitstatus_to_exitcode(status) if found else None


def send(pid: int, number: signal.Signals) -> None:
    """Signal a child that has not been waited for, so that its id is surely its own."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def read_messages(pipe: int) -> list[dict[str, str]]:
    """What a child told since the last time."""
    content = b""
    while True:
        try:
            part = os.read(pipe, 65536)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno == errno.EINTR:
                continue
            break
        if not part:
            break
        content += part
    messages = []
    for line in content.splitlines():
        with suppress(ValueError):
            messages.append(json.loads(line))
    return messages
