"""``stealer halt`` and ``stealer resume``: the kill switch."""

from __future__ import annotations

import click

from stealer.cli.context import App, common_options, pass_app


@click.command()
@common_options()
@click.option("--why", default="", metavar="TEXT", help="For the audit stream and every refusal.")
@pass_app
def halt(app: App, why: str) -> None:
    """Stop all new orders of the account, on every host, at once.

    Nothing is acquired or launched until `stealer resume`. Open orders stay as they are.
    """
    reason = " ".join(why.split()) or "no reason given"
    before = app.ledger.halt(reason, app.who)
    if app.out.as_json:
        app.out.json({"halted": True, "reason": reason, "before": before, "who": app.who})
        return
    app.out.show(f"Halted: {reason}. Open orders stay; nothing new is opened.")
    if before:
        app.out.show(f"It was halted before: {before}.")


@click.command()
@common_options()
@pass_app
def resume(app: App) -> None:
    """Allow new orders again. It is no error if nothing was halted."""
    before = app.ledger.halt("", app.who)
    if app.out.as_json:
        app.out.json({"halted": False, "before": before, "who": app.who})
    elif before:
        app.out.show(f"Resumed. It was halted: {before}.")
    else:
        app.out.show("It was not halted.")
