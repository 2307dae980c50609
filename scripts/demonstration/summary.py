"""The end of a demo: what the broker saw, what the ledger still holds, for people and programs."""

from __future__ import annotations

from typing import Any

from stealer.cli.operator import Operator
from stealer.cli.views import account, records
from stealer.model import State
from stealer.order_ids import is_ours

#: Steals read back from the stream for counting.
ALL_STEALS = 100_000


def summarise(
    ledger: Operator, report: dict[str, Any], orders_seen: set[str], run: dict[str, Any]
) -> dict[str, Any]:
    """Machine summary. Orders, fills, violations and ratios are the simulated broker's.

    A steal succeeded when its thief's order was live at the broker, and failed otherwise.
    ``leaked`` is what the ledger charges beyond fills that no snapshot has shown yet.
    """
    view = account.account(ledger)
    stolen = records.steals(ledger, ALL_STEALS)
    succeeded = sum(steal.thief_claim in orders_seen for steal in stolen)
    claims = ledger.claims().values()
    held = [claim for claim in claims if claim.state is not State.CLOSED]
    residue = sum(c.filled - c.absorbed for c in claims if c.state is State.CLOSED)
    charged = next(p.charged_micro for p in view.pools if p.name == "total")
    return {
        **run,
        "orders_opened": report["orders_opened"],
        "fills": report["fills"],
        "steals": succeeded,
        "steals_failed": len(stolen) - succeeded,
        "fights": view.counters.get("work_steal_fights_detected", 0),
        "denied": dict(sorted(view.denied.items())),
        "cap_violations": report["cap_violations"],
        "cap_violation_details": report["cap_violation_details"],
        "max_exposure_ratio": report["max_exposure_ratio"],
        "rejects": report["rejects"],
        "fills_during_cancel": report["fills_during_cancel"],
        "duplicate_client_ids": report["duplicate_client_ids"],
        "live_orders_left": sum(
            is_ours(order["client_order_id"], ledger.settings.account)
            for order in report["live_orders"]
        ),
        "claims_left": len(held),
        "leaked_micro": charged - residue,
        "judge_window_seconds": report["judge_window_seconds"],
    }


def sentences(summary: dict[str, Any]) -> list[str]:
    """The summary in words."""
    ratios = summary["max_exposure_ratio"]
    denied = ", ".join(f"{count} {reason}" for reason, count in summary["denied"].items())
    rejected = ", ".join(f"{count} x {reason}" for reason, count in summary["rejects"].items())
    return [
        f"{summary['watchers']} watchers in 2 fleets on {summary['source']}, "
        f"{summary['seconds']:.0f} s at {summary['speed']:g} x",
        f"orders opened {summary['orders_opened']}, fills {summary['fills']}, "
        f"of these {summary['fills_during_cancel']} while being canceled",
        f"steals {summary['steals']}, failed {summary['steals_failed']}, "
        f"fights stopped {summary['fights']}",
        f"denied: {denied or 'nothing'}",
        f"refused by the broker: {rejected or 'nothing'}",
        f"cap violations {summary['cap_violations']} (as the broker saw it, by prices of the last "
        f"{summary['judge_window_seconds']:g} s); highest use: "
        + ", ".join(f"{pool} {ratio:.1%}" for pool, ratio in ratios.items()),
        f"left at the end: {summary['live_orders_left']} orders, {summary['claims_left']} claims, "
        f"${summary['leaked_micro'] / 1e6:,.2f} charged without an owner",
    ]
