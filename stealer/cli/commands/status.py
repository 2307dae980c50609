"""``stealer status``."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
from rich.console import Group, RenderableType
from rich.text import Text

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.floats import FiniteRange
from stealer.cli.out import Column, Out, printable
from stealer.cli.views.account import Account, ApiWindow, Pool, account
from stealer.cli.words import dollars, money, plural, pnl, span

#: Cells of a capacity bar, narrow and wide, and the width from which it is wide.
BAR, WIDE_BAR, WIDE = 16, 40, 110


@click.command()
@common_options()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option(
    "--interval",
    type=FiniteRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between refreshes.",
)
@pass_app
def status(app: App, watch: bool, interval: float) -> None:
    """Is all well? Capacity per pool, the broker's own figures, keeper, session, counters.

    Capacity is free when it is neither held by positions, nor by foreign orders, nor charged for
    claims. With --watch and --json, one line of JSON for each refresh.
    """
    if not watch:
        view = account(app.ledger)
        _say(app.out, view)
        return
    _watch(app, interval)


def _say(out: Out, view: Account, *, line: bool = False) -> None:
    if out.as_json:
        out.json(view, line=line)
    else:
        out.show(screen(out, view))


def _watch(app: App, interval: float) -> None:
    """Refresh in place on a terminal, one after the other in a pipe."""
    if app.out.as_json or not app.out.terminal:
        try:
            while True:
                _say(app.out, account(app.ledger), line=True)
                time.sleep(interval)
        except KeyboardInterrupt:
            return
    from rich.live import Live

    first = screen(app.out, account(app.ledger))
    with Live(first, console=app.out.console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(_refreshed(app), refresh=True)
        except KeyboardInterrupt:
            return


def _refreshed(app: App) -> RenderableType:
    """The next screen; a Redis that is away for a while is said, not the end of watching."""
    from stealer.errors import StealerError

    try:
        return screen(app.out, account(app.ledger))
    except StealerError as error:
        return Text(str(error), style="bold red")


def screen(out: Out, view: Account) -> RenderableType:
    """The whole of it."""
    return Group(
        *_head(view),
        Text(),
        _pools(out, view),
        Text(),
        _broker(out, view),
        Text(),
        *_activity(view),
        *_warnings(view),
    )


def _head(view: Account) -> Iterator[Text]:
    line = Text.assemble(("account ", "dim"), (view.account, "bold"), ("  on ", "dim"), view.redis)
    yield line
    yield Text("  ").join(_trust(view))
    yield Text("  ").join(_running(view))
    if view.keeper:
        yield _streams(view)


def _trust(view: Account) -> list[Text]:
    """May anything be opened now?"""
    words = []
    if view.halted:
        words.append(Text(f"HALTED: {printable(view.halted)}", style="bold red"))
    if view.certified:
        words.append(Text(f"certified (epoch {view.epoch})", style="green"))
    else:
        words.append(Text("NOT CERTIFIED: nothing is opened until a keeper did", style="bold red"))
    if view.age_seconds is None:
        words.append(Text("no account snapshot yet", style="bold red"))
    else:
        allowed = f"{span(view.age_seconds)} old, {span(view.stale_after_seconds)} allowed"
        fresh = "account fresh" if view.fresh else "account STALE"
        words.append(Text(f"{fresh} ({allowed})", style="green" if view.fresh else "bold red"))
    if view.no_steal_seconds > 0:
        words.append(Text(f"no steals for {span(view.no_steal_seconds)}", style="yellow"))
    return words


def _running(view: Account) -> list[Text]:
    """Who runs, and when the market opens."""
    if view.keeper:
        left = span(view.keeper_seconds_left)
        keeper = Text(f"keeper {printable(view.keeper)} (term {view.term}, lease {left})")
    else:
        keeper = Text("no keeper", style="bold red")
    now = view.session
    market = Text("session unknown", style="yellow")
    if now.known:
        left = f" for {span(now.seconds_left)}" if now.seconds_left is not None else ""
        market = Text(f"stocks {'open' if now.is_open else 'closed'}{left}")
    return [keeper, market]


def _streams(view: Account) -> Text:
    """What the keeper hears by; whatever it does not hear it polls."""
    line = Text("streams ", style="dim")
    if not view.streams:
        return line.append("none: the keeper polls", style="yellow")
    for number, stream in enumerate(view.streams):
        line.append(", " if number else "").append(f"{printable(stream.name)} ")
        if stream.connected_seconds is None:
            line.append("DOWN", style="bold red")
        else:
            line.append(f"up {span(stream.connected_seconds)}", style="green")
        if stream.heard_seconds is not None:
            line.append(f" (heard {span(stream.heard_seconds)} ago)")
    return line


def _bar(pool: Pool, cells: int) -> Text:
    """Positions, foreign and charged as parts of the limit."""
    limit = max(pool.limit_micro, 1)
    bar, used = Text(), 0
    parts = (
        (pool.positions_micro, "█", "blue"),
        (pool.foreign_micro, "▓", "magenta"),
        (pool.charged_micro, "▒", "cyan"),
    )
    reached = 0
    for amount, letter, style in parts:
        reached += max(amount, 0)
        upto = min(round(reached / limit * cells), cells)
        bar.append(letter * max(upto - used, 0), style=style)
        used = max(used, upto)
    return bar.append("·" * (cells - used), style="dim")


def _pools(out: Out, view: Account) -> RenderableType:
    columns = [Column("pool")] + [
        Column(name, "r") for name in ("limit", "positions", "foreign", "charged", "free")
    ]
    columns += [Column("used", "r"), Column("█ positions ▓ foreign ▒ charged", from_width=WIDE)]
    wide = out.width >= WIDE
    rows: list[list[str | Text]] = []
    for pool in view.pools:
        free = Text(dollars(pool.free_micro), style="bold red" if pool.free_micro < 0 else "bold")
        amounts = (
            pool.limit_micro, pool.positions_micro, pool.foreign_micro, pool.charged_micro
        )  # fmt: skip
        rows.append([
            pool.name, *(dollars(a) for a in amounts), free, f"{pool.used:.0%}",
            _bar(pool, WIDE_BAR),
        ])  # fmt: skip
    table = out.table(columns, rows)
    if wide:
        return table
    bars = [Text.assemble(f"{p.name:<7}", _bar(p, 70 - BAR)) for p in view.pools]
    legend = Text("       █ positions  ▓ foreign  ▒ charged  · free", style="dim")
    return Group(table, *bars, legend)


def _broker(out: Out, view: Account) -> RenderableType:
    columns = [Column("broker"), Column("figure", "r"), Column("charged since", "r")]
    columns.append(Column("room", "r"))
    rows: list[list[str | Text]] = [
        [
            b.name,
            dollars(b.figure_micro),
            dollars(b.charged_since_micro),
            Text(dollars(b.room_micro), style="bold red" if b.room_micro < 0 else "bold"),
        ]
        for b in view.broker
    ]
    return out.table(columns, rows)


def _line(label: str, text: str, style: str = "") -> Text:
    shown = Text.assemble((f"{label:<10}", "dim"), (printable(text), style))
    shown.overflow = "fold"
    return shown


def _activity(view: Account) -> Iterator[Text]:
    claims = ", ".join(f"{count:,} {state}" for state, count in view.claims.items() if count)
    yield _line("claims", claims or "none")
    yield _line(
        "watchers",
        f"{plural(view.watchers, 'watcher')} reporting" if view.watchers else "none reporting",
    )
    shown = ", ".join(
        f"{w.slot.replace('|', ' ')} ({pnl(w.pnl)}, {money(w.need_micro)})"
        for w in view.waiters[:4]
    )
    more = f" and {len(view.waiters) - 4} more" if len(view.waiters) > 4 else ""
    yield _line("waiting", (shown + more) or "nobody")
    for window in view.api:
        yield _api(window)
    waits = [f"{w.who} {w.call} {span(w.seconds_left)}" for w in view.api_waiting]
    if waits:
        more = f" and {len(waits) - 4} more" if len(waits) > 4 else ""
        yield _line("api waits", ", ".join(waits[:4]) + more, "yellow")
    counted = view.counters
    steals, tried = counted["work_steal_success_total"], counted["work_steal_attempts_total"]
    fights = counted["work_steal_fights_detected"]
    yield _line(
        "steals",
        f"{tried:,} attempted, {steals:,} made, {plural(fights, 'fight')} detected, "
        f"{counted['orders_protected_total']:,} times an order was protected",
    )
    yield _line("granted", f"{counted['granted_total']:,}")
    denied = sorted(view.denied.items(), key=lambda item: (-item[1], item[0]))
    yield _line("denied", ", ".join(f"{count:,} {name}" for name, count in denied) or "never")


def _api(window: ApiWindow) -> Text:
    """One budget of requests."""
    if not window.known:
        return _line("api", f"{window.interface}: the broker has not said yet how much it takes")
    if window.held_seconds:
        held = f"{window.interface}: REFUSED (429), nothing is sent for {span(window.held_seconds)}"
        return _line("api", held, "bold red")
    if not window.limit:
        return _line("api", f"{window.interface}: no limit")
    words = f"{window.interface}: {window.left:,} of {window.limit:,} requests left"
    if window.reset_seconds is not None:
        words += f", reset in {span(window.reset_seconds)}"
    return _line("api", words, "" if window.left else "yellow")


def _warnings(view: Account) -> Iterator[Text]:
    if view.dry_run:
        yield _line("note", "this host runs dry: it opens nothing", "yellow")
    if not view.enabled:
        yield _line("note", "work stealing is switched off; capacity still gates", "yellow")
    for name, both in view.drift.items():
        yield _line(
            "drift", f"{name} is {both['here']} here, {both['account']} for the account", "yellow"
        )
    for problem in view.problems:
        yield _line("problem", problem, "bold red")
