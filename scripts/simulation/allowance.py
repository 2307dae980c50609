"""What the account's limits leave for our orders: now, and by any reading of the last while.

A decision is made by figures that were read before, positions after the orders and a lag behind. So
what an order may have been granted by is not the account at one moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.simulation.venue import LONGEST_LAG_US, Venue


@dataclass(frozen=True, slots=True)
class _Held:
    """What is not for us of one pool, in dollars: what live buys may cost, and positions."""

    orders: int
    positions: int

    @property
    def sum(self) -> int:
        return self.orders + self.positions


@dataclass(frozen=True, slots=True)
class _Account:
    """What the account was at one moment, until the next: its equity, and what others held."""

    at: int
    equity: int
    total: _Held
    crypto: _Held  #: people's cryptos and stocks
    our_stocks: int  #: dollars in stocks of ours, which are none of the crypto pool's

    def others(self, crypto_only: bool) -> _Held:
        """What is not for us, of everything or of the crypto pool."""
        return self.crypto if crypto_only else self.total

    def limit(self, crypto_only: bool) -> int:
        """What the pool allows in all."""
        return self.equity if crypto_only else 2 * self.equity


class Allowance:
    """Notes the account whenever it changes. *world* has kernel, venue, settings."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._past: deque[_Account] = deque()
        s = world.settings
        #: How long the figures that a decision was made by may be old when its order arrives.
        self._window_us = int(
            (s.account_stale_seconds + s.reserve_seconds + s.trust_seconds + 5.0) * 1e6
        )
        self._reading_us = int(s.account_stale_seconds * 1e6)  # one that takes longer is not used

    def note(self) -> None:
        """Equity, foreign orders or positions changed."""
        now, venue = self._world.kernel.now, self._world.venue
        total = _Held(self._ordered(False), self._filled(False, False))
        crypto = _Held(self._ordered(True), total.positions)  # people's stocks use up its cash too
        ours = self._filled(True, False) - self._filled(True, True)
        self._past.append(_Account(now, venue.equity, total, crypto, ours))

    def most(self, crypto_only: bool) -> int:
        """The most that a reading within the window may have left for us, in dollars."""
        oldest = self._world.kernel.now - self._window_us
        while len(self._past) > 1 and self._past[1].at <= oldest:
            self._past.popleft()
        # Equity, orders and positions are of different ages in one reading of the account.
        most = max(account.limit(crypto_only) for account in self._past)
        return most - self._least_others(list(self._past), crypto_only)

    def ours(self, crypto_only: bool) -> int:
        """What our live orders may still cost, and what they have filled."""
        venue: Venue = self._world.venue
        live = sum(
            o.rest
            for o in venue.orders.values()
            if o.ours and o.live and (o.crypto or not crypto_only)
        )
        return live + self._filled(True, crypto_only)

    def free(self) -> tuple[int, int]:
        """Dollars free in the total and the crypto pool, by the broker's truth."""
        self.note()
        now, venue = self._past[-1], self._world.venue
        free = (
            now.limit(False) - now.total.sum - self.ours(False),
            now.limit(True) - now.crypto.sum - now.our_stocks - self.ours(True),
        )
        if venue.strict:
            free = (min(free[0], venue.power()), min(free[1], venue.cash_left()))
        return free

    def _least_others(self, past: Sequence[_Account], crypto_only: bool) -> int:
        """The least that a reading can have found others to hold.

        Positions are read after the orders, a lag later: what fills in between is in both, never
        in neither; what a person orders after the first and sells before the second is in neither.
        A fill of ours may be missing from positions that have a person's later sale already.
        """
        found = []
        for number, account in enumerate(past):
            listed = _since(past, number, self._reading_us)
            least = min(entry.others(crypto_only).orders for entry in listed)
            least += account.others(crypto_only).positions
            if crypto_only:
                shown = _since(past, number, LONGEST_LAG_US)
                least += min(entry.our_stocks for entry in shown)
            found.append(least)
        return min(found)

    def _ordered(self, crypto_only: bool) -> int:
        return sum(
            o.rest
            for o in self._world.venue.orders.values()
            if not o.ours and o.live and o.side == "buy" and (o.crypto or not crypto_only)
        )

    def _filled(self, ours: bool, crypto_only: bool) -> int:
        fills = self._world.venue.fills
        return sum(f.cost for f in fills if f.ours is ours and (f.crypto or not crypto_only))


def _since(past: Sequence[_Account], number: int, age_us: int) -> Sequence[_Account]:
    """What the account was from *age_us* before entry *number* began until then."""
    first = number
    while first > 0 and past[first].at > past[number].at - age_us:
        first -= 1
    return past[first : number + 1]
