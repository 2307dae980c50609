"""Why a watcher has no order open, and what would change that.

The last decision is what ``acquire`` recorded; what would change it is worked out from the ledger
as it is now, by the rules of the scripts (PROTOCOL, "Choosing victims"). A text for people: the
scripts decide.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from stealer.cli.operator import Operator
from stealer.cli.views.account import Account, account, waiters
from stealer.cli.views.case import Case, Decision, must_beat
from stealer.cli.views.orders import Tiers, candidates
from stealer.cli.views.reading import Reader, number_in, pairs
from stealer.cli.views.records import Timer, cooling, timers
from stealer.model import Claim
from stealer.replies import Candidate
from stealer.tiers import distance


@dataclass(frozen=True, slots=True)
class Why:
    """One watcher's slot: what was decided, how it stands now, and ``changes``: what would help.

    ``pnl_needed`` is what its PnL must be above to steal now; None where no steal could cover it
    or where its need is not known.
    """

    symbol: str
    side: str
    strategy: str
    decision: Decision
    claim_id: str
    claim_state: str
    pnl: float | None
    rank: int | None
    tier: str
    tolerance_pct: float | None
    tier_reason: str
    bid: float | None
    ask: float | None
    limit_price: float | None
    distance: float | None
    need_micro: int | None
    short_micro: dict[str, int]
    pnl_needed: float | None
    watcher: dict[str, Any]
    changes: tuple[str, ...]


#: How much a dollar of an order weighs in each pool, for stocks and for crypto.
_WEIGHTS = {
    False: {"total": 1, "crypto": 0, "margin": 1, "cash": 0},
    True: {"total": 1, "crypto": 1, "margin": 2, "cash": 1},
}


def why(ledger: Operator, symbol: str, strategy: str = "", side: str = "") -> tuple[Why, ...]:
    """One answer for each slot of *symbol* that anything is known about, best described first."""
    from stealer.cli.views.why_words import changes

    reader = Reader(ledger)
    name = ledger.classify(symbol)[0]
    view, tiers = account(ledger), Tiers(reader)
    statuses = _statuses(reader, name)
    slots = [
        (s, t)
        for s, t in sorted({*_slots(reader, name), *statuses})
        if s in (side or s) and t in ((strategy,) if strategy else (t,))
    ]
    met = candidates(reader, name)
    ticking = [*cooling(reader), *timers(reader, "refused", 1), *timers(reader, "fight", 2)]
    result = []
    for one_side, one in slots:
        status = statuses.get((one_side, one), {})
        case = _case(reader, view, tiers, name, one_side, one, status, met, ticking)
        tier = tiers.of(name, one, forced=bool(case.claim and case.claim.force_immediate))
        place = tiers.places.get((name, one))
        rank = place.rank + 1 if place and place.rank is not None else None
        bid, ask = case.quote or (None, None)
        result.append(
            Why(
                symbol=name,
                side=one_side,
                strategy=one,
                decision=case.decision,
                claim_id=case.claim.id if case.claim else "",
                claim_state=case.claim.state.value if case.claim else "",
                pnl=case.pnl,
                rank=rank,
                tier=tier.tier.value,
                tolerance_pct=tier.tolerance_pct,
                tier_reason=tier.reason,
                bid=bid,
                ask=ask,
                limit_price=case.limit,
                distance=case.distance,
                need_micro=case.need,
                short_micro=case.short,
                pnl_needed=case.pnl_needed,
                watcher=status,
                changes=tuple(changes(case)),
            )
        )
    return tuple(result)


def _slots(reader: Reader, symbol: str) -> list[tuple[str, str]]:
    """(side, strategy) of every slot of *symbol* with a decision, claim, waiter or forecast."""
    names = [*reader.hash("decisions").values, *reader.hash("slots").values]
    names += [slot for slot, _ in reader.ranked("waiters")]
    found = {tuple(rest.split("|", 1)) for head, rest in pairs(names) if head == symbol}
    known = [(s[0], s[1]) for s in sorted(found) if len(s) == 2]
    for head, strategy in pairs(member for member, _ in reader.ranked("forecasts")):
        if head == symbol and strategy not in {s for _, s in known}:
            known.append(("buy", strategy))
    return known


def decision_of(text: str, now_ms: int) -> Decision:
    """A recorded decision: 'ms/request outcome reason detail'."""
    parts = text.split(" ", 3)
    at = number_in(parts[0].partition("/")[0])
    if len(parts) < 3 or at is None:
        return Decision(detail=text and f"not readable: {text[:60]!r}")
    reason = "" if parts[2] == "-" else parts[2]
    detail = parts[3] if len(parts) > 3 else ""
    return Decision(parts[1], reason, detail, int(at), max(now_ms - at, 0) / 1000)


def _statuses(reader: Reader, symbol: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What living watchers of entries in *symbol* say of themselves, by (side, strategy)."""
    result: dict[tuple[str, str], dict[str, Any]] = {}
    for said in reader.hash("watchers").values.values():
        try:
            status = json.loads(said)
        except (ValueError, RecursionError):
            continue
        if not isinstance(status, dict) or status.get("kind") == "exit":
            continue  # an exit has no slot, and nothing is decided about it
        if status.get("symbol") == symbol:
            slot = (str(status.get("side", "buy")), str(status.get("strategy", "")))
            # One that found its order impossible leaves its report beside its successor's.
            if _seen(status) >= _seen(result.get(slot, {})):
                result[slot] = status
    return result


def _seen(status: dict[str, Any]) -> float:
    return float(number_in(status.get("seen")) or 0)


def _case(
    reader: Reader,
    view: Account,
    tiers: Tiers,
    symbol: str,
    side: str,
    strategy: str,
    status: dict[str, Any],
    met: tuple[Candidate, ...],
    ticking: list[Timer],
) -> Case:
    """Everything about one slot."""
    slot = f"{symbol}|{side}|{strategy}"
    claim = _claim(reader, slot)
    waiting = {w.slot: w for w in waiters(reader, view.at_ms)}.get(slot)
    pnl = reader.score("forecasts", f"{symbol}|{strategy}")
    if pnl is None:
        pnl = waiting.pnl if waiting else (claim.pnl if claim else None)
    limit = float(claim.limit_price) if claim else _positive(status.get("limit_price"))
    quote, age = _quote(reader, symbol, view.at_ms)
    fresh = quote and age is not None and age <= tiers.settings.quote_stale_seconds
    far = distance(side, limit, *quote) if fresh and quote and limit and side in _SIDES else None
    case = Case(
        symbol=symbol,
        side=side,
        strategy=strategy,
        decision=decision_of(reader.field("decisions", slot), view.at_ms),
        account=view,
        policy=tiers.settings,
        claim=claim,
        pnl=pnl,
        need=waiting.need_micro if waiting else (claim.need if claim else None),
        limit=limit,
        quote=quote,
        quote_age=age,
        distance=far,
        candidates=met,
        timers=ticking,
        watcher=status,
    )
    _plan(case)
    return case


_SIDES = ("buy", "sell")


def _claim(reader: Reader, slot: str) -> Claim | None:
    from stealer.cli.views.reading import readable_claim

    claim_id = reader.field("slots", slot)
    if not claim_id:
        return None
    key = reader.keys.of("claim", claim_id)
    return readable_claim(claim_id, reader.ask(key, lambda r: r.hgetall(key)))


def _positive(value: object) -> float | None:
    number = number_in(value)
    return float(number) if number is not None and number > 0 else None


def _quote(
    reader: Reader, symbol: str, now_ms: int
) -> tuple[tuple[float, float] | None, float | None]:
    """(bid, ask) and their age in seconds."""
    parts = reader.field("quotes", symbol).split(" ")
    if len(parts) != 3:
        return None, None
    bid, ask, at = _positive(parts[0]), _positive(parts[1]), number_in(parts[2])
    if bid is None or ask is None or at is None:
        return None, None
    return (bid, ask), max(now_ms - at, 0) / 1000


def _plan(case: Case) -> None:
    """What is short for this slot's need, and which unprotected orders would cover it."""
    if case.need is None or case.claim is not None:
        return
    weight = _WEIGHTS[case.is_crypto]
    room = {p.name: p.free_micro for p in case.account.pools}
    room |= {b.name: b.room_micro for b in case.account.broker}
    gap = {
        name: case.need * weight[name] - room.get(name, 0) for name in weight if weight[name] > 0
    }
    case.short = {name: lack for name, lack in gap.items() if lack > 0}
    lacking = dict(case.short)
    for found in case.candidates:
        if not any(lack > 0 for lack in lacking.values()):
            break
        worth = _WEIGHTS[found.symbol in case.policy.crypto_symbols]
        if found.protection or not any(v > 0 and worth[n] for n, v in lacking.items()):
            continue
        case.victims.append(found)
        for name in lacking:
            lacking[name] -= (found.need - found.filled) * worth[name]
    case.covered = not any(lack > 0 for lack in lacking.values())
    if case.victims and case.covered:
        improvement = case.policy.min_pnl_improvement
        together = sum(max(v.pnl, 0.0) for v in case.victims)
        worst_case = max(v.pnl for v in case.victims)
        case.pnl_needed = must_beat(worst_case, improvement)
        if together > 0:
            case.pnl_needed = max(case.pnl_needed, must_beat(together, improvement))
