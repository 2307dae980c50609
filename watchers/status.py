"""A watcher's status, as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


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
    """What a person wants to know of one watcher. Times are unix seconds."""

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
    pid: int = 0
    host: str = ""
    seen: float = 0.0
    kind: str = "entry"  #: or "exit", of which target_qty is what the entry filled

    def record(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

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
