"""A process's connection to the simulated Redis: two yield points a call, and what may go wrong.

As the real connection does (``stealer.connect``), a lost call is repeated, so a script may run
twice; what was lost on the way may also arrive late.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import redis

from scripts.simulation.kernel import Process
from scripts.simulation.memory_redis import MemoryRedis

#: Repeats of a lost call, and how long an answer is waited for.
REPEATS = 3
ANSWER_US = 300_000

#: Calls that only read: the judge need not look after them.
READS = frozenset(
    {
        "standing",
        "heartbeat",
        "identity",
        "candidates",
        "fits",
        "ticket",
        "watch",
        "session",
        "quotes",
        "await_price",
    }
)


class SimulatedRedis(MemoryRedis):
    """The product's client.

    :param world: has ``server``, ``judge``, ``fault_of``, ``after_call``, ``blocked``, ``note``.
    """

    def __init__(self, world: Any, process: Process) -> None:
        super().__init__(world.server)
        self.world = world
        self.process = process

    def send(self, *arguments: str) -> Any:
        """One command."""
        name = arguments[0]
        if name == "FCALL":
            verb = _verb(arguments[1])
            return self._trip(verb, lambda: self.world.run_verb(self.process, verb, arguments))
        if name == "BLPOP":
            return self._trip("BLPOP", lambda: self._block(arguments))
        return self._trip(name, lambda: self.world.run_command(arguments))

    def send_all(self, batch: list[list[str]]) -> list[Any]:
        """A pipeline: one round trip."""
        return list(
            self._trip(
                "PIPELINE", lambda: [self.world.run_command(arguments) for arguments in batch]
            )
        )

    def _trip(self, name: str, effect: Callable[[], Any]) -> Any:
        """The call with its faults; repeated when it was lost."""
        world, process = self.world, self.process.acting
        lost: redis.exceptions.ConnectionError | None = None
        for attempt in range(REPEATS + 1):
            kind, seconds = world.fault_of(process, name)
            process.nap(process.latency())
            try:
                if kind == "ghost" and name != "BLPOP":
                    process.kernel.after(int(seconds * 1e6), lambda: _in_vain(effect))
                elif kind != "lost_request":
                    reply = effect()
                    if kind == "duplicate":
                        process.nap(process.latency() * 4)
                        reply = effect()
                    world.note(process, name, reply, kind)
                    world.after_call(process, kind, seconds)
                    process.nap(process.latency())
                    if kind != "lost_reply":
                        return reply
                process.nap(ANSWER_US)
            except redis.exceptions.ConnectionError as error:
                lost = error
            process.nap(50_000 << attempt)
        raise lost or redis.exceptions.TimeoutError("Timeout reading from socket")

    def _block(self, arguments: tuple[str, ...]) -> Any:
        """BLPOP: what is there at once, or what comes within the timeout."""
        reply = self.world.run_command(arguments)
        if reply is not None:
            return reply
        assert self.process.acting is self.process, "no handler of a stream blocks"
        key, blocked = arguments[1], self.world.blocked
        blocked[key] = self.process
        try:
            self.process.sleep(float(arguments[-1]))
        finally:
            blocked.pop(key, None)
        return self.world.run_command(arguments)


@cache
def _verb(function: str) -> str:
    """``stealer_DIGEST_VERB``: the verb."""
    return function.split("_", 2)[2]


def _in_vain(effect: Callable[[], Any]) -> None:
    """A request that arrives when nobody waits for its answer any more."""
    try:
        effect()
    except redis.exceptions.RedisError:
        return
