"""The verdict. Pure: from what the broker logged, and what the ledger holds when all is quiet.

Caps are judged by the simulated broker itself, at every order it accepted. The rest is judged here
from its log of events; the ledger is only compared with it at the end, and asked for reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.chaos_run.witness import Happening

#: Findings of one kind that are listed; all are counted.
LISTED = 20

#: Phases of a watcher in which nothing is the matter without any reason being given.
CLEAR = frozenset({"done", "open"})

#: Phases that need a reason.
EXPLAINED = frozenset(
    {"waiting_for_price", "waiting_for_capacity", "blocked", "opening", "ending", "stopped"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class LedgerEnd:
    """The ledger when all is quiet; amounts in micro-dollars."""

    charged: Mapping[str, int]  #: pool -> what claims are charged
    positions: Mapping[str, int]  #: pool -> what it believes is held
    claims: Sequence[str]


@dataclass(frozen=True, slots=True)
class Seat:
    """A watcher when faults had ended and all had time to settle."""

    name: str
    phase: str
    reason: str

    @property
    def well(self) -> bool:
        """Done, open, or waiting with a reason."""
        return self.phase in CLEAR or (self.phase in EXPLAINED and bool(self.reason))


def broken_caps(report: Mapping[str, Any]) -> list[Finding]:
    """As the broker judged each accepted order."""
    listed = report["cap_violation_details"]
    more = int(report["cap_violations"]) - len(listed)
    texts = [
        f"{d['pool']}: {d['exposure']} of {d['limit']} with {d['order']['client_order_id']}"
        for d in listed
    ]
    return [Finding("cap", text) for text in (*texts, *["(not listed)"] * more)]


def reused_ids(happenings: Iterable[Happening], report: Mapping[str, Any]) -> list[Finding]:
    """The same client order id on two orders, or sent again although it had been taken."""
    orders: dict[str, set[str]] = {}
    for event in happenings:
        orders.setdefault(event.claim, set()).add(event.order_id)
    found = [
        Finding("duplicate", f"{claim} is the id of {len(ids)} orders")
        for claim, ids in orders.items()
        if len(ids) > 1
    ]
    refused = int(report["duplicate_client_ids"])
    return found + [Finding("duplicate", "an id was sent a second time, and refused")] * refused


def doubled_slots(happenings: Iterable[Happening]) -> list[Finding]:
    """Two orders of one slot (symbol, side, strategy) live at the same moment."""
    live: dict[str, set[str]] = {}
    known: set[str] = set()
    found = []
    for event in happenings:
        mine = live.setdefault(event.slot, set())
        if event.ends:
            mine.discard(event.order_id)
        elif event.order_id not in known:
            if mine:
                text = f"{event.slot}: {event.claim} beside {', '.join(sorted(mine))}"
                found.append(Finding("duplicate", text))
            mine.add(event.order_id)
        known.add(event.order_id)
    return found


@dataclass(frozen=True, slots=True)
class Cancels:
    """What became of the question why orders were canceled; each of them is in one number."""

    judged: int
    excused: int
    findings: list[Finding]


def judged_cancels(
    happenings: Iterable[Happening],
    causes: Mapping[str, str],
    memory_losses: Sequence[tuple[float, float]],
) -> Cancels:
    """Orders canceled for which the ledger never gave a reason.

    A reason may have been lost with the ledger's memory, so an order without one that lived in one
    of *memory_losses* (begin and end, unix seconds) is excused.
    """
    began: dict[str, float] = {}
    judged = excused = 0
    found = []
    for event in happenings:
        began.setdefault(event.order_id, event.at)
        if event.status != "canceled" or event.event != "canceled":
            continue
        lost = any(began[event.order_id] < end and begin < event.at for begin, end in memory_losses)
        if event.claim not in causes and lost:
            excused += 1
            continue
        judged += 1
        if event.claim not in causes:
            found.append(Finding("cancel without cause", f"{event.slot}: {event.claim}"))
    return Cancels(judged, excused, found)


def crashed(tracebacks: Mapping[str, int]) -> list[Finding]:
    """Exceptions that nobody caught or meant to show, by the process whose log has them."""
    return [
        Finding("traceback", f"{name}: {count} in its log") for name, count in tracebacks.items()
    ]


def leaks(end: LedgerEnd, report: Mapping[str, Any], ours: Sequence[str]) -> list[Finding]:
    """What is charged, claimed or live though everything has ended; positions that differ.

    :param ours: client order ids of ours that are live at the broker.
    """
    found = [
        Finding("leak", f"{pool}: {amount} micro-dollars are charged for nothing")
        for pool, amount in end.charged.items()
        if amount
    ]
    found += [Finding("leak", f"claim {claim} is left") for claim in end.claims]
    found += [Finding("leak", f"order {claim} is live at the broker") for claim in ours]
    return found + _differing_positions(end, report)


def _differing_positions(end: LedgerEnd, report: Mapping[str, Any]) -> list[Finding]:
    values = {s: abs(float(p["market_value"])) for s, p in report["positions"].items()}
    shown = {
        "total": sum(values.values()),
        "crypto": sum(value for symbol, value in values.items() if "/" in symbol),
    }
    # The ledger rounds each up to a micro-dollar, the broker to the cent.
    return [
        Finding("leak", f"{pool}: positions of {held / 1e6:.2f}, the broker has {shown[pool]:.2f}")
        for pool, held in end.positions.items()
        if abs(held / 1e6 - shown[pool]) > 0.01 * (len(values) + 1)
    ]


def idle(seats: Iterable[Seat]) -> list[Finding]:
    """Watchers of which nobody can say what they are waiting for."""
    return [
        Finding("watcher", f"{seat.name}: {seat.phase or 'silent'} {seat.reason}".strip())
        for seat in seats
        if not seat.well
    ]


def lost_orders(
    happenings: Iterable[Happening], before: Iterable[str], since: float
) -> tuple[int, int]:
    """After a loss of memory at *since*: (orders lost, orders doubled).

    Lost is an order of *before* (order ids live at that moment) that ended canceled afterwards;
    doubled a slot that had two orders at once afterwards.
    """
    events = list(happenings)
    ids = set(before)
    lost = {e.order_id for e in events if e.at >= since and e.order_id in ids and e.ends}
    filled = {e.order_id for e in events if e.status == "filled"}
    standing = [e for e in events if e.order_id in ids or e.at >= since]
    return len(lost - filled), len(doubled_slots(standing))


def counted(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings for a summary: numbers by kind, and the first of each in words."""
    listed: dict[str, list[str]] = {}
    for finding in findings:
        texts = listed.setdefault(finding.kind, [])
        if len(texts) < LISTED:
            texts.append(finding.text)
    return {"counts": dict(Counter(f.kind for f in findings)), "listed": listed}
