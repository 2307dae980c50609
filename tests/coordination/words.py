"""What the oracle speaks of: a wish, a claim, an answer; and when a PnL beats another."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

Pools = dict[str, int]

#: By how much a thief must be better, as a share of its victim's PnL.
MARGIN = Fraction(1, 10)


def beats(thief: Fraction, victim: Fraction) -> bool:
    """Better by 10 %, on either side of zero."""
    return thief > victim + MARGIN * abs(victim)


@dataclass
class Wish:
    """One order somebody wants, or has."""

    symbol: str
    side: str
    strategy: str
    units: int
    unit_cost: int
    pnl: Fraction
    mode: str = "normal"
    forced: bool = False

    @property
    def crypto(self) -> bool:
        return self.symbol.endswith("USD")

    @property
    def slot(self) -> str:
        return f"{self.symbol}|{self.side}|{self.strategy}"

    @property
    def member(self) -> str:
        return f"{self.symbol}|{self.strategy}"

    @property
    def need(self) -> int:
        return self.units * self.unit_cost

    def share(self, amount: int) -> Pools:
        """What *amount* of this order weighs in each pool."""
        return {"total": amount, "crypto": amount if self.crypto else 0}

    def power(self, amount: int) -> Pools:
        """What *amount* of this order weighs in the broker's own figures."""
        if self.crypto:
            return {"margin": 2 * amount, "cash": amount}
        return {"margin": amount, "cash": 0}


@dataclass
class Held(Wish):
    """A claim."""

    id: str = ""
    state: str = "reserved"
    born: int = 0  #: how many were admitted before it, and itself
    deadline: int = 0
    fund: Pools = field(default_factory=dict)
    drawn: Pools = field(default_factory=lambda: {"margin": 0, "cash": 0})
    filled: int = 0
    seen_at: int = 0
    noted: dict[int, int] = field(default_factory=dict)
    absorbed: int = 0
    heir: str = ""
    victims: list[str] = field(default_factory=list)
    spent: Fraction = Fraction(0)
    evicted_at: int = 0
    doomed_at: int = 0
    live_pnl: Fraction = Fraction(0)

    def charge(self) -> Pools:
        """PROTOCOL, "Ledger"."""
        if self.state == "reserved":
            return dict(self.fund)
        whole = self.filled if self.state == "closed" else self.need
        return self.share(whole - self.absorbed)

    def undrawn(self) -> Pools:
        """What it does not have yet of the broker's own figures."""
        power = self.power(self.need)
        return {figure: power[figure] - self.drawn[figure] for figure in power}

    def rest(self) -> Pools:
        """What its cancel would free."""
        return self.share(self.need - self.filled)


@dataclass
class Answer:
    """A prediction: denied for one of *reasons*, or who dies and who is inherited."""

    reasons: set[str] = field(default_factory=set)
    victims: list[str] = field(default_factory=list)
    inherits: list[str] = field(default_factory=list)
    sum: Fraction = Fraction(0)

    @property
    def outcome(self) -> str:
        return "denied" if self.reasons else "steal" if self.victims else "granted"
