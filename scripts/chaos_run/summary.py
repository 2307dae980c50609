"""The end of a run as a table for people; the JSON is made in ``scripts.chaos_run.run``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def show(console: Console, run: dict[str, Any]) -> None:
    """One run."""
    table = Table(title=f"{run['topology']}: {run['seconds']:.0f} s of faults", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    flush = run["flush_drill"]
    rows = {
        "watchers, fleets, hosts": f"{run['watchers']}, {run['fleets']}, {run['hosts']}",
        "faults": ", ".join(f"{n} {kind}" for kind, n in sorted(run["actions"].items())),
        "not possible at the moment": _counts(run["skipped"]),
        "orders opened, fills, cancels": f"{run['orders']}, {run['fills']}, {run['cancels']}",
        "steals": str(run["steals"]),
        "why orders were canceled": _counts(run["cancel_causes"]),
        "cancels asked for a cause": f"{run['cancels_judged']} judged, "
        f"{run['cancels_excused']} excused by lost memory",
        "cap violations": f"{run['cap_violations']} (highest use {_ratios(run)})",
        "duplicate orders": str(run["duplicate_orders"]),
        "leaked": f"{run['leaked_micro']} micro-dollars",
        "watchers at the end": _counts(run["watchers_by_state"]),
        "flush with live orders": f"{flush['live_before']} live, {flush['lost']} lost, "
        f"{flush['doubled']} doubled; certified after {flush['certified_s']} s, all open again "
        f"after {flush['all_open_s']} s"
        if flush
        else "not done",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    for name, times in run["recoveries"].items():
        table.add_row(
            name,
            f"median {times['median_s']} s, longest {times['longest_s']} s, {times['count']} times"
            + (f", {times['not_seen']} not seen to the end" if times["not_seen"] else ""),
        )
    console.print(table)
    for kind, texts in run["findings"]["listed"].items():
        for text in texts:
            console.print(f"[red]{kind}[/red]: {text}", highlight=False)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "none"


def _ratios(run: dict[str, Any]) -> str:
    return ", ".join(f"{p} {r:.1%}" for p, r in run["max_exposure_ratio"].items())
