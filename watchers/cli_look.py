"""``watchers list`` and ``watchers logs``: what the watchers of an account do, on all hosts.

Loads rich, which no watcher needs: imported only when one of these is called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.text import Text

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.group import NOT_DONE
from stealer.cli.out import Column, Out, printable
from stealer.cli.words import TIERS, percent, plural, pnl, span
from watchers.listing import Watcher, following, listing, matching, transitions
from watchers.status import Phase, for_programs

#: Seconds between two questions for new transitions.
FOLLOW_SECONDS = 0.5

_COLUMNS = [
    Column("watcher"),
    Column("symbol", from_width=100),
    Column("side", from_width=100),
    Column("phase"),
    Column("tier", from_width=120),
    Column("distance", "r"),
    Column("PnL", "r"),
    Column("filled", "r"),
    Column("since", "r"),
    Column("where", from_width=120),
    Column("ticket", from_width=160),
    Column("seen", "r"),
]


@click.command("list")
@common_options(shown=True)
@click.option("--phase", type=click.Choice([p.value for p in Phase]), help="Only those in it.")
@click.option("--host", metavar="NAME", help="Only those of one host; without it, of all.")
@pass_app
def list_watchers(app: App, phase: str | None, host: str | None) -> None:
    """Every watcher of the account, on all hosts, by what it last reported.

    One that should have reported again by now is marked as silent: it has crashed, or its host
    cannot reach Redis. Reports of crashed watchers are kept for an hour.
    """
    found, out = listing(app.ledger), app.out
    shown = [w for w in found.watchers if phase in (None, w.phase) and host in (None, w.host)]
    for problem in found.problems:
        out.warn(problem)
    if out.as_json:
        out.json({"watchers": [record(w) for w in shown]})
    elif shown:
        show(out, shown)
        out.show("", _summary(shown))
    else:
        out.show("No such watcher." if found.watchers else "No watcher reports to this account.")


def record(watcher: Watcher) -> dict[str, Any]:
    """For programs."""
    return {**asdict(watcher), "silent": watcher.silent, "ended": watcher.ended}


def show(out: Out, watchers: Sequence[Watcher]) -> None:
    """The table."""
    out.show(out.table(_COLUMNS, [_row(w) for w in watchers]))


def _row(w: Watcher) -> list[str | Text]:
    side = w.side if w.kind == "entry" else f"{w.side} {w.kind}"
    where = f"{w.host}:{w.pid}"
    filled = f"{w.filled_qty or '?'}/{w.target_qty or '?'}"
    return [
        w.name,
        w.symbol,
        side,
        _phase(w),
        TIERS.get(w.tier, w.tier),
        percent(w.distance_pct),
        pnl(w.pnl),
        filled,
        span(w.since_seconds),
        where,
        w.ticket,
        _seen(w),
    ]


def _phase(w: Watcher) -> Text:
    words = w.phase.replace("_", " ")
    # A wait for its price says the tier as its reason, which has a column of its own.
    if w.reason and w.reason != w.tier:
        words += f" ({w.reason.replace('_', ' ')})"
    styles = {"open": "green", "blocked": "yellow", "impossible": "red"}
    return Text(printable(words), style="dim" if w.silent else styles.get(w.phase, ""))


def _seen(w: Watcher) -> Text:
    if w.silent:
        return Text(f"silent {span(w.seen_seconds)}, crashed?", style="bold red")
    return Text("ended" if w.ended else span(w.seen_seconds))


def _summary(watchers: Sequence[Watcher]) -> str:
    counts = Counter("silent" if w.silent else w.phase.replace("_", " ") for w in watchers)
    parts = ", ".join(f"{n} {what}" for what, n in counts.most_common())
    return f"{plural(len(watchers), 'watcher')}: {parts}"


@click.command("logs")
@common_options(shown=True)
@click.argument("who", metavar="[NAME|TICKET|FLEET|SYMBOL]", default="")
@click.option("-n", "--count", type=click.IntRange(1, 100_000), default=50, show_default=True,
              help="How many of the latest.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Keep watching until Ctrl-C.")
@pass_app
@click.pass_context
def logs(ctx: click.Context, app: App, who: str, count: int, follow: bool) -> None:
    """What watchers went through, the latest last: each change of phase or reason, on all hosts.

    Kept in the account's Redis, about the latest 10,000 of all watchers. With --json and --follow,
    a line for each. The same with redis-cli: XREVRANGE 'stealer:{ACCOUNT}:transitions' + - COUNT 5

    Exit codes: 0 done, 1 no watcher is called so, and none was (with --follow it may come).
    """
    rows, out = transitions(app.ledger, who, count), app.out
    if out.as_json and not follow:
        out.json({"transitions": [_record(row_id, fields) for row_id, fields in rows]})
    else:
        for row_id, fields in rows:
            _say(out, row_id, fields)
    known = rows or follow or not who or matching(listing(app.ledger).watchers, who, app.ledger)
    if not known:
        click.echo(f"watchers: {nobody(who)}; nothing is recorded of one either", err=True)
        ctx.exit(NOT_DONE)
    if not rows and not out.as_json:
        about = f" about {printable(who)}" if who else ""
        click.echo(f"watchers: nothing is recorded{about} yet", err=True)
    if follow:
        _follow(app, who, rows[-1][0] if rows else "0")


def _follow(app: App, who: str, last: str) -> None:
    """Say what comes after the entry *last*, until Ctrl-C."""
    try:
        for row_id, fields in following(app.ledger, who, last, FOLLOW_SECONDS):
            _say(app.out, row_id, fields)
    except KeyboardInterrupt:
        return


def nobody(who: str) -> str:
    """That nobody is meant by *who*."""
    return (
        f"no watcher is called {printable(who)!r}, by name, ticket, fleet or symbol: "
        "`watchers list` shows all"
    )


def _record(row_id: str, fields: dict[str, str]) -> dict[str, Any]:
    return {"id": row_id, **for_programs(fields)}


def _say(out: Out, row_id: str, fields: dict[str, str]) -> None:
    if out.as_json:
        out.json(_record(row_id, fields), line=True)
    else:
        out.show(_line(row_id, fields))


def _line(row_id: str, fields: dict[str, str]) -> Text:
    """One transition as a sentence."""
    get = fields.get
    line = Text(printable(f"{get('at') or row_id}  "), style="dim")
    line.append(printable(get("watcher") or "?"), style="bold not dim")
    phase = get("phase", "?").replace("_", " ")
    reason = f" ({get('reason')})" if get("reason") else ""
    line.append(printable(f" {get('symbol', '?')} {get('side', '')} {phase}{reason}"), "not dim")
    line.append(printable(f", filled {get('filled', '?')} of {get('target', '?')}"), "not dim")
    if get("detail"):
        line.append(printable(f" - {get('detail')}"), style="not dim")
    was = get("was", "").replace("_", " ")
    line.append(printable(f"; {was} for {_elapsed(get('elapsed', ''))}"))
    return line


def _elapsed(text: str) -> str:
    try:
        seconds = float(text)
    except ValueError:
        return "?"
    return f"{seconds:.1f}s" if 0 <= seconds < 10 else span(min(seconds, 1e9))
