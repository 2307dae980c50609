"""What must hold after every step, judged from the broker's own view and from the plain keys."""

from __future__ import annotations

from collections.abc import Callable

from scripts.exploration.real.ledger_view import View
from scripts.exploration.real.stage import LATE, LIMITS, LIVE, NEED, WATCHERS, Order, Outside

POOLS = ("total", "crypto")


def wrong(view: View, outside: Outside) -> str | None:
    """What is wrong, or None."""
    return (
        _cap(view, outside)
        or _one(outside)
        or _cause(view, outside)
        or _charges(view)
        or _indexes(view)
        or _steals(view)
    )


def _exposure(outside: Outside, counts: Callable[[Order], bool]) -> tuple[int, int]:
    """What the broker holds in all and in crypto, of its live orders those that *counts* says."""
    total, crypto = outside.positions
    for order in outside.orders:
        if order.status in LIVE and counts(order):
            total += NEED
            crypto += NEED if WATCHERS[order.watcher][1] else 0
    return total, crypto


def _cap(view: View, outside: Outside) -> str | None:
    # A POST that outlasts the quarantine is beyond the promise; it is counted once it was listed.
    granted = _exposure(outside, lambda order: not order.late)
    known = _exposure(outside, lambda order: order.late != LATE)
    for pool, held, limit in zip(POOLS, granted, LIMITS, strict=True):
        if held > limit:
            return f"cap: the broker holds {held // NEED} orders of {limit // NEED} in {pool}"
    if not view.certified or not view.figure("account_ms"):
        return None  # nothing is granted by such a ledger
    for pool, held, limit in zip(POOLS, known, LIMITS, strict=True):
        used = sum(view.figure(f"{kind}_{pool}") for kind in ("positions", "foreign", "charged"))
        if used < held:
            return f"zero: the ledger counts {used} in {pool}, the broker holds {held}"
        # Nothing may be given away twice: nor paid to an heir while its victim may still fill.
        # What filled is counted twice for a moment, as charge and as position.
        twice = min(view.figure(f"positions_{pool}"), _unabsorbed(view, pool))
        if used - twice > limit and not any(order.late for order in outside.orders):
            return f"paid early: the ledger counts {used} of {limit} in {pool}"
    return None


def _cause(view: View, outside: Outside) -> str | None:
    for order in outside.orders:
        if order.status == "canceling" and view.state(order.id) == "open":
            return (
                f"cause: {WATCHERS[order.watcher][0]}'s order is being canceled, its claim is open"
            )
    return None


def _unabsorbed(view: View, pool: str) -> int:
    """Charges of the fills that no snapshot has absorbed, and that positions may show already."""
    total = 0
    for claim in view.claims.values():
        if pool == "total" or claim["crypto"] == "1":
            total += NEED - int(claim.get("absorbed") or 0) if claim["state"] != "reserved" else 0
    return total


def _one(outside: Outside) -> str | None:
    live = [order.watcher for order in outside.orders if order.status in LIVE]
    for w in set(live):
        if live.count(w) > 1:
            return f"one: {WATCHERS[w][0]} has two live orders"
    return None


def _charges(view: View) -> str | None:
    sums = [0, 0]
    for claim in view.claims.values():
        need, absorbed = int(claim["need"]), int(claim.get("absorbed") or 0)
        if claim["state"] == "reserved":
            sums[0] += int(claim["fund"])
            sums[1] += int(claim.get("fund_crypto") or 0)
            continue
        whole = int(claim["filled"]) if claim["state"] == "closed" else need
        sums[0] += whole - absorbed
        sums[1] += (whole - absorbed) if claim["crypto"] == "1" else 0
    for pool, held in zip(POOLS, sums, strict=True):
        if view.figure(f"charged_{pool}") != held:
            return f"charges: {view.figure(f'charged_{pool}')} in {pool}, the claims hold {held}"
    return None


def _indexes(view: View) -> str | None:
    """Each index says what the claims say."""
    states = {claim_id: claim["state"] for claim_id, claim in view.claims.items()}
    expected = {
        "open": {i for i, s in states.items() if s == "open"},
        "deadlines": {i for i, s in states.items() if s in ("reserved", "launching")},
        "heirless": {
            i for i, s in states.items() if s == "evicting" and not view.claims[i].get("heir")
        },
    }
    for name, members in expected.items():
        if view.members(name) != members:
            return f"index: {name} holds {len(view.members(name))} claims, not {len(members)}"
    for claim_id, claim in view.claims.items():
        if claim["state"] == "reserved":
            waiting = [
                c
                for c in view.claims.values()
                if c.get("heir") == claim_id and c["state"] == "evicting"
            ]
            if int(claim.get("pending") or 0) != len(waiting):
                return f"heir: {claim['symbol']} counts {claim['pending']}, {len(waiting)} pend"
        victim = claim.get("heir") or ""
        if victim and states.get(victim) != "reserved":
            return f"heir: {claim['symbol']} has an heir that is {states.get(victim, 'gone')}"
    return None


def _steals(view: View) -> str | None:
    entries = view.keys["steals"][1] if "steals" in view.keys else []
    names = [fields["steal"] for _, fields in entries]
    counters = view.keys["counters"][1] if "counters" in view.keys else {}
    counted = int(counters.get("work_steal_success_total") or 0)
    if len(set(names)) != len(names) or len(names) != counted:
        return f"record: {len(names)} steals in the stream, {counted} counted"
    return None


def wrong_at_rest(view: View, outside: Outside) -> str | None:
    """Nothing has to happen any more: nothing may be left over."""
    states = {claim_id: claim["state"] for claim_id, claim in view.claims.items()}
    for claim_id, state in states.items():
        if state in ("reserved", "launching", "evicting"):
            return f"leak: {view.claims[claim_id]['symbol']} is {state} for ever"
    for order in outside.orders:
        if order.status in LIVE and states.get(order.id) != "open":
            return f"leak: {WATCHERS[order.watcher][0]}'s order is live without an open claim"
    for actor in outside.actors:
        fields = view.claims.get(actor.claim.id) if actor.claim else None
        if actor.claim and fields and fields["fence"] != actor.claim.fence:
            return f"leak: {fields['symbol']} is open, its watcher may not look after it"
    return None
