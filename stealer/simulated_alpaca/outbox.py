"""What waits to be sent on one connection, in the order in which it is due."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from typing import Any


class Outbox:
    """A queue whose messages may be made late. One task takes, anybody on the loop puts.

    A message without delay wakes the taker at once: no timer stands between an event and its frame.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Any]] = []
        self._count = 0
        self._latest = 0.0
        self._woken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, message: Any, delay: float = 0.0, overtaken: bool = False) -> None:
        """Add a message, due after ``delay`` seconds.

        The order is kept, later messages wait behind a delayed one, unless it may be ``overtaken``.
        """
        due = asyncio.get_running_loop().time() + delay
        if not overtaken:
            due = self._latest = max(due, self._latest)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, message))
        self._woken.set()

    async def take(self) -> Any:
        """The next message, when it is due."""
        loop = asyncio.get_running_loop()
        while True:
            wait = self._heap[0][0] - loop.time() if self._heap else None
            if wait is not None and wait <= 0:
                return heapq.heappop(self._heap)[2]
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait)
