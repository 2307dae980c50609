"""``stealer forecasts list|set|load|remove``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.out import Column, printable
from stealer.cli.views.forecasts import (
    DEFAULT_STRATEGY,
    MAX_BYTES,
    BadFile,
    Entry,
    Forecast,
    read_file,
    valid_ttl,
)
from stealer.cli.views.forecasts import forecasts as read_forecasts
from stealer.cli.words import TIERS, plural, pnl, span

STRATEGY = click.option(
    "--strategy", default=DEFAULT_STRATEGY, show_default=True, help="Which strategy's forecast."
)

#: How many problems of a file are listed.
PROBLEMS_SHOWN = 20


@click.group(no_args_is_help=True)
def forecasts() -> None:
    """Forecast PnLs: they rank every order, and decide who steals from whom."""


@forecasts.command("list")
@common_options()
@pass_app
def list_(app: App) -> None:
    """Every forecast, best first, with its tier now."""
    rows, out = read_forecasts(app.ledger), app.out
    if out.as_json:
        out.json({"forecasts": rows})
        return
    if not rows:
        out.show("No forecast is published.")
        return
    columns = [
        Column("#", "r"), Column("symbol"), Column("strategy"), Column("PnL", "r"), Column("tier"),
        Column("age", "r"), Column("expires in", "r"), Column("source", from_width=90),
    ]  # fmt: skip
    out.show(out.table(columns, [_row(r) for r in rows]))


def _row(r: Forecast) -> list[str]:
    tier, age, left = TIERS.get(r.tier, r.tier), span(r.age_seconds), span(r.expires_seconds)
    return [str(r.rank), r.symbol, r.strategy, pnl(r.pnl), tier, age, left, r.source]


@forecasts.command("set", context_settings={"ignore_unknown_options": True})
@common_options()
@click.argument("symbol")
@click.argument("pnl_value", metavar="PNL")
@STRATEGY
@click.option("--ttl", default="0", help="Seconds until it expires; 0 is never.", show_default=True)
@pass_app
def set_(app: App, symbol: str, pnl_value: str, strategy: str, ttl: str) -> None:
    """Publish or replace one forecast: PNL in dollars, may be negative."""
    from stealer.model import finite_pnl, valid_strategy

    entry = Entry(
        0,
        app.ledger.classify(symbol)[0],
        valid_strategy(strategy),
        finite_pnl("pnl", pnl_value),
        valid_ttl(ttl),
    )
    _publish(app, entry, f"cli:{app.who}")
    if app.out.as_json:
        app.out.json({"published": [entry]})
    else:
        lives = f", for {span(entry.ttl)}" if entry.ttl else ""
        app.out.show(f"{entry.symbol} {entry.strategy}: {pnl(entry.pnl)}{lives}.")


@forecasts.command("load")
@common_options()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@pass_app
def load(app: App, file: Path) -> None:
    """Publish a CSV or JSON FILE (- is stdin) of at most 1 MB: symbol,strategy,pnl[,ttl].

    The whole file is checked first; nothing is published from a file with an error in it.
    """
    name = "stdin" if str(file) == "-" else str(file)
    data = _content(file, name)
    try:
        entries = read_file(name, data, app.ledger.classify)
    except BadFile as error:
        _say_problems(app, error)
        raise click.exceptions.Exit(2) from None
    for done, entry in enumerate(entries):
        try:
            _publish(app, entry, f"file:{Path(name).name}".replace(" ", "_"))
        except Exception:
            app.out.warn(f"{done} of {plural(len(entries), 'forecast')} published, then it failed")
            raise
    if app.out.as_json:
        app.out.json({"published": entries})
    else:
        app.out.show(f"{plural(len(entries), 'forecast')} published from {name}.")


def _content(file: Path, name: str) -> bytes:
    """What *file* holds, up to a bound. Raises click.UsageError."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "stdin" else file.open("rb") as source:
            data = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{name}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise click.UsageError(f"{name}: is larger than {MAX_BYTES:,} bytes")
    return data


def _say_problems(app: App, error: BadFile) -> None:
    shown = error.problems[:PROBLEMS_SHOWN]
    for problem in shown:
        click.echo(f"stealer: {printable(problem)}", err=True)
    rest = len(error.problems) - len(shown)
    more = f" ({plural(rest, 'more problem')} not shown)" if rest else ""
    click.echo(f"stealer: nothing was published{more}", err=True)


@forecasts.command()
@common_options()
@click.argument("symbol")
@STRATEGY
@pass_app
def remove(app: App, symbol: str, strategy: str) -> None:
    """Withdraw one forecast."""
    from stealer.model import valid_strategy

    name = app.ledger.classify(symbol)[0]
    member = f"{name}|{valid_strategy(strategy)}"
    known = app.ledger.read(lambda r: r.zscore(app.ledger.keys.forecasts, member)) is not None
    app.ledger.publish_forecast(name, strategy, None)
    if app.out.as_json:
        app.out.json({"symbol": name, "strategy": strategy, "removed": known})
    elif known:
        app.out.show(f"{name} {strategy}: withdrawn.")
    else:
        app.out.warn(f"{name} {strategy} had no forecast")
    if not known:
        raise click.exceptions.Exit(1)


def _publish(app: App, entry: Entry, source: str) -> None:
    app.ledger.publish_forecast(
        entry.symbol, entry.strategy, entry.pnl, ttl_seconds=entry.ttl, source=source
    )
