"""SIGTERM and SIGINT as an orderly stop, restored afterwards."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """A stop that a signal handler may set at any moment, and a sleep that it ends.

    Not a ``threading.Event``: its ``set`` takes a lock that the interrupted ``wait`` may hold, and
    the process then never moves again (224 of 400 trials with a spinning wait).
    """

    def __init__(self) -> None:
        self._is_set = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def set(self) -> None:
        """Stop: from now on ``is_set``, and every ``wait`` returns at once."""
        self._is_set = True
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def is_set(self) -> bool:
        """True once it was set."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Sleep up to *seconds* or until it is set; True when it is."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.poll(max(seconds, 0) * 1000)
        return self.is_set()

    def close(self) -> None:
        """Give the two file descriptors back."""
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def on_stop(stop: Callable[[], object]) -> Iterator[None]:
    """Call *stop* on SIGTERM and SIGINT while inside; only in a process's main thread.

    *stop* runs between any two steps of the interrupted code, so it must take no lock:
    ``StopFlag.set``.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
