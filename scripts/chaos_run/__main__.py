"""``scripts/chaos``: faults on real processes."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from scripts.chaos_run import summary
from scripts.chaos_run.actions import KINDS, possible
from scripts.chaos_run.market import MOST
from scripts.chaos_run.run import perform
from scripts.chaos_run.scene import Plan
from scripts.chaos_run.stage import StageError
from scripts.chaos_run.wire import WireError
from scripts.json_file import JsonFile, write
from stealer.cli.floats import FiniteRange
from stealer.embedded import EmbeddedServerError

#: Exit statuses, beside click's 2 for bad input.
ALL_WELL, VIOLATED = 0, 1


def _only(context: click.Context, parameter: click.Parameter, text: str) -> frozenset[str]:
    """The kinds of fault that were named."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    known = {kind.name for kind in KINDS}
    if names - known:
        wrong = ", ".join(sorted(names - known))
        raise click.BadParameter(f"{wrong}: the kinds are {', '.join(sorted(known))}")
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--minutes",
    type=FiniteRange(0.1, 24 * 60),
    default=20.0,
    show_default=True,
    help="How long faults are made, all arrangements together.",
)
@click.option(
    "--json",
    "json_file",
    type=JsonFile(),
    help="Write the summary there, for programs.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of faults and prices.")
@click.option("--watchers", type=click.IntRange(4, MOST), default=50, show_default=True)
@click.option("--fleets", type=click.IntRange(2, 8), default=2, show_default=True)
@click.option(
    "--every",
    type=FiniteRange(0.1, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two faults.",
)
@click.option(
    "--topology",
    type=click.Choice(["single", "sentinel", "both"]),
    default="both",
    show_default=True,
    help="One Redis; a primary, a replica and a Sentinel; or half the time each.",
)
@click.option(
    "--only", callback=_only, default="", help="Only these kinds of fault, comma separated."
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep logs, plans and data in this folder.",
)
def main(**options: Any) -> None:
    """Kill, stop and disconnect watchers, keepers, fleets and Redis, flush it, and let the broker
    misbehave, while watchers compete for one account. What counts is what the broker saw.

    Exit status: 0 all well, 1 a violation or something could not start, 2 bad input.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    chosen = options["topology"]
    topologies = ["single", "sentinel"] if chosen == "both" else [chosen]
    for topology in topologies:
        if not possible(topology, options["only"]):
            raise click.BadParameter(
                f"none of these can be made with --topology {topology}", param_hint="--only"
            )
    # SIGTERM unwinds like Ctrl-C, so that no process stays behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    directory = options["keep"] or Path(tempfile.mkdtemp(prefix="stealer-chaos-"))
    try:
        runs = [_run(topology, len(topologies), directory, options) for topology in topologies]
    except (StageError, EmbeddedServerError, WireError) as error:
        click.echo(f"chaos: {error}", err=True)
        sys.exit(VIOLATED)
    finally:
        if not options["keep"]:
            shutil.rmtree(directory, ignore_errors=True)
    total = {"ok": not any(run["findings"]["counts"] for run in runs), "runs": runs}
    console = Console()
    for run in runs:
        summary.show(console, run)
    console.print("all well" if total["ok"] else "[red]violations: see above[/red]")
    write(options["json_file"], total)
    sys.exit(ALL_WELL if total["ok"] else VIOLATED)


def _run(topology: str, parts: int, directory: Path, options: dict[str, Any]) -> dict[str, Any]:
    plan = Plan(
        options["minutes"] * 60 / parts,
        options["every"],
        options["seed"],
        options["watchers"],
        options["fleets"],
        topology,
        options["only"],
    )
    place = directory / topology
    place.mkdir(parents=True, exist_ok=True)
    say = Console(stderr=True, highlight=False).print
    return perform(plan, place, lambda text: say(f"{topology}: {text}"))


if __name__ == "__main__":
    main(prog_name="scripts/chaos")
