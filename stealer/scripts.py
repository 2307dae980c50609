"""Loading the Lua verbs: shared pieces, key names filled in, one call each.

A verb is a file of ``stealer/lua``; it names the shared pieces it needs (``--@include name``, in
``stealer/lua/include``). All of them are loaded as one library of Redis Functions, so that a call
runs nothing but its own body; where functions cannot be had (in-memory test servers, a user who
may not load them) each verb is an ordinary script, made of the same text, called by its digest.

A piece that keeps something for the length of a call has a function ``start_PIECE``, which is
called before the body. ``identity`` has two pieces: the server's own, and an injected one for
in-memory test servers that have no INFO.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.sentinel import MasterNotFoundError

from stealer import keyspace
from stealer.errors import LedgerMisconfigured, LedgerSpoiled, LedgerUnavailable
from stealer.line import line_of, packed_head

#: How a script names what somebody spoiled (``load_claim``).
_SPOILED = re.compile(r"SPOILED (\S+) (field \w+)")

_INCLUDE = re.compile(r"^--@include (\w+)\n", re.MULTILINE)

#: Every shared piece, in the order in which they build on each other.
PIECES = (
    "prelude",
    "budget",
    "task",
    "identity",
    "ledger",
    "policy",
    "wake",
    "claims",
    "stocktake",
    "protection",
    "victims",
    "record",
    "funding",
    "refusal",
    "rebuild",
)

#: Where an in-memory test server finds its identity.
INJECTED_IDENTITY_KEY = "stealer-test-identity"


#: Stands for the library's name until its text, of which the name is made, is known.
_NAME = "NAME_OF_THE_LIBRARY"

#: Between the arguments of a call and between the parts of its reply (the ASCII unit separator).
SEPARATOR = "\x1f"


def _source(path: str) -> str:
    return (files("stealer") / "lua" / path).read_text(encoding="utf-8")


@cache
def verbs() -> tuple[str, ...]:
    """The name of every verb."""
    names = (entry.name for entry in (files("stealer") / "lua").iterdir())
    return tuple(sorted(name.removesuffix(".lua") for name in names if name.endswith(".lua")))


def _pieces(wanted: set[str], injected: bool) -> str:
    """The shared pieces *wanted*, in order."""
    unknown = wanted - set(PIECES)
    if unknown:
        raise KeyError(f"no shared piece is called {', '.join(sorted(unknown))}")
    names = [_file(name, injected) for name in PIECES if name in wanted]
    return "\n".join(_source(f"include/{name}.lua") for name in names)


def _file(piece: str, injected: bool) -> str:
    """The file of a piece: ``identity`` has two."""
    if piece != "identity":
        return piece
    return "identity_injected" if injected else "identity_server"


def _body(verb: str) -> tuple[set[str], str]:
    """The pieces a verb needs, and its text as a Lua function ``verb_NAME``."""
    source = _source(f"{verb}.lua")
    wanted = _INCLUDE.findall(source)
    starts = [
        f"start_{name}({'KEYS' if name == 'prelude' else ''})"
        for name in wanted
        if name in _stateful()
    ]
    body = _INCLUDE.sub("", source)
    # In a block of its own: the library may have no more than 200 local names.
    return set(wanted), (
        f"local verb_{verb} do\nlocal function body(ARGV)\n{body}\nend\n"
        f"verb_{verb} = function(KEYS, ARGUMENTS)\n{' '.join(starts)}\n"
        "return packed(body(split(ARGUMENTS[1])))\nend\nend\n"
    )


def included(verb: str) -> list[str]:
    """The Lua texts a verb is made of on a real server: its pieces and its own body."""
    wanted, body = _body(verb)
    return [*(_source(f"include/{_file(name, False)}.lua") for name in wanted), body]


@cache
def _stateful() -> frozenset[str]:
    """Pieces that have something to start."""
    return frozenset(
        name
        for name in PIECES
        if name != "identity" and f"function start_{name}(" in _source(f"include/{name}.lua")
    )


@cache
def script_text(verb: str, injected: bool) -> str:
    """One verb as a script of its own."""
    wanted, body = _body(verb)
    text = f"{_pieces(wanted, injected)}\n{body}return verb_{verb}(KEYS, ARGV)\n"
    return keyspace.render_lua(text, f"{verb}.lua")


@cache
def function_library() -> tuple[str, str]:
    """(name, text) of the library of all verbs; the name changes with the text."""
    # Lua allows 200 local names in one scope, so each verb has a scope of its own.
    scopes = [
        f"do\n{_body(verb)[1]}redis.register_function('{_NAME}_{verb}', verb_{verb})\nend"
        for verb in verbs()
    ]
    text = keyspace.render_lua("\n".join([_pieces(set(PIECES), False), *scopes]), "library")
    name = f"stealer_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return name, f"#!lua name={name}\n{text.replace(_NAME, name)}\n"


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
    :param may_load: False: a library that is not on the server is not brought there, as whoever
        only looks must change nothing; verbs run as scripts, if the user may call those.
    """

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        injected: bool | None = None,
        *,
        may_load: bool = True,
    ) -> None:
        self.client = client
        self.prefix = keyspace.prefix(account)
        if injected is None:
            injected = type(client).__module__.startswith("fakeredis")
        self.injected = injected
        self._functions = not injected
        self._may_load = may_load
        self._line = line_of(client)
        self._heads: dict[str, bytes] = {}
        self._decodes = bool(client.get_encoder().decode_responses)

    def __call__(self, verb: str, *arguments: str | int) -> list[Any]:
        """Run *verb*; its reply, a list of texts.

        :raises LedgerUnavailable: Redis cannot be reached, or is loading or out of memory.
        :raises LedgerMisconfigured: wrong password, missing rights, no scripting.
        :raises ValueError: an argument with the separator in it.
        """
        packed = SEPARATOR.join(map(str, arguments))
        if packed.count(SEPARATOR) > max(len(arguments) - 1, 0):
            raise ValueError(f"{verb}: an argument holds the control character 0x1F")
        call = self._call_function if self._functions else self._call_script
        try:
            reply = call(verb, packed)
            if not self._decodes:
                reply = text(reply)
        except redis.exceptions.RedisError as error:
            if "WRONGTYPE" in str(error):
                raise LedgerSpoiled(self._wrong_kinds() or _UNKNOWN_KIND) from error
            raise translated(error) from error
        except UnicodeDecodeError as error:
            raise not_text(verb) from error
        return reply.split(SEPARATOR) if isinstance(reply, str) else list(reply)

    def _wrong_kinds(self) -> str:
        """A sentence for each fixed key that has not its type; '' when this user may not look."""
        said = []
        for suffix, description in keyspace.FIXED.values():
            key, expected = f"{self.prefix}:{suffix}", keyspace.kind(description)
            try:
                found = text(self.client.type(key))
            except redis.exceptions.RedisError:
                return ""
            if expected and found not in (expected, "none"):
                said.append(keyspace.wrong_kind(key, str(found), expected))
        return "; ".join(said[:3])

    def _call_function(self, verb: str, packed: str) -> Any:
        name, source = function_library()
        function = f"{name}_{verb}"
        try:
            return self._function(function, packed)
        except redis.exceptions.ResponseError as error:
            if "function not found" not in str(error).lower():
                raise
        if not self._may_load:
            return self._without_library(name, verb, packed)
        try:
            self.client.function_load(source, replace=True)
        except redis.exceptions.ResponseError as error:
            denied = isinstance(error, redis.exceptions.NoPermissionError)
            if not denied and "noperm" not in str(error).lower():
                raise
            return self._without_library(name, verb, packed)
        return self._function(function, packed)

    def _function(self, function: str, packed: str) -> Any:
        if self._line is not None:
            head = self._heads.get(function)
            if head is None:
                head = packed_head("FCALL", function, "1", self.prefix, following=1)
                self._heads[function] = head
            reply = self._line.call(head, packed)
            if reply is not None:  # no verb answers nil
                return reply
        return self.client.fcall(function, 1, self.prefix, packed)

    def _without_library(self, name: str, verb: str, packed: str) -> Any:
        """The library may not be loaded; perhaps this user may call scripts.

        :raises LedgerUnavailable: neither; the next keeper of this version loads the library.
        """
        try:
            reply = self._call_script(verb, packed)
        except redis.exceptions.NoPermissionError:
            denied = "this user may not load them" if self._may_load else "a look loads none"
            raise LedgerUnavailable(
                f"the functions {name} are not on this Redis server, and {denied}: start a keeper "
                "of the same version, which does"
            ) from None
        self._functions = False
        return reply

    def _call_script(self, verb: str, packed: str) -> Any:
        digest = _digest(verb, self.injected)
        try:
            return self.client.evalsha(digest, 1, self.prefix, packed)
        except redis.exceptions.NoScriptError:
            source = script_text(verb, self.injected)
            return self.client.eval(source, 1, self.prefix, packed)


#: Said by who may not look which key it is.
_UNKNOWN_KIND = (
    "a key of this account holds something of another type: somebody else wrote it; a running "
    "keeper deletes it, or `stealer doctor` as operator says which one a person must"
)


def not_text(what: str) -> LedgerSpoiled:
    """What to raise when an answer holds bytes that are not text."""
    return LedgerSpoiled(f"{what}: Redis answered with bytes that are not text: not our own")


def translated(error: redis.exceptions.RedisError) -> LedgerUnavailable | LedgerMisconfigured:
    """A redis-py error as one of ours, in words an operator can act on, without secrets."""
    said = str(error).split("\n")[0]
    lower = said.lower()
    kinds = redis.exceptions
    if isinstance(error, kinds.AuthenticationError) or "wrongpass" in lower or "noauth" in lower:
        return LedgerMisconfigured(
            f"Redis refused the user name or password ({said}); check REDIS_PASSWORD and REDIS_URL"
        )
    if isinstance(error, kinds.NoPermissionError) or "noperm" in lower or "acl failure" in lower:
        return LedgerMisconfigured(
            f"the Redis user lacks a right that is needed ({said}); "
            "`stealer acl` prints the rules of each role"
        )
    spoiled = _SPOILED.search(said)
    if spoiled:
        return LedgerSpoiled(
            f"{spoiled[1]}: {spoiled[2]} is not what this system writes; the keeper puts it right"
        )
    if "unknown command" in lower:
        return LedgerMisconfigured(f"this Redis server lacks a command that is needed ({said})")
    if isinstance(error, MasterNotFoundError):
        # It goes on with each Sentinel's connection, as redis-py shows one to programmers.
        service = said.removeprefix("No master found for ").partition(" : ")[0]
        return LedgerUnavailable(
            f"Redis cannot be reached (no Sentinel names a master of {service}); are the "
            "Sentinels running, REDIS_URL right?"
        )
    if isinstance(error, kinds.ConnectionError | kinds.TimeoutError | kinds.BusyLoadingError):
        return LedgerUnavailable(
            f"Redis cannot be reached ({said}); is it running, REDIS_URL right?"
        )
    return LedgerUnavailable(f"Redis could not do it: {said}")
