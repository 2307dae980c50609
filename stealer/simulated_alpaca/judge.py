"""The independent judge: watches the exchange and says whether a cap was broken.

It knows nothing of any client's ledger. At each accepted entry order it values, for each pool,

- `total`: limit = leverage x equity, exposure = |positions| + remaining notional of live entries;
- `crypto`: limit = cash + crypto positions, exposure = crypto positions + remaining notional of
  live crypto buys (judged when the order is a crypto buy).

A client can know prices and fills only as of a short while ago. So present positions and orders are
valued at **every** price vector seen in the trailing window, and the cap is broken only if exposure
is above the limit under all of them; and the crypto limit is the larger of the present one and the
one of that moment, since a stock that fills takes cash away at once. An order that only reduces a
position is not an entry.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from .account import Account
from .orders import Order

ZERO = Decimal(0)
#: Exposure may pass the limit by rounding to the cent, USD.
TOLERANCE = Decimal("0.01")
MAX_LISTED = 20
#: Stands for exposure over a limit of zero or less, so that the report stays plain JSON.
NO_LIMIT_RATIO = Decimal(10) ** 9
POOLS = ("total", "crypto")


Number = TypeVar("Number", Decimal, float)


@dataclass(frozen=True)
class Look:
    """A moment (real unix seconds): prices in USD, also as floats, and the crypto limit then."""

    real: float
    marks: dict[str, Decimal]
    floats: dict[str, float]
    crypto_limit: Decimal


@dataclass
class Judge:
    """Counts and verdicts. ``window`` in real seconds."""

    leverage: Decimal
    window: float
    looks: deque[Look] = field(default_factory=deque)
    orders_opened: int = 0
    entries_judged: int = 0
    fills: int = 0
    partial_fills: int = 0
    cancels: int = 0
    cancel_requests: int = 0
    fills_during_cancel: int = 0
    duplicate_client_ids: int = 0
    cap_violations: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)
    max_ratio: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(POOLS, ZERO))

    def observe(self, real: float, marks: dict[str, Decimal], account: Account) -> None:
        """A price vector, and the account, that clients may have seen at ``real``."""
        held = (
            p.qty * marks.get(s, ZERO) for s, p in account.positions.items() if p.asset.is_crypto
        )
        limit = account.cash + sum(held, ZERO)
        floats = {symbol: float(mark) for symbol, mark in marks.items()}
        self.looks.append(Look(real, marks, floats, limit))
        # One look from before the window stays: it was in force when the window began.
        while len(self.looks) > 1 and self.looks[1].real < real - self.window:
            self.looks.popleft()

    def count_fill(self, partial: bool, during_cancel: bool) -> None:
        """One execution."""
        self.fills += 1
        self.partial_fills += partial
        self.fills_during_cancel += during_cancel

    def count_reject(self, why: str) -> None:
        """One refused order, by code and reason."""
        self.rejects[why] += 1

    def order_accepted(
        self, order: Order, live: Iterable[Order], account: Account, market: float
    ) -> None:
        """Judge the moment at which ``order`` joined the ``live`` orders."""
        self.orders_opened += 1
        entries = _entry_notionals(live, account)
        if not any(entry is order for entry, _ in entries):
            return
        self.entries_judged += 1
        pools = POOLS if order.asset.is_crypto and order.side == "buy" else ("total",)
        for pool in pools:
            self._judge_pool(pool, order, entries, account, market)

    def _judge_pool(
        self,
        pool: str,
        order: Order,
        entries: list[tuple[Order, Decimal]],
        account: Account,
        market: float,
    ) -> None:
        best: tuple[Decimal, Decimal, Decimal] | None = None
        broken = True
        for exposure, limit in self._figures(pool, entries, account):
            broken = broken and exposure > limit + TOLERANCE
            ratio = exposure / limit if limit > 0 else (NO_LIMIT_RATIO if exposure > 0 else ZERO)
            if best is None or ratio < best[0]:
                best = (ratio, exposure, limit)
        if best is None:
            return
        self.max_ratio[pool] = max(self.max_ratio[pool], best[0])
        if broken:
            self.cap_violations += 1
            if len(self.violations) < MAX_LISTED:
                self.violations.append(_violation(pool, order, best, account, entries, market))

    def _figures(
        self, pool: str, entries: list[tuple[Order, Decimal]], account: Account
    ) -> Iterable[tuple[Decimal, Decimal]]:
        """(exposure, limit) in USD at the looks with most room and with the least ratio.

        Every look of the window is weighed, in floats for speed; the figures of the best are exact.
        Looks that lack a held symbol are left out.
        """
        crypto = pool == "crypto"
        bought = [n for o, n in entries if o.asset.is_crypto and o.side == "buy"]
        added = sum(bought if crypto else (n for _, n in entries), ZERO)
        held = [(s, p.qty) for s, p in account.positions.items() if p.asset.is_crypto or not crypto]
        floats = [(symbol, float(qty)) for symbol, qty in held]
        rough = float(added), float(account.cash), float(self.leverage)
        weighed: list[tuple[float, float, Look]] = []
        for look in self.looks:
            if look.floats.keys() >= account.positions.keys():
                then = float(look.crypto_limit) if crypto else None
                exposure, limit = _weigh(floats, look.floats, *rough, then)
                ratio = exposure / limit if limit > 0 else math.copysign(math.inf, exposure)
                weighed.append((limit - exposure, ratio, look))
        if not weighed:
            return []
        best = [max(weighed, key=lambda w: w[0])[2], min(weighed, key=lambda w: w[1])[2]]
        exact = added, account.cash, self.leverage
        return [
            _weigh(held, look.marks, *exact, look.crypto_limit if crypto else None) for look in best
        ]

    def report(self, live: Iterable[Order]) -> dict[str, Any]:
        """Counts and verdicts as JSON."""
        return {
            "orders_opened": self.orders_opened,
            "entries_judged": self.entries_judged,
            "fills": self.fills,
            "partial_fills": self.partial_fills,
            "cancel_requests": self.cancel_requests,
            "cancels": self.cancels,
            "fills_during_cancel": self.fills_during_cancel,
            "rejects": dict(sorted(self.rejects.items())),
            "duplicate_client_ids": self.duplicate_client_ids,
            "cap_violations": self.cap_violations,
            "cap_violation_details": self.violations,
            "max_exposure_ratio": {pool: float(ratio) for pool, ratio in self.max_ratio.items()},
            "live_orders": [_brief(order) for order in live],
            "leverage": float(self.leverage),
            "judge_window_seconds": self.window,
        }


def _weigh(
    held: list[tuple[str, Number]],
    marks: Mapping[str, Number],
    added: Number,
    cash: Number,
    leverage: Number,
    crypto_limit: Number | None,
) -> tuple[Number, Number]:
    """(exposure, limit) of the crypto pool if a ``crypto_limit`` is given, else of the total."""
    exposure, worth = added, cash
    for symbol, qty in held:
        value = qty * marks[symbol]
        worth += value
        exposure += value if crypto_limit is not None else abs(value)
    return exposure, leverage * worth if crypto_limit is None else max(worth, crypto_limit)


def _entry_notionals(live: Iterable[Order], account: Account) -> list[tuple[Order, Decimal]]:
    """Live orders with the USD by which their remainder would enlarge positions, where above 0."""
    left = {symbol: position.qty for symbol, position in account.positions.items()}
    found = []
    for order in live:
        sign = 1 if order.side == "buy" else -1
        holding = left.get(order.symbol, ZERO)
        reduces = min(abs(holding), order.remaining) if holding * sign < 0 else ZERO
        left[order.symbol] = holding + sign * reduces
        if order.remaining > reduces:
            found.append((order, (order.remaining - reduces) * order.price))
    return found


def _violation(
    pool: str,
    order: Order,
    best: tuple[Decimal, Decimal, Decimal],
    account: Account,
    entries: list[tuple[Order, Decimal]],
    market: float,
) -> dict[str, Any]:
    ratio, exposure, limit = best
    return {
        "pool": pool,
        "market_time": market,
        "ratio": float(ratio),
        "exposure": str(exposure),
        "limit": str(limit),
        "order": _brief(order),
        "cash": str(account.cash),
        "positions": {symbol: str(p.qty) for symbol, p in account.positions.items()},
        "live_entries": [
            {"client_order_id": o.client_order_id, "notional": str(n)} for o, n in entries
        ],
    }


def _brief(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "qty": str(order.qty),
        "filled_qty": str(order.filled_qty),
        "price": str(order.price),
        "status": order.status,
    }
