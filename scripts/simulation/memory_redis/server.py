"""The server's side: one keyspace in Lua, the moment it sees, who it says it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import redis

#: Reply kinds of ``commands.lua``: a value, a flat list, a table, an error.
_VALUE, _LIST, _TABLE, _ERROR = range(4)


@dataclass(frozen=True, slots=True)
class Identity:
    """What INFO says: forty hexadecimal digits each; ``role`` is ``master`` or ``slave``."""

    run_id: str = "a" * 40
    replid: str = "b" * 40
    role: str = "master"


@dataclass(frozen=True, slots=True)
class Saved:
    """All keys at one moment; opaque, never changed, good for any number of restores."""

    keys: Any


@cache
def _implementation() -> Any:
    """LuaJIT where lupa has it, else Lua 5.1: both are the language of Redis' scripts."""
    try:
        return import_module("lupa.luajit21")
    except ImportError:
        return import_module("lupa.lua51")


@cache
def _source() -> str:
    return Path(__file__).with_name("commands.lua").read_text(encoding="utf-8")


def _chunk(runtime: Any) -> Any:
    """``commands.lua``, compiled once a runtime; each call of it makes a server of its own."""
    known = runtime.globals()
    if known.MEMORY_REDIS is None:
        known.MEMORY_REDIS = runtime.compile(_source())
    return known.MEMORY_REDIS


class MemoryServer:
    """One server. Not thread-safe, as Redis is not: one command after the other.

    :param now_us: the present in microseconds since 1970; read once per command.
    """

    def __init__(
        self, now_us: Callable[[], int], identity: Identity | None = None, runtime: Any = None
    ) -> None:
        self._lua = runtime or new_runtime()
        self.edge = _chunk(self._lua)()
        self._execute = self.edge.execute
        self._now_us = now_us
        self._identity = Identity()
        self.identity = identity or Identity()
        self.down = False

    # ---- commands

    def execute(self, command: str, *arguments: str) -> Any:
        """One command; texts, integers, None, or lists of these.

        :raises redis.ResponseError: the server's error reply, as redis-py would raise it.
        :raises redis.ConnectionError: the server is down.
        """
        return self.perform(command, *arguments)[0]

    def perform(self, command: str, *arguments: str) -> tuple[Any, tuple[str, ...]]:
        """One command; its reply, and the lists that were pushed to meanwhile."""
        if self.down:
            raise redis.exceptions.ConnectionError("Error 111: Connection refused.")
        if command == "SCRIPT":
            return self._script(*arguments), ()
        answer = self._execute(self._now_us(), command, *arguments)
        kind, woken = answer[0], answer[1]
        names = tuple(woken.values()) if woken else ()
        if kind == _VALUE:
            value = answer[2]
            return (None if value is False else value), names
        if kind == _LIST:
            return [None if item is False else item for item in answer[2:]], names
        if kind == _TABLE:
            return _plain(answer[2]), names
        raise _error(answer[2])

    def _script(self, word: str, *arguments: str) -> str:
        if word.upper() == "FLUSH":
            self.edge.forget_scripts()
            return "OK"
        if word.upper() == "LOAD":
            digest = hashlib.sha1(arguments[0].encode(), usedforsecurity=False).hexdigest()
            self.edge.keep_script(digest, arguments[0])
            return digest
        raise redis.exceptions.ResponseError("ERR unknown subcommand")

    # ---- who it is

    @property
    def identity(self) -> Identity:
        """What INFO answers."""
        return self._identity

    @identity.setter
    def identity(self, identity: Identity) -> None:
        self._identity = identity
        self.edge.set_identity(identity.run_id, identity.replid, identity.role)

    def reboot(
        self, run_id: str, replid: str | None = None, *, keep_libraries: bool = True
    ) -> None:
        """A new process with the keys there are: another run id, what scripts kept is gone.

        *replid* is the one there was unless given. Follow with ``restore`` for a restart that lost
        writes, or ``flush`` for one that lost everything.
        """
        known = self.identity.replid if replid is None else replid
        self.identity = replace(self.identity, run_id=run_id, replid=known)
        self.edge.boot(keep_libraries)

    # ---- state as a value

    def save(self) -> Saved:
        """All keys now. Libraries, identity and clock are no part of it."""
        return Saved(self.edge.save())

    def restore(self, state: Saved) -> None:
        """All keys as they were when *state* was saved; expiry is by the present moment."""
        self.edge.restore(state.keys)

    def flush(self) -> None:
        """Nothing is left but the libraries, as FLUSHALL does it."""
        self.execute("FLUSHALL")

    def dump(self) -> dict[str, Any]:
        """Every key as plain Python, for judging and comparing.

        ``{key: (kind, value, expires_ms or None)}``; hashes and sorted sets are dicts, lists are
        lists, streams are lists of ``(id, {field: value})``. Expired keys may still be in it.
        """
        return {key: _dumped(entry) for key, entry in sorted(self.edge.data().items())}

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Every command inside is refused as by a server that is away."""
        self.down = True
        try:
            yield
        finally:
            self.down = False


def new_runtime() -> Any:
    """A Lua runtime; making one takes milliseconds, and several servers may share one.

    LuaJIT's interpreter is fast; its compiler costs more here than it gains, because no trace
    stays hot between two calls from Python.
    """
    runtime = _implementation().LuaRuntime(unpack_returned_tuples=True)
    runtime.execute("if jit then jit.off() end")
    return runtime


def _is_table(value: Any) -> bool:
    return bool(_implementation().lua_type(value) == "table")


def _plain(value: Any) -> Any:
    """A reply with nested Lua tables as lists."""
    if value is False:
        return None
    return [_plain(item) for item in value.values()] if _is_table(value) else value


def _dumped(entry: Any) -> tuple[str, Any, int | None]:
    kind = str(entry.kind)
    value: Any
    if kind == "string":
        value = entry.text
    elif kind in ("hash", "zset"):
        value = dict(sorted(entry.map.items()))
    elif kind == "list":
        value = list(entry["items"].values())
    else:
        items = [list(item.values()) for item in entry["items"].values()]
        value = [(f"{i[0]}-{i[1]}", dict(zip(i[2::2], i[3::2], strict=True))) for i in items]
    return kind, value, entry.at


def _error(text: str) -> redis.exceptions.ResponseError:
    """An error reply as redis-py's parser names it."""
    if text.startswith("NOSCRIPT"):
        return redis.exceptions.NoScriptError(text.partition(" ")[2])
    return redis.exceptions.ResponseError(text.removeprefix("ERR "))
