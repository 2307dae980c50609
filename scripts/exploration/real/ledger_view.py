"""The server's keys as an exploration needs them: to choose steps, judge, tell states apart."""

from __future__ import annotations

import re
from typing import Any

from scripts.exploration.real.stage import Outside
from stealer import keyspace

PREFIX = keyspace.prefix("paper") + ":"

#: What no decision reads, or what `Outside` and the frozen clock determine.
_IGNORED = frozenset(
    [
        "policy",
        "quotes",
        "counters",
        "decisions",
        "audit",
        "steals",
        "dry-steals",
        "tiers",
        "watchers",
        "watched",
        "beats",
        "claims",
        "keeper",
    ]
)
_IGNORED_KINDS = ("ended:", "wake:", "recent:", "seen:", "fills:", "ticket:")

#: Fields of a claim that only name it, its owner or a moment.
_NAMES = frozenset(
    [
        "fence",
        "request",
        "launch_request",
        "owner",
        "steal_id",
        "created_ms",
        "evicted_ms",
        "opened_ms",
        "launched_ms",
        "filled_ms",
        "order_id",
        "qty",
        "limit",
        "strategy",
        "side",
    ]
)
_LEDGER_NAMES = frozenset(
    ["seq", "about", "policy_version", "certified_ms", "begun_ms", "account_ms", "run", "repl"]
)
_SEQUENCES = ("begun", "snapshot", "cert_snapshot")

_ID = re.compile(r"mx_paper_[0-9a-f]{17}[0-9a-z]*_\w\w_[pn][0-9.]+_maxdiff")

Keys = dict[str, tuple[str, Any, int | None]]


class View:
    """The keys of one moment."""

    def __init__(self, dump: Keys) -> None:
        self.keys = {name.removeprefix(PREFIX): entry for name, entry in dump.items()}
        self.ledger: dict[str, str] = self.keys["ledger"][1] if "ledger" in self.keys else {}
        self.claims: dict[str, dict[str, str]] = {
            name[6:]: entry[1] for name, entry in self.keys.items() if name.startswith("claim:")
        }

    @property
    def certified(self) -> bool:
        """Whether there is a certificate; it is never another server's here."""
        return bool(self.ledger.get("run"))

    def state(self, claim_id: str) -> str:
        """The claim's state, or ``gone``."""
        claim = self.claims.get(claim_id)
        return claim["state"] if claim else "gone"

    def figure(self, name: str) -> int:
        """One of the ledger's figures; 0 when it was never written."""
        return int(self.ledger.get(name) or 0)

    def members(self, name: str) -> set[str]:
        """The members of a sorted set."""
        return set(self.keys[name][1]) if name in self.keys else set()


def canonical(view: View, outside: Outside) -> str:
    """The state as a text that is equal for states that differ only in ids, numbers and history."""
    content: list[Any] = []
    for name, (kind, raw, at) in view.keys.items():
        value = raw
        if name in _IGNORED or name.startswith(_IGNORED_KINDS):
            continue
        if name.startswith("claim:"):
            value = {k: v for k, v in raw.items() if k not in _NAMES and k != "noted_in"}
        elif name == "ledger":
            value = {k: v for k, v in raw.items() if k not in _LEDGER_NAMES and k not in _SEQUENCES}
        content.append((name, sorted(value.items()) if kind in ("hash", "zset") else value, at))
    actors = [
        (a.at, a.claim.id if a.claim else "", a.asked, a.late, _fenced(view, a.claim))
        for a in outside.actors
    ]
    reading = outside.reading and outside.reading[1:]
    text = repr(
        (
            content,
            _ranks(view, outside),
            actors,
            sorted(outside.orders),
            outside.positions,
            reading,
            outside.faults,
            outside.term,
            outside.losses,
        )
    )
    ids = sorted(set(_ID.findall(text)))
    order = {claim_id: f"<{n}>" for n, claim_id in enumerate(ids)}
    return _ID.sub(lambda match: order[match.group()], text)


def _fenced(view: View, claim: Any) -> bool:
    return bool(claim and view.claims.get(claim.id, {}).get("fence") != claim.fence)


def _ranks(view: View, outside: Outside) -> list[int]:
    """Sequence numbers by their order: scripts only compare them."""
    numbers = [view.figure(name) for name in _SEQUENCES]
    numbers += [int(claim.get("noted_in") or 0) for _, claim in sorted(view.claims.items())]
    numbers.append(outside.reading[0] if outside.reading else 0)
    place = {number: n for n, number in enumerate(sorted(set(numbers)))}
    return [place[number] for number in numbers]
