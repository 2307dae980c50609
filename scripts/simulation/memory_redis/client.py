"""The client's side: redis-py's own commands and reply conversions on a server in memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import redis
from redis.client import Pipeline

from scripts.simulation.memory_redis.server import MemoryServer


class MemoryRedis(redis.Redis):
    """A redis-py client whose commands go to a ``MemoryServer`` instead of a socket.

    Override ``send`` to stand between the two: every command goes through it once,
    a batch through ``send_all``.
    A blocking pop that finds nothing answers at once; block by overriding ``send``.
    """

    def __init__(self, server: MemoryServer) -> None:
        # Making a client is slow, and its conversions are the same for all: they share one's parts.
        self.__dict__.update(_prototype().__dict__)
        self.server = server

    def send(self, *arguments: str) -> Any:
        """One command in one round trip; the raw reply."""
        return self.server.execute(*arguments)

    def send_all(self, batch: list[list[str]]) -> list[Any]:
        """A pipeline without a transaction: one round trip, the raw replies."""
        return [self.server.execute(*arguments) for arguments in batch]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, without a connection."""
        return self._converted(args, options, self.send(*_words(args)))

    def fcall(self, function: str, numkeys: int, *keys_and_args: Any) -> Any:
        """As redis-py's, which converts no reply of a function."""
        return self.send("FCALL", function, str(numkeys), *_texts(keys_and_args))

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """As redis-py's. A transaction is a batch too, since nothing runs in between."""
        return _MemoryPipeline(self, transaction, shard_hint)

    def _converted(self, args: Any, options: dict[str, Any], reply: Any) -> Any:
        options.pop("keys", None)
        callbacks: dict[str, Any] = self.response_callbacks
        convert = callbacks.get(str(args[0]))
        return convert(reply, **options) if convert else reply


@cache
def _unused_pool() -> redis.ConnectionPool:
    """What redis-py takes its settings from; nothing ever connects. Making one is slow."""
    return redis.ConnectionPool(decode_responses=True, protocol=2)


@cache
def _prototype() -> redis.Redis:
    return redis.Redis(connection_pool=_unused_pool())


class _MemoryPipeline(Pipeline):
    """redis-py's pipeline, executed in one batch."""

    def __init__(self, client: MemoryRedis, transaction: bool, shard_hint: Any) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """All queued commands. The first error is raised, as the ones here are bugs."""
        stack: list[Any] = list(self.command_stack)
        self.reset()
        replies = self._client.send_all([_words(args) for args, _ in stack]) if stack else []
        return [
            self._client._converted(args, options, reply)
            for (args, options), reply in zip(stack, replies, strict=True)
        ]


def _words(args: Any) -> list[str]:
    """A command as the encoder would send it; ``FUNCTION LOAD`` is two words in one."""
    return [*str(args[0]).split(" "), *_texts(args[1:])]


def _texts(items: Any) -> list[str]:
    """Arguments as the encoder would send them."""
    texts = []
    for item in items:
        if type(item) is str:
            texts.append(item)
        elif isinstance(item, bytes):
            texts.append(item.decode())
        else:
            texts.append(repr(item) if isinstance(item, float) else str(item))
    return texts
