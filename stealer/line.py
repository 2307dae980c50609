"""A connection kept for the verbs alone, and calls that are packed ahead.

A client of redis-py takes a connection from its pool for each call, looks whether it is still good,
packs every argument by itself and gives the connection back. For a decision of a few dozen
microseconds that is most of what it costs in Python. A `Line` keeps its connection and sends a call
as one piece of bytes; connecting, reading, time limits and repeats stay redis-py's own.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import redis

#: A pool that may hold fewer has none to spare.
FEWEST_CONNECTIONS = 4

_lines: WeakKeyDictionary[redis.Redis, Line] = WeakKeyDictionary()


def line_of(client: redis.Redis) -> Line | None:
    """The line of *client*, one for all who use it.

    None for a kind that is no plain client; for a pool that looks for the master by itself, which
    a kept connection would not follow; and for one that has no connection to spare.
    """
    pool = client.connection_pool
    if type(client) is not redis.Redis or type(pool) is not redis.ConnectionPool:
        return None
    if pool.max_connections < FEWEST_CONNECTIONS:
        return None
    return _lines.setdefault(client, Line(client))


class Line:
    """One connection of *client*'s pool, for one thread at a time."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None
        self._process = 0
        self._busy = threading.Lock()

    def call(self, head: bytes, argument: str) -> Any:
        """The reply to a call whose last argument is *argument*; None when the client must do it.

        *head* is everything before it, packed (see `packed_head`). None means that another thread
        is calling, or that the connection was lost: before the call or after it, so only what is
        safe to repeat may be sent.

        :raises redis.exceptions.RedisError: the server's refusal.
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            connection = self._own()
            data = argument.encode()
            try:
                connection.send_packed_command([b"%b$%d\r\n%b\r\n" % (head, len(data), data)])
                return connection.read_response()
            except redis.exceptions.ResponseError:
                raise
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                connection.disconnect()
                return None
            except BaseException:
                # Interrupted, or no text: what is left of the answer must not answer the next call.
                connection.disconnect()
                raise
        finally:
            self._busy.release()

    def __del__(self) -> None:
        """The connection back to its pool, which others may share."""
        if self._connection is not None and self._process == os.getpid():
            with suppress(Exception):
                self._pool.release(self._connection)

    def _own(self) -> Any:
        """The connection; a forked process takes a new one and leaves its parent's alone."""
        if self._process != os.getpid():
            self._connection = self._pool.get_connection()
            self._process = os.getpid()
        return self._connection


def packed_head(*parts: str, following: int) -> bytes:
    """The first *parts* of a command as the protocol wants them, *following* more to come."""
    pieces = [b"*%d\r\n" % (len(parts) + following)]
    for part in parts:
        data = part.encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(pieces)
