"""Loading the Lua verbs: includes resolved, key names filled in, called by digest.

A source says ``--@include name`` where a shared piece belongs. ``identity`` has two pieces: the
server's own (INFO) and, for in-memory test servers that have none, an injected one.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from stealer import keyspace
from stealer.errors import LedgerMisconfigured, LedgerUnavailable

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)

#: Where an in-memory test server finds its identity.
INJECTED_IDENTITY_KEY = "stealer-test-identity"


def _source(path: str) -> str:
    return (files("stealer") / "lua" / path).read_text(encoding="utf-8")


@cache
def script_text(verb: str, injected: bool) -> str:
    """The complete source of one verb."""

    def include(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "identity":
            name = "identity_injected" if injected else "identity_server"
        return _source(f"include/{name}.lua")

    return keyspace.render_lua(_INCLUDE.sub(include, _source(f"{verb}.lua")), f"{verb}.lua")


@cache
def _digest(verb: str, injected: bool) -> str:
    return hashlib.sha1(script_text(verb, injected).encode(), usedforsecurity=False).hexdigest()


def text(value: Any) -> Any:
    """A reply with every bytes turned into text, however the client decodes."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [text(item) for item in value]
    return value


class Scripts:
    """The verbs of one account on one client, each called in one round trip.

    :param injected: identity from a key instead of INFO; None tells by the client's kind.
    """

    def __init__(self, client: redis.Redis, account: str, injected: bool | None = None) -> None:
        self.client = client
        self.prefix = keyspace.prefix(account)
        if injected is None:
            injected = type(client).__module__.startswith("fakeredis")
        self.injected = injected

    def __call__(self, verb: str, *arguments: str | int) -> list[Any]:
        """Run *verb*; the reply as text.

        :raises LedgerUnavailable: Redis cannot be reached, or is loading or out of memory.
        :raises LedgerMisconfigured: wrong password, missing rights, no scripting.
        """
        digest = _digest(verb, self.injected)
        try:
            try:
                reply = self.client.evalsha(digest, 1, self.prefix, *map(str, arguments))
            except redis.exceptions.NoScriptError:
                source = script_text(verb, self.injected)
                reply = self.client.eval(source, 1, self.prefix, *map(str, arguments))
        except redis.exceptions.RedisError as error:
            raise translated(error) from error
        result: list[Any] = text(reply)
        return result


def translated(error: redis.exceptions.RedisError) -> LedgerUnavailable | LedgerMisconfigured:
    """A redis-py error as one of ours, in words an operator can act on, without secrets."""
    said = str(error).split("\n")[0]
    lower = said.lower()
    kinds = redis.exceptions
    if isinstance(error, kinds.AuthenticationError) or "wrongpass" in lower or "noauth" in lower:
        return LedgerMisconfigured(
            f"Redis refused the user name or password ({said}); check REDIS_URL"
        )
    if isinstance(error, kinds.NoPermissionError) or "noperm" in lower:
        return LedgerMisconfigured(
            f"the Redis user lacks a right that is needed ({said}); "
            "grant it EVAL, EVALSHA, INFO and the account's keys"
        )
    if "unknown command" in lower:
        return LedgerMisconfigured(f"this Redis server lacks a command that is needed ({said})")
    if isinstance(error, kinds.ConnectionError | kinds.TimeoutError | kinds.BusyLoadingError):
        return LedgerUnavailable(
            f"Redis cannot be reached ({said}); is it running, REDIS_URL right?"
        )
    return LedgerUnavailable(f"Redis could not do it: {said}")
