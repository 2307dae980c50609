"""A watcher's status, as people and programs read it."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from stealer.printable import printable


class Phase(StrEnum):
    """Where a watcher is; the reason beside it says why."""

    STARTING = "starting"
    WAITING_FOR_PRICE = "waiting_for_price"
    WAITING_FOR_CAPACITY = "waiting_for_capacity"
    WAITING_FOR_ENTRY = "waiting_for_entry"  #: an exit that has nothing to sell yet
    BLOCKED = "blocked"  #: something must change first: feeds, rules, the broker, an operator
    OPENING = "opening"
    OPEN = "open"
    ENDING = "ending"  #: its order is being canceled, by a thief, an operator or itself
    DONE = "done"
    EXPIRED = "expired"
    STOPPED = "stopped"
    IMPOSSIBLE = "impossible"  #: the broker would never take its order: another is to be asked for


#: Seconds between two reports of an unchanged status.
REPORT_SECONDS = 5.0

#: A watcher in one of these has ended.
ENDED = frozenset({Phase.DONE, Phase.EXPIRED, Phase.STOPPED, Phase.IMPOSSIBLE})


class Kind(StrEnum):
    """What a watcher is after."""

    ENTRY = "entry"
    EXIT = "exit"


#: Denials after which more free capacity, or a better place in line, would help.
CAPACITY_REASONS = frozenset(
    {
        "no_capacity",
        "not_close_enough",
        "pnl_not_better",
        "all_protected",
        "cooldown",
        "fight",
        "yield",
        "disabled",
        "too_many_candidates",
    }
)


@dataclass(slots=True)
class Status:
    """What a person wants to know of one watcher. Times are unix seconds.

    ``name`` is FLEET/ENTRY, or the symbol of a watcher without a plan. It is the status of
    the process that makes it, by ``pid`` and ``host``.
    """

    symbol: str
    side: str
    strategy: str
    target_qty: str
    limit_price: str
    phase: Phase = Phase.STARTING
    reason: str = ""
    detail: str = ""
    since: float = 0.0
    filled_qty: str = "0"
    pnl: float | None = None
    tier: str = ""
    tolerance_pct: float | None = None
    distance_pct: float | None = None
    claim: str = ""
    ticket: str = ""
    stolen_from: int = 0
    steals: int = 0
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    seen: float = 0.0
    name: str = ""
    kind: Kind = Kind.ENTRY  #: of an exit, target_qty is what the entry filled

    def record(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    def transition(self, was: Phase, elapsed: float) -> dict[str, str]:
        """The change to the present phase, for the stream: all values are text.

        :param was: the phase before, which lasted *elapsed* seconds.
        """
        fields = {
            "at": iso(self.since),
            "watcher": self.name or self.symbol,
            "kind": self.kind.value,
            "symbol": self.symbol,
            "side": self.side,
            "strategy": self.strategy,
            "ticket": self.ticket,
            "phase": self.phase.value,
            "reason": self.reason,
            "was": was.value,
            "elapsed": f"{max(elapsed, 0.0):.3f}",
            "claim": self.claim,
            "filled": self.filled_qty,
            "target": self.target_qty,
            "detail": self.detail,
            "host": self.host,
            "pid": str(self.pid),
        }
        return {key: printable(value) for key, value in fields.items()}

    def sentence(self) -> str:
        """One line for a log or a screen."""
        words = [f"{self.symbol} {self.side}", self.phase.value.replace("_", " ")]
        if self.reason:
            words.append(f"({self.reason})")
        if self.tier:
            words.append(f"tier {self.tier}")
        if self.distance_pct is not None:
            words.append(f"{self.distance_pct * 100:.3f} % from {self.limit_price}")
        words.append(f"filled {self.filled_qty} of {self.target_qty}")
        if self.detail:
            words.append(f"- {self.detail}")
        return " ".join(words)


def for_programs(transition: Mapping[str, str]) -> dict[str, Any]:
    """A transition for JSON: seconds and process id as numbers, None where somebody else wrote
    what is none. Quantities stay text, which is exact.
    """
    said: dict[str, Any] = dict(transition)
    if "elapsed" in said:
        said["elapsed"] = _number(transition["elapsed"])
    if "pid" in said:
        pid = _number(transition["pid"])
        said["pid"] = None if pid is None else int(pid)
    return said


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def iso(seconds: float) -> str:
    """A moment in unix seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
