"""What ``why`` works from: one slot, its last decision, and the ledger as it is now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stealer.cli.views.account import Account
from stealer.cli.views.records import Timer
from stealer.model import Claim
from stealer.replies import Candidate
from stealer.settings import Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """A watcher's last decision, as it was recorded; ``at_ms`` None when it never asked."""

    outcome: str = ""
    reason: str = ""
    detail: str = ""
    at_ms: int | None = None
    age_seconds: float | None = None


@dataclass
class Case:
    """What the sentences of ``why_words`` are made from: one slot in the ledger as it is now."""

    symbol: str
    side: str
    strategy: str
    decision: Decision
    account: Account
    policy: Settings
    claim: Claim | None
    pnl: float | None
    need: int | None
    limit: float | None
    quote: tuple[float, float] | None
    quote_age: float | None
    distance: float | None
    candidates: tuple[Candidate, ...]
    timers: list[Timer]
    watcher: dict[str, Any] = field(default_factory=dict)  #: its own report, if one is there
    short: dict[str, int] = field(default_factory=dict)
    victims: list[Candidate] = field(default_factory=list)
    covered: bool = False
    pnl_needed: float | None = None

    @property
    def is_crypto(self) -> bool:
        """Whether it is in the crypto pool too."""
        return self.symbol in self.policy.crypto_symbols


def must_beat(pnl: float, improvement: float) -> float:
    """What a thief's PnL must be above to take from an order of *pnl*, also below zero."""
    return pnl + (improvement - 1) * abs(pnl)
