"""``stealer why``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.out import printable
from stealer.cli.views.why import Why
from stealer.cli.views.why import why as read_why
from stealer.cli.words import TIERS, percent, pnl, span
from stealer.model import valid_strategy


@click.command()
@common_options()
@click.argument("symbol")
@click.option("--strategy", default="", help="Only this strategy.")
@click.option("--side", type=click.Choice(["buy", "sell"]), help="Only this side.")
@pass_app
def why(app: App, symbol: str, strategy: str, side: str | None) -> None:
    """A watcher's last decision, when it was, and what would change it.

    SYMBOL in any form: BTC/USD, btcusd, AAPL.
    """
    if strategy:
        valid_strategy(strategy)
    found, out = read_why(app.ledger, symbol, strategy, side or ""), app.out
    if out.as_json:
        out.json({"watchers": found})
    elif not found:
        name = app.ledger.classify(symbol)[0]
        out.warn(
            f"nothing is known about {name}{f' {side}' if side else ''}"
            f"{f' with strategy {strategy}' if strategy else ''}: no decision, claim or forecast"
        )
    else:
        for index, one in enumerate(found):
            out.show(*([""] if index else []), screen(one))
    if not found:
        raise click.exceptions.Exit(1)


def screen(one: Why) -> RenderableType:
    """One watcher's answer; long sentences hang under their label."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in _lines(one):
        grid.add_row(f"  {label}", text)
    return Group(
        Text.assemble((printable(one.symbol), "bold"), printable(f" {one.side} {one.strategy}")),
        grid,
    )


def _lines(one: Why) -> Iterator[tuple[str, Text]]:
    yield _line("last", _decision(one))
    if one.watcher:
        yield _line("watcher", _watcher(one.watcher))
    if one.claim_id:
        yield _line("claim", f"{one.claim_id} ({one.claim_state})")
    rank = f"number {one.rank}" if one.rank else "no rank"
    yield _line("forecast", f"{pnl(one.pnl)} ({rank})" if one.pnl is not None else "none")
    tolerance = (
        "at any price" if one.tolerance_pct is None else f"within {percent(one.tolerance_pct)}"
    )
    yield _line(
        "tier", f"{TIERS.get(one.tier, one.tier)}, {tolerance} of its limit ({one.tier_reason})"
    )
    if one.bid is not None and one.ask is not None:
        far = f", {percent(one.distance)} from its limit" if one.distance is not None else ""
        yield _line("market", f"bid {one.bid:,.8g}, ask {one.ask:,.8g}{far}")
    for index, sentence in enumerate(one.changes):
        yield _line("to change" if index == 0 else "", sentence, "bold" if index == 0 else "")


def _decision(one: Why) -> str:
    last = one.decision
    if last.at_ms is None:
        return last.detail or "no decision recorded"
    reason = f" ({last.reason.replace('_', ' ')})" if last.reason else ""
    detail = f": {last.detail}" if last.detail else ""
    return f"{last.outcome}{reason} {span(last.age_seconds)} ago{detail}"


def _watcher(status: dict[str, Any]) -> str:
    """Where the watcher says it is: it may have asked for nothing, because of its order's form."""
    phase = str(status.get("phase", "?")).replace("_", " ")
    reason = f" ({str(status['reason']).replace('_', ' ')})" if status.get("reason") else ""
    detail = f": {status['detail']}" if status.get("detail") else ""
    return f"{phase}{reason}{detail}"


def _line(label: str, text: str, style: str = "") -> tuple[str, Text]:
    return label, Text(printable(text), style)
