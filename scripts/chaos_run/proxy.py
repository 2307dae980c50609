"""A TCP proxy whose connections can be delayed, held up, silenced and cut while it runs.

One process, ``python -m scripts.chaos_run.proxy``, with any number of relays, each a listening
address that leads to a target. It is told what to do by JSON lines on its control connection
(``scripts.chaos_run.wire``) and ends when that connection ends, so that it outlives nobody.

A fault belongs to one relay and ends by itself after ``seconds``. ``direction`` is ``up`` (towards
the server), ``down`` (its replies) or ``both``:

- ``delay``: every chunk is late by ``by`` seconds, in order;
- ``hold``: nothing passes, and all of it arrives when the fault ends, as after a lost route;
- ``drop``: what is sent is lost, and the connection is cut when the fault ends;
- ``cut_reply``: the next reply of each connection is lost and the connection cut at that moment;
- ``cut``: connections are reset and new ones refused.

``who`` limits a fault to ``replication``: connections on which a replica follows its primary; or to
``clients``: all that are neither replication nor a Sentinel's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

KINDS = frozenset({"delay", "hold", "drop", "cut_reply", "cut"})
DIRECTIONS = frozenset({"up", "down", "both"})

#: The command by which a replica begins to follow.
_FOLLOWS = b"PSYNC"

#: The channel on which Sentinels greet each other through the servers they watch.
_WATCHES = b"__SENTINEL__"

#: Whose connections a fault may be for.
WHO = {"": "", "replication": "replication", "clients": "client"}

_CHUNK = 65536


class BadFault(ValueError):
    """A fault that cannot be; the message says what is allowed."""


@dataclass
class Fault:
    """One fault of a relay; ``until`` on the monotonic clock."""

    kind: str
    direction: str
    until: float
    by: float = 0.0
    who: str = ""

    def concerns(self, link: Link, direction: str) -> bool:
        """Whether it is for what *link* carries in *direction* now."""
        return (
            time.monotonic() < self.until
            and self.direction in ("both", direction)
            and WHO[self.who] in ("", link.kind)
        )


def parse_fault(order: dict[str, Any]) -> Fault:
    """A fault from the control connection.

    :raises BadFault: a kind, direction or time that cannot be.
    """
    kind, direction = order.get("kind"), order.get("direction", "both")
    if kind not in KINDS:
        raise BadFault(f"kind {kind!r}: give one of {', '.join(sorted(KINDS))}")
    if direction not in DIRECTIONS:
        raise BadFault(f"direction {direction!r}: give one of {', '.join(sorted(DIRECTIONS))}")
    seconds, by = order.get("seconds", 0), order.get("by", 0)
    for name, value in (("seconds", seconds), ("by", by)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:
            raise BadFault(f"{name} {value!r}: give 0 to 3600")
    who = order.get("who", "")
    if who not in WHO:
        raise BadFault(f"who {who!r}: give nothing, replication or clients")
    return Fault(kind, direction, time.monotonic() + seconds, by, who)


@dataclass(eq=False)
class Link:
    """One client's connection and ours to the target."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    kind: str = "client"  #: or replication, or sentinel, once it has shown that
    silenced: bool = False  #: bytes of it were lost: it can never be used again

    def abort(self) -> None:
        """Reset both sides."""
        for writer in (self.client, self.server):
            writer.transport.abort()


def _kind(chunk: bytes) -> str:
    """What a connection is, from what its client sends."""
    if _FOLLOWS in chunk:
        return "replication"
    return "sentinel" if _WATCHES in chunk else "client"


@dataclass(eq=False)
class Relay:
    """One listening address and where it leads."""

    target: tuple[str, int]
    faults: list[Fault] = field(default_factory=list)
    links: set[Link] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=lambda: {"connections": 0, "cut": 0, "lost": 0})

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        now = time.monotonic()
        self.faults = [f for f in self.faults if f.until > now] + [fault]
        if fault.kind == "cut":
            for link in [link for link in self.links if WHO[fault.who] in ("", link.kind)]:
                self._cut(link)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its beginning to its end."""
        self.counts["connections"] += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, far_writer)
        if self._in_force(link, "up", "cut"):
            self._cut(link)
            return
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(link, "up", reader, far_writer))
                tasks.create_task(self._pump(link, "down", far_reader, writer))
        finally:
            self.links.discard(link)
            for side in (writer, far_writer):
                side.close()

    async def _pump(
        self, link: Link, direction: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while chunk := await source.read(_CHUNK):
                if direction == "up" and link.kind == "client":
                    link.kind = _kind(chunk.upper())
                if await self._passes(link, direction):
                    sink.write(chunk)
                    await sink.drain()
                if sink.transport.is_closing():
                    return
            if not link.silenced and sink.can_write_eof():
                sink.write_eof()

    async def _passes(self, link: Link, direction: str) -> bool:
        """Whether a chunk goes on, after what it has to wait for."""
        if self._in_force(link, direction, "cut"):
            self._cut(link)
            return False
        if self._in_force(link, direction, "cut_reply"):
            self.counts["lost"] += 1
            self._cut(link)
            return False
        drop = self._in_force(link, direction, "drop")
        if drop or link.silenced:
            self.counts["lost"] += 1
            if drop and not link.silenced:
                asyncio.get_running_loop().call_later(
                    drop.until - time.monotonic(), self._cut, link
                )
            link.silenced = True
            return False
        delay = self._in_force(link, direction, "delay")
        if delay:
            await asyncio.sleep(delay.by)
        hold = self._in_force(link, direction, "hold")
        if hold:
            await asyncio.sleep(max(hold.until - time.monotonic(), 0))
        return not link.silenced

    def _in_force(self, link: Link, direction: str, kind: str) -> Fault | None:
        for fault in self.faults:
            if fault.kind == kind and fault.concerns(link, direction):
                return fault
        return None

    def _cut(self, link: Link) -> None:
        self.counts["cut"] += 1
        link.abort()


class Proxy:
    """All relays of the process, and the orders they take."""

    def __init__(self) -> None:
        self.relays: dict[str, Relay] = {}
        self._doors: list[asyncio.Server] = []

    def close(self) -> None:
        """Listen no more."""
        for door in self._doors:
            door.close()

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order; what it answers. A mistake is answered, not raised."""
        try:
            return await self._obey(order)
        except (BadFault, KeyError, OSError) as error:
            return {"error": f"{order.get('op')}: {error!s}"}

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        name = order.get("name", "")
        match order.get("op"):
            case "relay":
                relay = self.relays[name] = Relay(tuple(order["target"]))
                host, port = order["listen"]
                door = await asyncio.start_server(relay.serve, host, port)
                self._doors.append(door)
                return {"port": door.sockets[0].getsockname()[1]}
            case "target":
                self.relays[name].target = tuple(order["target"])
            case "fault":
                self.relays[name].add(parse_fault(order))
            case "clear":
                for relay in self.relays.values():
                    relay.faults.clear()
            case "counts":
                return {name: relay.counts for name, relay in self.relays.items()}
            case unknown:
                return {"error": f"no such order: {unknown!r}"}
        return {}


async def run(control: tuple[str, int]) -> None:
    """Obey the process that listens at *control* until it closes the connection."""
    reader, writer = await asyncio.open_connection(*control)
    proxy = Proxy()
    while line := await reader.readline():
        writer.write(json.dumps(await proxy.obey(json.loads(line))).encode() + b"\n")
        await writer.drain()
    proxy.close()


def main() -> None:
    """``python -m scripts.chaos_run.proxy HOST PORT``: where it is to connect for its orders."""
    asyncio.run(run((sys.argv[1], int(sys.argv[2]))))


if __name__ == "__main__":
    main()
