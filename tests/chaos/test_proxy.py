"""The proxy: each fault does what it says, to whom it is meant for, and ends by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scripts.chaos_run.proxy import Proxy

#: A read that has not ended by then never will.
BOUND = 5.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Bench:
    """An echo server behind a relay; ``heard`` is what arrived at the server."""

    def __init__(self) -> None:
        self.proxy = Proxy()
        self.heard = b""
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1000):
                self.heard += chunk
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connect(self) -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def fault(self, kind: str, seconds: float = 60, **more: Any) -> None:
        order = {"op": "fault", "name": "it", "kind": kind, "seconds": seconds, **more}
        assert await self.proxy.obey(order) == {}

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for link in list(self.proxy.relays["it"].links):
            link.abort()
        self.proxy.close()


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    server = await asyncio.start_server(found.echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()
    answer = await found.proxy.obey(
        {"op": "relay", "name": "it", "listen": ["127.0.0.1", 0], "target": target}
    )
    found.port = answer["port"]
    yield found
    await found.close()
    server.close()


def play(scene: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60), bench() as found:
            await scene(found)

    asyncio.run(whole())


async def said(stream: Stream, words: bytes) -> bytes:
    """Send *words* and read once; b"" when the connection ended instead."""
    stream[1].write(words)
    return await heard(stream)


async def heard(stream: Stream) -> bytes:
    try:
        return await asyncio.wait_for(stream[0].read(1000), BOUND)
    except ConnectionError:
        return b""


def test_without_a_fault_everything_passes() -> None:
    async def scene(b: Bench) -> None:
        stream = await b.connect()
        assert await said(stream, b"one") == b"one"
        assert await said(stream, b"two") == b"two"

    play(scene)


def test_a_delay_makes_each_chunk_late_and_ends() -> None:
    async def scene(b: Bench) -> None:
        stream = await b.connect()
        await b.fault("delay", by=0.2, direction="down")
        began = time.monotonic()
        assert await said(stream, b"one") == b"one"
        assert time.monotonic() - began >= 0.2
        await b.proxy.obey({"op": "clear"})
        began = time.monotonic()
        assert await said(stream, b"two") == b"two"
        assert time.monotonic() - began < 0.2

    play(scene)


def test_what_is_held_arrives_when_the_fault_ends() -> None:
    async def scene(b: Bench) -> None:
        stream = await b.connect()
        await b.fault("hold", 0.3, direction="up")
        began = time.monotonic()
        assert await said(stream, b"one") == b"one"
        assert time.monotonic() - began >= 0.29

    play(scene)


def test_what_is_dropped_is_lost_and_the_connection_with_it() -> None:
    async def scene(b: Bench) -> None:
        stream = await b.connect()
        await b.fault("drop", 0.3, direction="up")
        assert await said(stream, b"one") == b""
        assert b.heard == b""
        assert await said(await b.connect(), b"two") == b"two"

    play(scene)


def test_a_lost_reply_leaves_the_request_done() -> None:
    async def scene(b: Bench) -> None:
        stream = await b.connect()
        await b.fault("cut_reply", direction="down")
        assert await said(stream, b"one") == b""
        assert b.heard == b"one"

    play(scene)


def test_a_cut_ends_connections_and_refuses_new_ones() -> None:
    async def scene(b: Bench) -> None:
        stream = await b.connect()
        assert await said(stream, b"one") == b"one"
        await b.fault("cut")
        assert await heard(stream) == b""
        assert await said(await b.connect(), b"two") == b""
        assert b.heard == b"one"

    play(scene)


def test_a_fault_may_be_for_replication_or_for_clients_alone() -> None:
    async def scene(b: Bench) -> None:
        replica, client = await b.connect(), await b.connect()
        assert await said(replica, b"PSYNC ? -1") == b"PSYNC ? -1"
        assert await said(client, b"one") == b"one"
        await b.fault("cut", who="replication")
        assert await heard(replica) == b""
        assert await said(client, b"two") == b"two"
        assert await said(client, b"PUBLISH __sentinel__:hello") == b"PUBLISH __sentinel__:hello"
        await b.fault("cut", who="clients")
        assert await said(client, b"three") == b"three"
        assert await said(await b.connect(), b"psync ? -1") == b""
        assert await said(await b.connect(), b"one") == b""

    play(scene)


def test_new_connections_follow_a_new_target_and_old_ones_stay() -> None:
    async def scene(b: Bench) -> None:
        async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"other")
            await writer.drain()
            writer.close()

        old = await b.connect()
        assert await said(old, b"one") == b"one"
        server = await asyncio.start_server(other, "127.0.0.1", 0)
        await b.proxy.obey(
            {"op": "target", "name": "it", "target": server.sockets[0].getsockname()}
        )
        assert await said(old, b"two") == b"two"
        assert await heard(await b.connect()) == b"other"
        server.close()

    play(scene)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"op": "fault", "name": "it", "kind": "fire"}, "give one of"),
        ({"op": "fault", "name": "it", "kind": "cut", "direction": "left"}, "give one of"),
        ({"op": "fault", "name": "it", "kind": "cut", "seconds": -1}, "0 to 3600"),
        ({"op": "fault", "name": "it", "kind": "cut", "seconds": True}, "0 to 3600"),
        ({"op": "fault", "name": "it", "kind": "cut", "who": "me"}, "replication"),
        ({"op": "fault", "name": "nobody", "kind": "cut"}, "nobody"),
        ({"op": "dance"}, "no such order"),
    ],
)
def test_an_order_that_cannot_be_is_answered_in_words(order: dict[str, Any], says: str) -> None:
    async def scene(b: Bench) -> None:
        assert says in (await b.proxy.obey(order))["error"]

    play(scene)
