"""``stealer cooldowns``, ``fights``, ``steals`` and ``audit``."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.text import Text

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.out import Column, printable
from stealer.cli.views import records as view
from stealer.cli.words import plural, span

#: How long one wait for the next steal lasts, in ms: less than the connection's own timeout.
FOLLOW_MS = 1_000

COUNT = click.IntRange(1, 100_000)


def _left(timer: view.Timer) -> str:
    return "for ever" if timer.seconds_left < 0 else span(timer.seconds_left)


@click.command()
@common_options()
@pass_app
def cooldowns(app: App) -> None:
    """Who cannot be stolen from, who may not steal back, and for how long.

    Deleting a key in redis-cli lifts it: DEL 'stealer:{ACCOUNT}:cooldown:SYMBOL'.
    """
    found, out = view.cooldowns(app.ledger), app.out
    if out.as_json:
        out.json(found)
        return
    if found.cooldowns:
        columns = [Column("left", "r"), Column("what", fold=True)]
        columns.append(Column("recorded", from_width=110, fold=True))
        out.show(out.table(columns, [(_left(t), t.says, t.text) for t in found.cooldowns]))
    else:
        out.show("No cooldown.")
    _problems(app, found.problems)


@click.command()
@common_options()
@pass_app
def fights(app: App) -> None:
    """Pairs that stole from each other too often, and those on the way there."""
    found, out = view.fights(app.ledger), app.out
    if out.as_json:
        out.json(found)
        return
    if found.fights:
        out.show(
            out.table(
                [Column("left", "r"), Column("what", fold=True)],
                [(_left(t), t.says) for t in found.fights],
            )
        )
    else:
        out.show("No fight.")
    for pair in found.pairs:
        ago = f", the latest {span(pair.latest_seconds_ago)} ago" if pair.latest_seconds_ago else ""
        out.show(
            f"{pair.who[0]} and {pair.who[1]}: {plural(pair.steals, 'steal')} in the last "
            f"{span(pair.window_seconds)}{ago}; more than {pair.threshold} are a fight."
        )
    _problems(app, found.problems)


@click.command()
@common_options()
@click.option("--count", type=COUNT, default=20, show_default=True, help="How many to begin with.")
@click.option("--follow", is_flag=True, help="Keep watching until Ctrl-C.")
@click.option("--dry-run", "dry", is_flag=True, help="What dry runs would have stolen.")
@pass_app
def steals(app: App, count: int, follow: bool, dry: bool) -> None:
    """The record of steals, the latest last. With --json and --follow, a line for each."""
    rows, out = view.steals(app.ledger, count, dry=dry), app.out
    if not follow:
        if out.as_json:
            out.json({"steals": rows})
        elif rows:
            out.show(*(steal_line(row) for row in rows))
        else:
            out.show("No steal yet.")
        return
    last = "0"
    try:
        while True:
            for row in rows:
                last = row.id
                if out.as_json:
                    out.json(row, line=True)
                else:
                    out.show(steal_line(row))
            rows = view.next_steals(app.ledger, last, FOLLOW_MS, dry=dry)
    except KeyboardInterrupt:
        return


def steal_line(row: view.Steal) -> Text:
    """One steal as a sentence."""
    pnls = [*row.victim_pnls, *[""] * len(row.victims)]
    victims = ", ".join(
        f"{name} ({worth})" if worth else name
        for name, worth in zip(row.victims, pnls, strict=False)
    )
    line = Text(printable(f"{row.at or row.id}  "), style="dim")
    line.append(printable(row.thief or "?"), style="bold not dim")
    line.append(printable(f" ({row.thief_pnl}) from {victims or '?'}"), style="not dim")
    line.append(printable(f"  {row.shortfall}"), style="dim")
    if row.fight:
        line.append("  FIGHT", style="bold red not dim")
    return line


@click.command()
@common_options()
@click.option("--count", type=COUNT, default=50, show_default=True, help="How many of the latest.")
@pass_app
def audit(app: App, count: int) -> None:
    """What operators did, and what keepers mended: when, who, what, why."""
    rows, out = view.audit(app.ledger, count), app.out
    if out.as_json:
        out.json({"audit": rows})
        return
    if not rows:
        out.show("Nothing yet.")
        return
    columns = [
        Column("at"), Column("who"), Column("what"), Column("why", fold=True),
        Column("claim", from_width=110, fold=True),
    ]  # fmt: skip
    out.show(out.table(columns, [(r.at or r.id, r.who, r.what, r.why, r.claim) for r in rows]))


def _problems(app: App, problems: Sequence[str]) -> None:
    for problem in problems:
        app.out.warn(problem)
