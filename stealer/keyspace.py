"""Every Redis key of one account, a paragraph each. Nothing else in the project spells a key.

All keys start with ``stealer:{ACCOUNT}``; the braces make the account one Redis Cluster slot, so
a script may touch all of its keys. Lua sources write ``K.name`` or ``K.name(part, ...)``; the
loader replaces that by the name found here, and refuses a name that is not here.

Readers with redis-cli start with ``HGETALL stealer:{paper}:ledger``, ``ZRANGE
stealer:{paper}:open 0 -1 WITHSCORES`` and ``GET``/``TTL`` of a ``stealer:{paper}:cooldown:SYMBOL``.
"""

from __future__ import annotations

import re

#: Fixed keys: name -> (suffix, what it holds).
FIXED: dict[str, tuple[str, str]] = {
    "ledger": (
        "ledger",
        "Hash. The certificate (run, repl, epoch, term), the figures per pool in micro-dollars "
        "(limit_, positions_, foreign_, charged_ total and crypto; power_ and since_ margin and "
        "cash: the broker's own figures and what was charged after them), sequence numbers, the "
        "account's age (account_ms), the session, and the kill switch (halted).",
    ),
    "policy": (
        "policy",
        "Hash. The settings that must be equal on all hosts, written when certifying; scripts "
        "decide by these, so that two hosts cannot decide by different rules. Read again after "
        "each certification, so a change by hand has no effect before that.",
    ),
    "slots": (
        "slots",
        "Hash SYMBOL|side|strategy -> claim id, held until the claim is terminal: one claim each.",
    ),
    "claims": ("claims", "Sorted set of every claim id by creation time (ms), in any state."),
    "open": (
        "open",
        "Sorted set of open entry orders (claim ids) by live forecast PnL, worst first. Ids begin "
        "with their creation time, so equal PnL sorts the oldest first.",
    ),
    "heirless": (
        "heirless",
        "Sorted set of evicting claims that no thief waits for, by eviction time (ms). The next "
        "thief inherits these before anything else is canceled.",
    ),
    "deadlines": (
        "deadlines",
        "Sorted set of reserved and launching claims by deadline (ms); the sweep reads it.",
    ),
    "beats": (
        "beats",
        "Sorted set of live claims, from their launch on, by their owner's last sign of life (ms); "
        "orphans are evicted.",
    ),
    "unabsorbed": (
        "unabsorbed",
        "Sorted set of claims by the time (ms) of their latest fill, while a part of their fills "
        "is not yet seen as position in an account snapshot.",
    ),
    "waiters": (
        "waiters",
        "Sorted set of slots that were refused for want of capacity, by forecast PnL.",
    ),
    "waiting": (
        "waiting",
        "Hash slot -> 'need crypto expires_ms': what a waiter needs and until when it counts.",
    ),
    "forecasts": ("forecasts", "Sorted set SYMBOL|strategy by forecast PnL (dollars)."),
    "forecasts_crypto": (
        "forecasts:crypto",
        "Sorted set. The same ranking, crypto only: closed stocks out.",
    ),
    "forecast_info": ("forecast-info", "Hash SYMBOL|strategy -> 'published_ms source'."),
    "forecast_expiry": ("forecasts:expiry", "Sorted set SYMBOL|strategy by expiry (ms)."),
    "quotes": ("quotes", "Hash SYMBOL -> 'bid ask at_ms', at_ms on Redis' clock."),
    "placed": (
        "placed",
        "Hash with TTL. SYMBOL -> 'highest_buy lowest_sell position closable' of the account's own "
        "orders and positions (a dash for none), by the keeper: the broker refuses to trade with "
        "itself.",
    ),
    "placed_exits": (
        "placed:exits",
        "Hash with TTL. Id of an exit order -> 'status filled_qty at_ms', as the keeper heard or "
        "listed it: news, so that exit watchers need not ask the broker (docs/exits.md).",
    ),
    "watched": (
        "watched",
        "Sorted set SYMBOL by the time (ms) until which somebody wants its quote.",
    ),
    "steals": (
        "steals",
        "Stream. One entry per steal: thief, victims, PnLs, shortfall, whether it was a fight.",
    ),
    "dry_steals": ("dry-steals", "Stream. What a dry run would have stolen."),
    "audit": ("audit", "Stream. Operator actions and mends of the keeper: who, what, why."),
    "counters": (
        "counters",
        "Hash. work_steal_attempts_total, work_steal_success_total, work_steal_fights_detected, "
        "orders_protected_total, granted_total, denied:REASON and the like.",
    ),
    "decisions": (
        "decisions",
        "Hash slot -> 'ms/request outcome reason detail': each watcher's last decision, for `why` "
        "and for late copies of its request.",
    ),
    "tiers": ("tiers", "Hash SYMBOL|strategy -> current tier, as its watcher last saw it."),
    "replicated": (
        "replicated",
        "String. Written just before each WAIT for replicas, so that it waits for the launch too.",
    ),
    "budget": (
        "budget",
        "Hash. The broker's requests a minute: 'used' of 'limit' until 'ends' (ms), 'known' once "
        "an answer has stated them, and until when a 429 has stopped everything ('held').",
    ),
    "data_budget": ("budget:data", "Hash. The same for market data, which has a limit of its own."),
    "budget_waiting": (
        "budget:waiting",
        "Sorted set 'process call' by the time (ms) at which it was told to ask again: who waits "
        "for the API budget, while that time has not come.",
    ),
    "streams": (
        "streams",
        "Hash with TTL. The leading keeper's streams: name -> 'connected heard connects', since "
        "when it stands and when something last came (ms, or a dash), and how often it connected.",
    ),
    "keeper": ("keeper", "String with TTL. The keeper's lease: its holder."),
    "watchers": ("watchers", "Hash owner -> JSON status of a watcher, refreshed while it lives."),
    "transitions": (
        "transitions",
        "Stream. One entry per change of a watcher's phase or reason: when, who, from what to "
        "what, why; about the latest 10,000 of all watchers. One that has ended is found here.",
    ),
}

#: Keys with parts: name -> (pattern, what it holds).
PARTED: dict[str, tuple[str, str]] = {
    "claim": (
        "claim:{0}",
        "Hash. One claim: intent, state, fence, owner, fund, fills, heir, victims, cause.",
    ),
    "cooldown": (
        "cooldown:{0}",
        "String with TTL. SYMBOL was stolen from, and until this expires cannot be a victim, nor "
        "steal back from the thief that the value names. Deleting it lifts both.",
    ),
    "recent": (
        "recent:{0}:{1}",
        "String with TTL. Times (ms) of the latest steals between two symbols (in name order), "
        "either way, the newest first.",
    ),
    "fight": (
        "fight:{0}:{1}",
        "String with TTL. Two symbols (in name order) stole from each other too often; neither "
        "may steal from the other until it expires.",
    ),
    "refused": (
        "refused:{0}",
        "String with TTL. The broker refused this slot's order after a steal; it waits.",
    ),
    "ended": (
        "ended:{0}",
        "String with TTL. How a claim ended: 'status filled_qty cause by'. Its owner reads it.",
    ),
    "trigger": (
        "trigger:{0}:{1}",
        "Sorted set, by symbol and side, of slots that wait for a price: a quote that reaches the "
        "score wakes the slot, once.",
    ),
    "wake": (
        "wake:{0}",
        "List with TTL. A waiter of this slot blocks on it; a push wakes it. An exit has two slots "
        "of its own (``exit_ids.wake_slots``).",
    ),
    "ticket": (
        "ticket:{0}",
        "String with TTL. When a watcher's task began (ms); the task lives as long as the key.",
    ),
    "fills": ("fills:{0}", "List with TTL. 'claim qty' of each ended claim of a task that filled."),
    "exit": (
        "exit:{0}",
        "String with TTL. How far the exit of a ticket has come, as JSON: number of its order that "
        "is out or comes next, units sold before it, units its orders prove filled, its beginning.",
    ),
    "asset": (
        "asset:{0}",
        "String with TTL. What the broker says may be ordered of SYMBOL, as JSON: increments, "
        "least quantity, tradable and the like. Read once for everybody.",
    ),
    "reading": (
        "reading:{0}",
        "String with TTL. Somebody is reading SYMBOL's asset from the broker; others wait.",
    ),
    "stop": (
        "stop:{0}",
        "String with TTL. Who asks the watcher with this owner's name to stop: it takes its order "
        "back and ends. A process started later has another name, and is not meant.",
    ),
    "seen": ("seen:{0}", "String with TTL. A steal id that ``record_steal`` has recorded already."),
}

#: The first word of a description above -> what TYPE says.
_TYPES = {"Hash": "hash", "Sorted": "zset", "Stream": "stream", "String": "string", "List": "list"}


def kind(description: str) -> str:
    """What TYPE says of a key that is described so; '' when the description does not tell."""
    return _TYPES.get(re.split(r"[ .]", description, maxsplit=1)[0], "")


def wrong_kind(key: str, found: str, expected: str) -> str:
    """A sentence on a key that holds something else than it should."""
    wanted = f" instead of a {expected}" if expected else ""
    return (
        f"{key} holds a {found}{wanted}: somebody else wrote it; look at it with redis-cli, "
        "then DEL it and let the keeper rebuild"
    )


#: The line of the prelude after which Lua knows the prefix.
_PREFIX_DECLARED = "local P, NOW, NOW_TEXT\n"

#: The names of the fixed keys, put together once for each account while the scripts live.
_FIXED_NAMES = """\
local KEY
local keys_of = {{}} -- by account prefix
local function name_keys()
  KEY = keys_of[P]
  if not KEY then
    KEY = {{{names}}}
    keys_of[P] = KEY
  end
end
"""

_USE = re.compile(r"\bK\.(\w+)(\()?")


def prefix(account: str) -> str:
    """What every key of *account* begins with."""
    return f"stealer:{{{account}}}"


class Keyspace:
    """The keys of one account, for Python: ``keys.open``, ``keys.claim(id)``."""

    def __init__(self, account: str) -> None:
        self.prefix = prefix(account)

    def __getattr__(self, name: str) -> str:
        try:
            return f"{self.prefix}:{FIXED[name][0]}"
        except KeyError:
            raise AttributeError(f"no key is called {name!r}") from None

    def of(self, name: str, *parts: str) -> str:
        """A key with parts: ``keys.of("cooldown", "BTCUSD")``."""
        return f"{self.prefix}:{PARTED[name][0].format(*parts)}"


def _lua_pattern(pattern: str) -> str:
    """``recent:{0}:{1}`` as the body of a Lua function of two arguments."""
    pieces = re.split(r"(\{\d\})", pattern)
    terms = [f"a{p[1]}" if p.startswith("{") else f"'{p}'" for p in pieces if p]
    return "..".join(["P", "':'", *terms])


def render_lua(source: str, where: str) -> str:
    """*source* with every ``K.name`` replaced, after the functions it needs for parted keys.

    :raises KeyError: a name that is not in this module.
    """
    used: list[str] = []
    fixed: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        name, call = match.group(1), match.group(2)
        if call and name in PARTED:
            if name not in used:
                used.append(name)
            return f"key_{name}("
        if not call and name in FIXED:
            fixed.add(name)
            return f"KEY.{name}"
        raise KeyError(f"{where}: K.{name} is not a key of keyspace.py")

    body = _USE.sub(replace, source)
    names = ", ".join(f"{name} = P..':{FIXED[name][0]}'" for name in sorted(fixed))
    helpers = [_FIXED_NAMES.format(names=names)]
    for name in used:
        pattern = PARTED[name][0]
        arguments = ", ".join(f"a{i}" for i in range(pattern.count("{")))
        helpers.append(f"local function key_{name}({arguments}) return {_lua_pattern(pattern)} end")
    # P, the prefix, is the prelude's; the helpers stand right after its declaration.
    head, found, rest = body.partition(_PREFIX_DECLARED)
    if not found:
        raise KeyError(f"{where}: include the prelude")
    return "".join([head, found, "\n".join(helpers), "\n", rest])
