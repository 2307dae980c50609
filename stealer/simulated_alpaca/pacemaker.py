"""What moves the world when nobody asks anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from .data_stream import DataStreams
from .events import Event
from .world import World

log = logging.getLogger(__name__)

#: So that a moment that is due by a hair is not waited for in a busy loop.
SHORTEST_PAUSE_SECONDS = 0.0005


class Pacemaker:
    """Advances the exchange at every tick, and before it when an order changes by itself."""

    def __init__(self, world: World, data: DataStreams, tick: float) -> None:
        self._world = world
        self._data = data
        self._tick = tick
        self._woken = asyncio.Event()
        world.exchange.events.listeners.append(self._wake)

    def _wake(self, event: Event) -> None:
        """An event may make something due: look anew."""
        self._woken.set()

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            self._woken.clear()
            try:
                self._world.advanced()
                self._data.tick()
            except Exception:
                # A market that stands still silently would look like a quiet one.
                log.exception("the simulated market could not advance")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._pause())

    def _pause(self) -> float:
        due = self._world.exchange.next_due()
        if due is None:
            return self._tick
        return min(self._tick, max(due - self._world.now(), SHORTEST_PAUSE_SECONDS))
