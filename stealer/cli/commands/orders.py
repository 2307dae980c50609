"""``stealer orders`` and ``stealer candidates``."""

from __future__ import annotations

import click
from rich.text import Text

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.out import Column
from stealer.cli.views.orders import Order, Orders, Victims
from stealer.cli.views.orders import orders as read_orders
from stealer.cli.views.orders import victims as read_victims
from stealer.cli.words import PROTECTIONS, TIERS, dollars, number, percent, plural, pnl, span

OPEN_COLUMNS = [
    Column("#", "r"),
    Column("symbol"),
    Column("side"),
    Column("qty", "r"),
    Column("limit", "r"),
    Column("PnL", "r"),
    Column("tier"),
    Column("dist", "r"),
    Column("protected"),
    Column("age", "r"),
    Column("strategy", from_width=90),
    Column("owner", from_width=110),
    Column("claim", from_width=180),
]

OTHER_COLUMNS = [
    Column("state"),
    Column("symbol"),
    Column("side"),
    Column("qty", "r"),
    Column("limit", "r"),
    Column("charged", "r"),
    Column("why", fold=True),
    Column("age", "r"),
    Column("strategy", from_width=100),
    Column("owner", from_width=120),
    Column("claim", from_width=180),
]


@click.command()
@common_options()
@click.option("--ids", is_flag=True, help="Also list every claim's id and fence.")
@pass_app
def orders(app: App, ids: bool) -> None:
    """Open orders, the best forecast first, and every other claim.

    "protected" says why nobody can steal an order now; a dash means it can be stolen. Wider
    terminals and pipes show more columns; --ids and --json everything.
    """
    view, out = read_orders(app.ledger), app.out
    if out.as_json:
        out.json(view)
        return
    if view.open:
        out.show(out.table(OPEN_COLUMNS, [_open_row(o) for o in view.open]))
    else:
        out.show("No open order.")
    if view.others:
        rows = [_other_row(o) for o in view.others]
        out.show("", out.table(OTHER_COLUMNS, rows, title="Other claims"))
    if ids and (view.open or view.others):
        out.show("")
        for o in (*view.open, *view.others):
            out.show(f"{o.symbol} {o.side} {o.strategy} {o.state}: {o.id} (fence {o.fence})")
    _problems(app, view)


def _open_row(o: Order) -> list[str | Text]:
    protection = PROTECTIONS.get(o.protection or "", o.protection or "")
    if o.protection is None:
        protection = "just ended"
    shown = Text(protection or "-", style="green" if protection else "dim")
    return [
        str(o.rank), o.symbol, o.side, number(o.qty), number(o.limit_price), pnl(o.pnl),
        TIERS.get(o.tier, o.tier), percent(o.distance), shown, span(o.age_seconds), o.strategy,
        o.owner, o.id,
    ]  # fmt: skip


def _other_row(o: Order) -> list[str | Text]:
    return [
        o.state, o.symbol, o.side, number(o.qty), number(o.limit_price), dollars(o.charged_micro),
        _reason(o), span(o.age_seconds), o.strategy, o.owner, o.id,
    ]  # fmt: skip


def _reason(o: Order) -> str:
    """Why a claim is not open, in a few words."""
    if o.state == "reserved":
        left = f", {span(o.deadline_seconds)} left" if o.deadline_seconds is not None else ""
        funded = o.charged_micro >= o.need_micro
        return ("funded" if funded else f"needs {dollars(o.need_micro)}") + left
    if o.state == "launching":
        late = o.deadline_seconds is not None and o.deadline_seconds < 0
        return "late: the keeper looks it up" if late else "being sent"
    if o.state == "evicting":
        return f"{o.cause or '?'}{f' by {o.by}' if o.by else ''}"
    return "fills not in a snapshot yet"


def _problems(app: App, view: Orders | Victims) -> None:
    unreadable = view.unreadable if isinstance(view, Orders) else ()
    for claim_id in unreadable:
        app.out.warn(f"claim {claim_id} cannot be read: fields are missing or spoiled")
    for problem in view.problems:
        app.out.warn(problem)


@click.command()
@common_options()
@click.argument("thief_symbol", default="")
@click.option("--limit", type=click.IntRange(1, 100_000), help="At most so many.  [default: all]")
@pass_app
def candidates(app: App, thief_symbol: str, limit: int | None) -> None:
    """Who would be stolen from, in order, and what protects the others.

    With THIEF_SYMBOL as that symbol meets them: also its cooldowns and fights count.
    """
    view, out = read_victims(app.ledger, thief_symbol, limit), app.out
    if out.as_json:
        out.json(view)
        return
    columns = [
        Column("order", "r"), Column("symbol"), Column("side"), Column("PnL", "r"),
        Column("frees", "r"), Column("dist", "r"), Column("protected by"),
        Column("strategy", from_width=80), Column("owner", from_width=110),
        Column("claim", from_width=140),
    ]  # fmt: skip
    rows: list[list[str | Text]] = []
    place = 0
    for c in view.candidates:
        place += not c.protection
        protection = PROTECTIONS.get(c.protection, c.protection)
        rows.append([
            str(place) if not c.protection else "",
            c.symbol, c.side, pnl(c.pnl), dollars(c.need - c.filled), percent(c.distance),
            Text(protection or "-", style="green" if protection else "dim"), c.strategy, c.owner,
            c.id,
        ])  # fmt: skip
    if rows:
        whom = f" by {view.thief}" if view.thief else ""
        out.show(out.table(columns, rows))
        out.show("", f"{place} of {plural(len(rows), 'open order')} could be stolen{whom} now.")
    else:
        out.show("No open order, so nothing to steal.")
    _problems(app, view)
