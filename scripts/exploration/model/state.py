"""What a state is: the ledger's claims, the broker's orders, processes, and what people did.

A state is a tuple of tuples, so that it can be a dictionary's key and share what did not change.
Amounts are small integers. A claim's index is its id and its order's id; watcher ``w`` owns the ids
of ``Scope.block(w)``, one for each order it may send.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

# States of a claim (PROTOCOL, "Ledger"); NONE: the ledger knows no such claim.
NONE, RESERVED, LAUNCHING, OPEN, EVICTING, CLOSED = (
    "none", "reserved", "launching", "open", "evicting", "closed",
)  # fmt: skip
# States of an order. WIRE: the POST has left and not arrived; REFUSED: nothing exists.
ABSENT, WIRE, LIVE, CANCELING, CANCELED, FILLED, REFUSED = (
    "absent", "wire", "live", "canceling", "canceled", "filled", "refused",
)  # fmt: skip
# Where a watcher is. IDLE: has not asked; WAITING: was refused, and is known as a waiter; POSTING:
# launched, about to write; OUT: its POST has left.
IDLE, WAITING, FUNDING, POSTING, OUT, DEAD = (
    "idle", "waiting", "funding", "posting", "out", "dead",
)  # fmt: skip

AT_BROKER = (LIVE, CANCELING)
OVER = (CANCELED, FILLED)
HOLDS_SLOT = (RESERVED, LAUNCHING, OPEN, EVICTING)


class Claim(NamedTuple):
    """One claim as the ledger has it."""

    state: str = NONE
    fund: int = 0
    fund_crypto: int = 0
    filled: int = 0  # what the ledger knows to have filled
    absorbed: int = 0
    noted: int = 0  # fills noted by the latest `begin`
    heir: int = -1
    due: bool = False  # its deadline has passed
    old: bool = False  # evicting for longer than two reservation periods
    draw: int = 0  # on the broker's own figure


class Order(NamedTuple):
    """One order at the broker; ``shown`` is the part of its fills that positions show."""

    state: str = ABSENT
    filled: int = 0
    shown: int = 0
    held: int = 0  # power the broker still holds after a cancel, for a moment
    retried: bool = False
    stuck: bool = False  # its cancel waits (a stock's over night)


class Watcher(NamedTuple):
    """One process; ``late`` when the trust in its launch has passed."""

    at: str = IDLE
    claim: int = -1
    late: bool = False


class Reading(NamedTuple):
    """A keeper's unfinished snapshot. Stages: 0 none, 1 begun, 2 one list read, 3 all read."""

    stage: int = 0
    newest: bool = True  # no other was begun since
    certified: bool = True  # no certificate was made since
    strays: tuple[tuple[int, int], ...] = ()  # (id, filled) of listed orders without a claim
    foreign: int = 0
    positions: tuple[int, int] = (0, 0)
    equity: int = 0
    power: int = 0
    awaits: tuple[tuple[int, int], ...] = ()  # (id, filled) that positions must show first
    foreign_was: int = 0  # ghost: foreign exposure when it began


class Books(NamedTuple):
    """The ledger's own figures; pools are (total, crypto)."""

    certified: bool = True
    published: bool = True
    equity: int = 0  # which of ``Scope.limits`` was published
    positions: tuple[int, int] = (0, 0)
    foreign: int = 0
    power: int = 0
    since: int = 0
    next: int = 0
    no_steal: bool = False
    foreign_known: int = 0  # ghost: foreign exposure that the published snapshot could see


class Budget(NamedTuple):
    """How often each fault may still happen."""

    crashes: int = 0
    restarts: int = 0
    fills: int = 0
    refusals: int = 0
    lost_cancels: int = 0
    stuck_cancels: int = 0
    equity_moves: int = 0
    flushes: int = 0
    server_restarts: int = 0


class World(NamedTuple):
    """One state of everything."""

    claims: tuple[Claim, ...]
    orders: tuple[Order, ...]
    watchers: tuple[Watcher, ...]
    readings: tuple[Reading, ...]
    books: Books
    budget: Budget
    foreign: Order = Order()  # a person's buy
    sale: Order = Order()  # somebody's sell of what our first order bought
    equity: int = 0  # which of ``Scope.limits`` is true at the broker
    pause: bool = False  # ghost: within a cooldown of a certificate after lost memory

    def claim(self, i: int, **changes: object) -> World:
        """This state with claim *i* changed."""
        claims = self.claims
        new = claims[i]._replace(**changes)  # type: ignore[arg-type]
        return self._replace(claims=(*claims[:i], new, *claims[i + 1 :]))

    def order(self, i: int, **changes: object) -> World:
        """This state with order *i* changed."""
        orders = self.orders
        new = orders[i]._replace(**changes)  # type: ignore[arg-type]
        return self._replace(orders=(*orders[:i], new, *orders[i + 1 :]))

    def watcher(self, w: int, *, at: str, claim: int = -1, late: bool = False) -> World:
        """This state with watcher *w* elsewhere."""
        all_ = self.watchers
        return self._replace(watchers=(*all_[:w], Watcher(at, claim, late), *all_[w + 1 :]))

    def reading(self, k: int, new: Reading) -> World:
        """This state with keeper *k*'s reading replaced."""
        return self._replace(readings=(*self.readings[:k], new, *self.readings[k + 1 :]))

    def spend(self, name: str) -> World:
        """This state with one fault less to come."""
        left = getattr(self.budget, name) - 1
        return self._replace(budget=self.budget._replace(**{name: left}))


NO_FAULTS = Budget()


@dataclass(frozen=True)
class Scope:
    """A configuration: who is there, and what may happen to them."""

    name: str
    about: str
    sizes: tuple[int, ...] = (2, 2, 2)
    pnl: tuple[int, ...] = (10, 20, 40)
    crypto: tuple[bool, ...] = (False, False, False)
    orders: tuple[int, ...] = (1, 1, 1)  # how many orders each watcher may send
    limits: tuple[tuple[int, int], ...] = ((4, 4),)  # (total, crypto); later ones after a move
    budget: Budget = NO_FAULTS
    deadlines: bool = False  # they may pass, at any moment
    keepers: int = 0  # how many readings of the account may overlap
    positions_lag: bool = False
    foreign_size: int = 0
    foreign_lags: bool = False
    sale_size: int = 0
    power: int | None = None  # the broker's own limit, when it is to bind
    slow_release: bool = False  # the broker frees a canceled order's power a moment late
    rebuilds: bool = False  # certification makes claims of the broker's orders
    also: str = ""  # a rule of `rules.BY_REQUEST` to explore it with
    progress: bool = False  # also: rest can be reached from everywhere

    @cached_property
    def owner(self) -> tuple[int, ...]:
        """Claim id -> watcher."""
        return tuple(w for w, count in enumerate(self.orders) for _ in range(count))

    @cached_property
    def blocks(self) -> tuple[range, ...]:
        """Watcher -> its claim ids."""
        starts = [sum(self.orders[:w]) for w in range(len(self.orders))]
        return tuple(range(s, s + n) for s, n in zip(starts, self.orders, strict=True))

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Claim id -> need."""
        return tuple(self.sizes[w] for w in self.owner)

    @cached_property
    def in_crypto(self) -> tuple[int, ...]:
        """Claim id -> 1 when it is in the crypto pool, else 0."""
        return tuple(int(self.crypto[w]) for w in self.owner)

    def first(self) -> World:
        """Where it begins: certified, an account published, everybody idle."""
        return World(
            claims=(Claim(),) * len(self.owner),
            orders=(Order(),) * len(self.owner),
            watchers=(Watcher(),) * len(self.sizes),
            readings=(Reading(),) * self.keepers,
            books=Books(power=self.power or 0),
            budget=self.budget,
        )
