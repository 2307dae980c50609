"""From rank and session to a tier and a tolerance, and from quotes to a distance.

Rule: DESIGN part 1, "Market hours" and "Tiers". Pure functions, evaluated at every decision:
nobody may keep a tier over a change of session, because a watcher started on Sunday loses
`force_immediate` on Monday at 9:30.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from stealer.settings import Settings

K = TypeVar("K", bound=Hashable)


class Tier(StrEnum):
    """How an entry is treated. The values are what status pages and metrics show."""

    FORCE_IMMEDIATE = "force_immediate"
    TIGHT_TOLERANCE = "tight_tolerance"
    NORMAL = "normal"
    STEAL_ONLY = "steal_only"


@dataclass(frozen=True, slots=True)
class Standing:
    """Places in the forecast ranking, 0 being the best, counting tradeable entries only.

    `rank` is None for what is not tradeable now or has no forecast; `crypto_rank`, the place among
    crypto, is also None for stocks.
    """

    rank: int | None
    crypto_rank: int | None


@dataclass(frozen=True, slots=True)
class TierDecision:
    """A tier and its tolerance, a fraction of the limit price; None: the price is ignored."""

    tier: Tier
    tolerance_pct: float | None
    reason: str

    @property
    def steal_only(self) -> bool:
        """True when the entry opens only close to its limit: through free capacity or a steal."""
        return self.tier is Tier.STEAL_ONLY


def standings(ranking: Iterable[tuple[K, bool]], *, session_open: bool) -> dict[K, Standing]:
    """The standing of each entry of *ranking*: pairs of a key and whether it is crypto, best first.

    Closed stocks get no rank and push nobody down.
    """
    result: dict[K, Standing] = {}
    tradeable = crypto = 0
    for key, is_crypto in ranking:
        if not (is_crypto or session_open):
            result[key] = Standing(None, None)
            continue
        result[key] = Standing(tradeable, crypto if is_crypto else None)
        tradeable += 1
        crypto += is_crypto
    return result


def decide_tier(
    symbol: str,
    *,
    is_crypto: bool,
    rank: int | None,
    crypto_rank: int | None,
    session_open: bool,
    explicit_force: bool,
    settings: Settings,
) -> TierDecision:
    """The tier of *symbol* now. Ranks as in `Standing`.

    Where two rules speak, the order is: `force_immediate`; `steal_only`; the session rule, for
    crypto; the tier, for stocks. An entry without a rank is among the rest, so `steal_only`.

    Raises ValueError for a negative rank.
    """
    if min(rank or 0, crypto_rank or 0) < 0:
        raise ValueError(f"{symbol}: ranks count from 0, got {rank} and {crypto_rank}")
    forced = _forced(symbol, is_crypto, crypto_rank, session_open, explicit_force, settings)
    if forced is not None:
        return forced
    top = settings.max_concurrent_orders
    if rank is None or rank >= 2 * top:
        place = (
            "has no rank among the tradeable entries"
            if rank is None
            else f"is number {rank + 1}, after the first {2 * top} tradeable entries"
        )
        return TierDecision(Tier.STEAL_ONLY, settings.entry_tolerance_pct, f"{symbol} {place}")
    tier = Tier.TIGHT_TOLERANCE if rank < top else Tier.NORMAL
    place = f"{symbol} is number {rank + 1} of the tradeable entries"
    if is_crypto:
        if session_open:
            return TierDecision(tier, settings.crypto_normal_tolerance_pct, f"{place}, stock hours")
        tolerance = settings.crypto_out_of_hours_tolerance_pct
        return TierDecision(tier, tolerance, f"{place}, crypto out of hours")
    if tier is Tier.TIGHT_TOLERANCE:
        return TierDecision(tier, settings.tight_tolerance_pct, f"{place}, among the top {top}")
    # The specification has one 0.66 % for stock hours; its constant is named after crypto.
    return TierDecision(tier, settings.crypto_normal_tolerance_pct, f"{place}, the next {top}")


def _forced(
    symbol: str,
    is_crypto: bool,
    crypto_rank: int | None,
    session_open: bool,
    explicit_force: bool,
    settings: Settings,
) -> TierDecision | None:
    """The `force_immediate` decision, or None when neither the intent nor the session forces."""
    if explicit_force:
        return TierDecision(Tier.FORCE_IMMEDIATE, None, f"{symbol} is forced by its intent")
    if session_open or not is_crypto or crypto_rank is None:
        return None
    if crypto_rank >= settings.crypto_out_of_hours_force_count:
        return None
    reason = f"{symbol} is number {crypto_rank + 1} of the crypto entries out of hours"
    return TierDecision(Tier.FORCE_IMMEDIATE, None, reason)


def distance(side: str, limit_price: float, bid: float, ask: float) -> float:
    """How far the market is from *limit_price*, as a fraction of it; 0 when it is at or through it.

    Entry reference (DESIGN part 2): the ask for a buy, the bid for a sell. Only that one is
    looked at.

    Raises ValueError for a side that is neither `buy` nor `sell`, and for a limit or reference
    price that is not positive and finite: without a price there is no distance, and the caller
    must not assume one.
    """
    if side not in ("buy", "sell"):
        raise ValueError(f"side {side!r} is neither buy nor sell")
    reference = ask if side == "buy" else bid
    for name, price in (("limit price", limit_price), ("quote", reference)):
        if not (math.isfinite(price) and price > 0):
            raise ValueError(f"{name} {price!r} is not a positive price")
    away = reference - limit_price if side == "buy" else limit_price - reference
    # Rounded, or a market exactly at a tolerance would be beyond it by floating point's error.
    return round(max(away / limit_price, 0.0), 9)
