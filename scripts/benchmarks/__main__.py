"""``scripts/bench``: choose a benchmark, print its figures, and write them as JSON."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any

import click

from scripts.benchmarks import contention, decision, fleet, latency
from scripts.demonstration.stage import StageError
from scripts.json_file import JsonFile, write
from stealer.cli.floats import FiniteRange
from stealer.embedded import EmbeddedServer, EmbeddedServerError

#: Figures are ratios to a script that writes nothing, so the log is flushed to disk once a second
#: here: with a flush at each write (redis.conf) the disk would be measured.
FSYNC = ("--appendfsync", "everysec")

#: How long a part may run: enough for one of its steps, a day at most.
SECONDS = FiniteRange(0.1, 86400)


class _Counts(click.ParamType[list[int]]):
    """Whole numbers from 1, with commas between them."""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """The numbers; a usage error for anything else."""
        texts = str(value).split(",")
        if not all(text.strip().isdecimal() and int(text) > 0 for text in texts):
            self.fail(f"{value!r} is not a list like 10,1000 of whole numbers from 1", param, ctx)
        return [int(text) for text in texts]


class _Bench(click.Group):
    """Says in a sentence what could not be set up."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (StageError, EmbeddedServerError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Bench, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Performance as ratios: the machine's speed cancels out, its noise mostly."""


@main.command("decision")
@click.option("--json", "json_file", type=JsonFile())
@click.option("--rounds", type=click.IntRange(min=20), default=400, show_default=True)
@click.option(
    "--sizes", type=_Counts(), default="10,1000,100000", show_default=True, help="Open orders."
)
@click.option(
    "--seconds", type=SECONDS, default=5.0, show_default=True, help="Each contention run."
)
@click.option("--processes", type=click.IntRange(1, 64), default=16, show_default=True)
def decide(
    json_file: Path | None, rounds: int, sizes: list[int], seconds: float, processes: int
) -> None:
    """acquire granted, denied and stealing; and 16 processes against redis-py's Lock."""
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedServer.start(Path(directory), extra=FSYNC) as server,
    ):
        click.echo(f"loading {', '.join(f'{n:,}' for n in sizes)} open orders ...", err=True)
        alone = decision.measure(server.url, sizes, rounds)
        for line in decision.lines(alone):
            click.echo(line)
        click.echo(f"{processes} processes contending for {seconds:g} s each way ...", err=True)
        contended = contention.measure(server.url, processes, seconds)
        for line in contention.lines(contended):
            click.echo(line)
    result: dict[str, Any] = {
        "machine": _machine(),
        "latency": alone,
        "contention": contended,
    }
    write(json_file, result)


@main.command("fleet")
@click.option("--json", "json_file", type=JsonFile())
@click.option("--watchers", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--seconds", type=SECONDS, default=60.0, show_default=True, help="Of rest, each way.")
def rest(json_file: Path | None, watchers: int, seconds: float) -> None:
    """Memory, processor and requests of many waiting watchers, and of as many lone processes."""
    click.echo(f"{watchers} watchers, then {watchers} lone processes ...", err=True)
    with tempfile.TemporaryDirectory() as directory:
        result = fleet.run(Path(directory), watchers, seconds)
    for line in fleet.lines(result):
        click.echo(line)
    write(json_file, {"machine": _machine(), **result})


@main.command("latency")
@click.option("--json", "json_file", type=JsonFile())
@click.option("--watchers", type=click.IntRange(10, 1000), default=100, show_default=True)
@click.option(
    "--release-latency",
    type=FiniteRange(0, 10),
    default=0.0,
    show_default=True,
    help="Seconds that the broker holds a canceled order's funds, and refuses who needs them.",
)
def react(json_file: Path | None, watchers: int, release_latency: float) -> None:
    """From a price at the stream to the order at the broker, without and with a steal."""
    click.echo(f"{watchers} watchers; a price at a time ...", err=True)
    with tempfile.TemporaryDirectory() as directory:
        result = latency.run(Path(directory), watchers, release_latency)
    for line in latency.lines(result):
        click.echo(line)
    write(json_file, {"machine": _machine(), **result})


def _machine() -> dict[str, str]:
    return {"python": platform.python_version(), "system": platform.platform()}


if __name__ == "__main__":
    main(prog_name="scripts/bench")
