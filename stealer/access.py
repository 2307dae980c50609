"""Who may do what in Redis: the least rights of each role, read from the scripts themselves.

Redis checks every command inside a script against the rights of the user who called it, on the
very keys. So what a role needs is what the Lua sources of its verbs call; it is worked out from
their text, and a changed script cannot drift from the rules printed here.

What Redis cannot do: let a user change a key through our scripts only. A watcher's user may write
the ledger by hand. See docs/security.md, "What a stolen password can do".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache

from stealer.keyspace import FIXED, Keyspace, prefix
from stealer.scripts import included, verbs


class Role(StrEnum):
    """One kind of Redis user."""

    WATCHER = "watcher"
    KEEPER = "keeper"
    OPERATOR = "operator"
    VIEWER = "viewer"


#: (command, name of a key in ``keyspace``; '' for a command without one).
Need = tuple[str, str]

#: What a watcher calls. The keeper may call every verb.
WATCHER_VERBS = frozenset(
    {
        "abort", "acquire", "adopt", "asset", "await_price", "budget", "candidates", "close",
        "confirm", "evict", "fits", "forecast", "heartbeat", "identity", "keep_asset", "launch",
        "rights", "standing", "ticket", "topup", "unlaunch", "watch",
    }
)  # fmt: skip

#: What ``stealer.ledger`` sends by itself, outside scripts.
_DIRECT: frozenset[Need] = frozenset(
    {
        ("BLPOP", "wake"),
        ("EXISTS", "ticket"),
        ("GET", "exit"),
        ("GET", "stop"),
        ("HDEL", "watchers"),
        ("HGET", "placed"),
        ("HGET", "placed_exits"),
        ("HGET", "slots"),
        ("HGETALL", "claim"),
        ("HGETALL", "policy"),
        ("HGETALL", "watchers"),
        ("HSET", "tiers"),
        ("HSET", "watchers"),
        ("HVALS", "watchers"),
        ("LRANGE", "fills"),
        ("SET", "exit"),
        ("SET", "replicated"),
        ("TIME", ""),
        ("WAIT", ""),
        ("XADD", "transitions"),
        ("XRANGE", "transitions"),
        ("XREVRANGE", "transitions"),
        ("ZRANGE", "claims"),
        ("ZRANGEBYSCORE", "beats"),
        ("ZRANGEBYSCORE", "watched"),
        ("ZRANK", "open"),
    }
)

#: Every client: to be named in CLIENT LIST, to be checked for life, to call functions.
_CLIENT = ("acl|whoami", "client|setname", "fcall", "ping", "select")

#: What makes a whole key vanish is granted on the keys that scripts do that to, and on no other.
_BOUND = ("DEL", "PEXPIRE", "SET")

#: Commands that only read.
READS = frozenset(
    {
        "EXISTS", "GET", "HGET", "HGETALL", "HMGET", "HVALS", "INFO", "LRANGE", "MGET", "PTTL",
        "TIME", "TTL", "TYPE", "WAIT", "XRANGE", "XREVRANGE", "ZRANGE", "ZRANGEBYSCORE", "ZRANK",
        "ZREVRANGE", "ZREVRANGEBYSCORE", "ZREVRANK", "ZSCORE",
    }
)  # fmt: skip

_CALL = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, *(?:K\.(\w+)|([a-z_]\w*)))?")
_KEY = re.compile(r"\bK\.(\w+)")

#: Commands that take any number of keys.
_MANY_KEYS = frozenset({"DEL", "EXISTS", "MGET"})


#: How many words follow the key where a command is only asked about; two for all others.
_ARGUMENTS = {
    **dict.fromkeys(("DEL", "EXISTS", "GET", "HGETALL", "HVALS", "MGET", "PTTL", "TYPE"), 0),
    **dict.fromkeys(("BLPOP", "HGET", "ZRANK", "ZREVRANK", "ZSCORE"), 1),
    "WAIT": 2,
    "XADD": 3,
}


def user_name(role: Role, account: str) -> str:
    """The user of *role*: accounts that share a server share no user."""
    return f"{account}-{role}"


@cache
def needs(role: Role) -> frozenset[Need]:
    """What a watcher's or keeper's own work needs: commands, and on which keys.

    :raises ValueError: the other two roles are not defined by scripts.
    """
    if role not in (Role.WATCHER, Role.KEEPER):
        raise ValueError(f"the {role} is not defined by what scripts need")
    called = WATCHER_VERBS if role is Role.WATCHER else verbs()
    found = set(_DIRECT)
    for source in {text for verb in called for text in included(verb)}:
        found |= _calls_in(source)
    return frozenset(found)


def probes(role: Role, account: str) -> list[str]:
    """The needs of *role* as commands on real key names, for ``rights`` and ACL DRYRUN."""
    keys = Keyspace(account)
    return sorted(_probe(command, name, keys) for command, name in needs(role))


def rules(role: Role, account: str) -> list[str]:
    """The ACL rules of *role*, without switching the user on and without a password."""
    stem = prefix(account)
    if role is Role.VIEWER:
        words = [f"%R~{stem}:cooldown:*", "+exists", "+get", "+ping", "+pttl", "+ttl"]
    elif role is Role.OPERATOR:
        words = [f"~{stem}", f"~{stem}:*", "+@all"]
    else:
        needed = needs(role)
        commands = {command.lower() for command, _ in needed if command not in _BOUND}
        extra = {"function|load"} if role is Role.KEEPER else set()
        written = {name for command, name in needed if name and command not in READS}
        words = _key_rules(written, stem)
        words += [f"+{word}" for word in sorted(commands | extra | set(_CLIENT))]
        for bound in _BOUND:
            names = sorted(name for command, name in needed if command == bound)
            keys = " ".join(f"~{_pattern(name, stem)}" for name in names)
            words.append(f"({keys} +{bound.lower()})")
    return ["resetchannels", "-@all", *words]


def user_line(role: Role, account: str, secret: str | None) -> str:
    """The user as a line of redis.conf or of an ACL file; without *secret* it stays off."""
    state = ["off", "resetpass"]
    if secret is not None:
        state = ["on", f"#{hashlib.sha256(secret.encode()).hexdigest()}"]
    return " ".join(["user", user_name(role, account), *state, *rules(role, account)])


def _key_rules(written: Iterable[str], stem: str) -> list[str]:
    """All keys readable; writable those of *written*.

    Every command of every script compares its keys with these patterns one after the other, so
    they are few: by first letter where all keys with that letter are written, else one by one.
    """
    written = set(written)
    spared = {suffix[0] for name, (suffix, _) in FIXED.items() if name not in written}
    single = [n for n in sorted(written) if _pattern(n, "")[1] in spared]
    return [
        f"~{stem}",
        f"~{stem}:[^{''.join(sorted(spared))}]*" if spared else f"~{stem}:*",
        *(f"~{_pattern(name, stem)}" for name in single),
        *([f"%R~{stem}:*"] if spared else []),
    ]


def _pattern(name: str, stem: str) -> str:
    """The glob of a key's name."""
    if name in FIXED:
        return f"{stem}:{FIXED[name][0]}"
    return f"{stem}:{name}:*"


def _probe(command: str, name: str, keys: Keyspace) -> str:
    if not name:
        return " ".join([command, *["1"] * _ARGUMENTS.get(command, 0)])
    key = getattr(keys, name) if name in FIXED else keys.of(name, "x", "x")
    return " ".join([command, key, *["1"] * _ARGUMENTS.get(command, 2)])


def _calls_in(source: str) -> set[Need]:
    """Every (command, key) that a Lua text calls."""
    found: set[Need] = set()
    for match in _CALL.finditer(source):
        command, key, variable = match.groups()
        if command in _MANY_KEYS:
            words = _arguments(source, match.start())
            names = set(_KEY.findall(words))
            for word in re.findall(r"(?<![\w.'])([a-z_]\w*)(?=[,)])", words):
                names |= _assigned(source, word)
        else:
            names = {key} if key else _assigned(source, variable) if variable else {""}
        found |= {(command, name) for name in names}
    return found


def _arguments(source: str, start: int) -> str:
    """The text of one call up to its closing parenthesis."""
    depth = 0
    for at in range(source.index("(", start), len(source)):
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        if depth == 0:
            return source[start : at + 1]
    return source[start:]


def _assigned(source: str, variable: str) -> set[str]:
    """The keys named where *variable* gets its value: ``local key = K.wake(slot)``."""
    given = rf"local [^=\n]*\b{variable}\b[^=\n]*=|for [^\n]*\b{variable}\b in"
    # With the line after it, where a long one goes on.
    lines = re.findall(rf"^.*(?:{given})[^\n]*(?:\n[^\n]*)?", source, re.MULTILINE)
    return {name for line in lines for name in _KEY.findall(line)}
