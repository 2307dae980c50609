"""``watchers close-position``: one exit from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stealer.model import InvalidIntent, canonical_symbol, positive_decimal, valid_strategy
from watchers.cli_shared import (
    FILE,
    PHASE_CODES,
    account_options,
    ending_with_a_sentence,
    log_to_stderr,
    settings_of,
    status_file,
)


@click.command("close-position")
@click.argument("symbol")
@click.option("--limit-price", required=True, help="Limit of the take-profit order, in dollars.")
@click.option(
    "--entry",
    metavar="TICKET",
    help="Follow this entry: close what it has filled, and what it fills from now on. In a plan "
    "the ticket is FLEET/NAME unless the entry says another.",
)
@click.option("--qty", help="Close so many units of a position that is there; needs --ticket.")
@click.option(
    "--ticket",
    help="With --qty: name of this exit. Started again under it, the watcher goes on with what it "
    "has closed already.",
)
@click.option(
    "--position",
    type=click.Choice(["long", "short"]),
    default="long",
    show_default=True,
    help="What is closed: a long position by selling, a short one by buying.",
)
@click.option("--strategy", default="maxdiff", show_default=True, help="Of the entry.")
@click.option(
    "--time-in-force",
    type=click.Choice(["day", "gtc"]),
    help="How long an order lives at the broker. A day order is sent anew in the next session; "
    "crypto takes gtc only.  [default: day for stocks, gtc for crypto]",
)
@click.option(
    "--extended-hours",
    is_flag=True,
    help="Also in the hours before the stock market opens and after it closes: day orders only.",
)
@click.option("--expiry-minutes", type=float, help="Take the order back then.  [default: never]")
@click.option("--poll-seconds", type=float, default=2.0, show_default=True)
@click.option(
    "--cancel-on-stop",
    is_flag=True,
    help="Take the order back on SIGTERM and Ctrl-C. Without it the order stays at the broker.",
)
@click.option(
    "--config-path",
    type=FILE,
    metavar="FILE",
    help="Keep task and status in this file as well, as JSON.",
)
@account_options
def close_position(
    symbol: str,
    limit_price: str,
    entry: str | None,
    qty: str | None,
    ticket: str | None,
    position: str,
    strategy: str,
    time_in_force: str | None,
    extended_hours: bool,
    expiry_minutes: float | None,
    poll_seconds: float,
    cancel_on_stop: bool,
    config_path: Path | None,
    account: str | None,
    redis_url: str | None,
    dry_run: bool | None,
    verbose: bool,
    log_format: str,
) -> None:
    """Keep a take-profit order of SYMBOL at the broker for what an entry filled.

    Follows partial fills, is never stolen from, and needs no capacity; it never closes more than is
    there. `stealer halt` does not stop it. On SIGTERM and Ctrl-C the order stays at the broker: a
    watcher that starts again under the same ticket adopts it.
    """
    from watchers.exit_task import ExitTask, Position, valid_ticket
    from watchers.process import run_exit

    log_to_stderr(verbose, log_format)
    with ending_with_a_sentence():
        settings = settings_of(account, redis_url, dry_run)
        name = "ticket" if entry is None else "entry"
        paired = (entry is None) != (qty is None) and (qty is None) == (ticket is None)
        task = ExitTask(
            canonical_symbol(symbol, settings.crypto_symbols),
            positive_decimal("limit-price", limit_price),
            valid_ticket(name, next((t for t in (entry, ticket) if t is not None), "-")),
            Position(position),
            valid_strategy(strategy),
            None if qty is None else positive_decimal("qty", qty),
            time_in_force=time_in_force or "",
            extended_hours=extended_hours,
            poll_seconds=poll_seconds,
            expiry_seconds=None if expiry_minutes is None else expiry_minutes * 60,
            cancel_on_stop=cancel_on_stop,
        )
        if not paired:
            raise InvalidIntent("give either --entry TICKET, or --qty N with --ticket NAME")
        file = status_file(config_path, {"name": f"{task.symbol}.exit", **task.record()})
        phase = run_exit(task, settings, status_file=file)
    sys.exit(PHASE_CODES[phase.value])
