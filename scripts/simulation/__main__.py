"""``scripts/simulate-faults``: many seeds, or one with its trace."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from scripts.json_file import JsonFile, write
from scripts.simulation import campaign, planted
from scripts.simulation.scenario import Scenario, draw
from scripts.simulation.shrink import shrunk
from scripts.simulation.world import Result, World

#: How the names of what is measured over many runs end.
TIMES = ("seconds", "_minute", "_of_processor")

#: Failures that are printed; all are in the JSON file.
SHOWN = 20


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1000, show_default=True, help="How many runs."
)
@click.option(
    "--first-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The others follow it.",
)
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Default: processors.")
@click.option("--json", "json_file", type=JsonFile(), help="Result file.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Only this one.")
@click.option("--trace", is_flag=True, help="With --seed: every call, effect and fault.")
@click.option("--shrink", "smaller", is_flag=True, help="With --seed: the smallest failing run.")
@click.option("--bug", type=click.Choice(sorted(planted.BUGS)), help="Run with a planted bug.")
@click.option("--stop", "stop_at_first", is_flag=True, help="Stop at the first violation.")
def main(
    seeds: int,
    first_seed: int,
    jobs: int | None,
    json_file: Path | None,
    seed: int | None,
    trace: bool,
    smaller: bool,
    bug: str | None,
    stop_at_first: bool,
) -> None:
    """The real system under seeded faults; exit code 1 when an invariant is broken."""
    logging.disable(logging.CRITICAL)
    if seed is None and (trace or smaller):
        raise click.UsageError("--trace and --shrink need --seed N: one run is shown, not many")
    if seed is not None:
        with ExitStack() as stack:
            if bug:
                stack.enter_context(planted.BUGS[bug].planted())
            result = _one(draw(seed), trace=trace, smaller=smaller)
        write(json_file, _record(result))
        sys.exit(1 if result.violations else 0)
    report = campaign.run(
        first_seed,
        seeds,
        jobs or os.cpu_count() or 1,
        bug=bug or "",
        stop_at_first=stop_at_first,
        say=lambda text: click.echo(text, err=True),
    )
    record = report.record()
    write(json_file, record)
    for failure in report.failures[:SHOWN]:
        click.echo(
            f"seed {failure['seed']}: invariant {failure['invariant']} at {failure['at']} s: "
            f"{failure['text']}"
        )
    click.echo(
        f"{record['seeds']} seeds, {record['violations']} violations, {record['steals']} steals, "
        f"{record['faults_injected']} faults of {len(record['faults'])} kinds, "
        f"{record['virtual_hours']} virtual hours, {record['seeds_per_minute']} seeds a minute"
    )
    if report.failures:
        planted_bug = f" --bug {bug}" if bug else ""  # without it the seed breaks nothing
        click.echo(
            f"replay: scripts/simulate-faults --seed {report.failures[0]['seed']}{planted_bug} "
            "--trace"
        )
    sys.exit(1 if report.failures else 0)


def _one(scenario: Scenario, *, trace: bool, smaller: bool) -> Result:
    """One seed: its scenario, its trace if asked for, its violations are printed."""
    result = World(scenario, traced=trace and not smaller).run()
    if smaller and result.violations:
        scenario = shrunk(scenario, result.violations[0].invariant)
        result = World(scenario, traced=True).run()
    for entry in scenario.entries:
        click.echo(
            f"{entry.name}: {entry.qty} {entry.symbol} at {entry.limit}, PnL {entry.pnl}"
            f"{', probe' if entry.mode == 'probe' else ''}{', forced' if entry.forced else ''}"
        )
    click.echo(
        f"equity {scenario.equity}, keepers {' '.join(scenario.keepers)}, "
        f"{scenario.active_seconds:g} s with faults"
    )
    for fault in scenario.plan:
        click.echo(f"fault: {fault}")
    for line in result.trace:
        click.echo(line)
    for violation in result.violations:
        click.echo(str(violation))
    click.echo(f"seed {result.seed}: {len(result.violations)} violations, {result.steals} steals")
    return result


def _record(result: Result) -> dict[str, Any]:
    """One run as the report of many is written, without what only many have."""
    report = campaign.Report()
    report.add(result)
    record = report.record()
    return {name: said for name, said in record.items() if not name.endswith(TIMES)}


if __name__ == "__main__":
    main(prog_name="scripts/simulate-faults")
