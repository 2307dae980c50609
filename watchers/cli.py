"""``watchers``: entry watchers from the command line."""

from __future__ import annotations

import json
import logging
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stealer import __version__
from stealer.broker.interface import BrokerError
from stealer.errors import LedgerMisconfigured, StealerError
from stealer.model import (
    InvalidIntent,
    OrderIntent,
    canonical_symbol,
    decimal_text,
    positive_decimal,
    valid_strategy,
)
from stealer.printable import log_to_stderr as log_lines
from stealer.printable import printable
from stealer.settings import Settings, SettingsError, refuse_secret_option
from watchers.plan import Plan, PlanEntry, PlanError, load_plan
from watchers.plan_exit import PlanExit

if TYPE_CHECKING:
    from rich.table import Table

log = logging.getLogger(__name__)

#: Exit codes: done or stopped, could not be done, bad input, Redis, broker.
OK, FAILED, USAGE, REDIS, BROKER = 0, 1, 2, 3, 4

_PHASE_CODES = {"done": OK, "stopped": OK, "expired": FAILED}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 target filled (an exit: all sold) or stopped, 1 expired before that (in "
    "a plan: any entry expired, gave up or was killed), 2 bad input or plan, or an order that the "
    "broker would never take, 3 Redis, 4 broker.",
)
@click.version_option(__version__)
def main() -> None:
    """Watchers: processes that each want one limit order open, an entry's or an exit's."""


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--account, --redis-url, --dry-run and --verbose, for every command that trades."""
    for option in (
        click.option("--account", help="Account name in Redis  [STEALER_ACCOUNT, default paper]"),
        click.option("--redis-url", help="Redis address  [REDIS_URL]"),
        click.option("--dry-run", is_flag=True, default=None, help="Decide and log; open nothing."),
        click.option("-v", "--verbose", is_flag=True, help="Also log every detail."),
    ):
        command = option(command)
    return command


def log_to_stderr(verbose: bool, name: str = "") -> None:
    """One line a transition on stderr."""
    label = f"{name} " if name else ""
    log_lines(
        f"%(asctime)s {label}%(levelname).1s %(message)s",
        logging.DEBUG if verbose else logging.INFO,
        force=True,
    )
    for noisy in ("urllib3", "alpaca"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def exit_with(error: Exception) -> int:
    """Say *error* in one sentence on stderr; the exit code for it."""
    lines = [printable(line) for line in str(error).split("\n")]
    click.echo("\n".join(["watchers: " + lines[0], *lines[1:]]), err=True)
    if isinstance(error, SettingsError | InvalidIntent | PlanError):
        return USAGE
    if isinstance(error, BrokerError):
        return BROKER
    return REDIS if isinstance(error, StealerError) else FAILED


@main.command("open-position")
@click.argument("symbol")
@click.option("--side", type=click.Choice(["buy", "sell"]), default="buy", show_default=True)
@click.option("--limit-price", required=True, help="Limit of the entry, in dollars.")
@click.option("--target-qty", required=True, help="Units wanted in all; partial fills count.")
@click.option(
    "--forecast-pnl",
    help="Forecast profit in dollars, by which entries are ranked. Without it the published "
    "forecast counts (stealer forecasts set).",
)
@click.option("--strategy", default="maxdiff", show_default=True)
@click.option(
    "--mode",
    type=click.Choice(["normal", "probe"]),
    default="normal",
    show_default=True,
    help="A probe's order is never stolen from.",
)
@click.option(
    "--tolerance-pct",
    type=float,
    help="Enter within this fraction of the limit (0.0066 is 0.66 %) instead of the tolerance of "
    "the session and tier.",
)
@click.option("--expiry-minutes", type=float, default=1440.0, show_default=True)
@click.option("--poll-seconds", type=float, default=2.0, show_default=True)
@click.option("--force-immediate", is_flag=True, help="Open at once, however far the price is.")
@click.option(
    "--time-in-force",
    type=click.Choice(["day", "gtc", "ioc"]),
    help="How long the order lives at the broker: day or gtc for stocks, gtc or ioc for crypto.  "
    "[default: day for stocks, gtc for crypto]",
)
@click.option(
    "--extended-hours",
    is_flag=True,
    help="Also in the hours before the stock market opens and after it closes: day orders only.",
)
@click.option(
    "--ticket",
    help="Name of this task: started again under it, the watcher goes on with what is filled "
    "already. Default: a new one.",
)
@account_options
def open_position(
    symbol: str,
    side: str,
    limit_price: str,
    target_qty: str,
    forecast_pnl: str | None,
    strategy: str,
    mode: str,
    tolerance_pct: float | None,
    expiry_minutes: float,
    poll_seconds: float,
    force_immediate: bool,
    time_in_force: str | None,
    extended_hours: bool,
    ticket: str | None,
    account: str | None,
    redis_url: str | None,
    dry_run: bool | None,
    verbose: bool,
) -> None:
    """Keep a limit entry order of SYMBOL open, when capacity and price allow, until it fills.

    SYMBOL is a stock like AAPL or a crypto pair like BTC/USD.
    """
    from watchers.process import run_entry
    from watchers.task import EntryTask

    log_to_stderr(verbose)
    try:
        settings = _settings(account, redis_url, dry_run)
        intent = OrderIntent(
            symbol,
            side,
            target_qty,
            limit_price,
            strategy,
            forecast_pnl if forecast_pnl is not None else 0.0,
            mode,
            force_immediate,
            time_in_force or "",
            extended_hours,
        )
        task = EntryTask(
            intent,
            tolerance_pct,
            expiry_minutes * 60,
            poll_seconds,
            ticket or f"{intent.symbol}-{secrets.token_hex(4)}",
            offers_forecast=forecast_pnl is not None,
        )
        phase = run_entry(task, settings)
    except (SettingsError, InvalidIntent, StealerError, BrokerError, LedgerMisconfigured) as error:
        sys.exit(exit_with(error))
    sys.exit(_PHASE_CODES[phase.value])


@main.command("close-position")
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
    account: str | None,
    redis_url: str | None,
    dry_run: bool | None,
    verbose: bool,
) -> None:
    """Keep a take-profit order of SYMBOL at the broker for what an entry filled.

    Follows partial fills, is never stolen from, and needs no capacity; it never closes more than is
    there. `stealer halt` does not stop it. On SIGTERM and Ctrl-C the order stays at the broker: a
    watcher that starts again under the same ticket adopts it.
    """
    from watchers.exit_task import ExitTask, Position, valid_ticket
    from watchers.process import run_exit

    log_to_stderr(verbose)
    try:
        settings = _settings(account, redis_url, dry_run)
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
        phase = run_exit(task, settings)
    except (SettingsError, InvalidIntent, StealerError, BrokerError, LedgerMisconfigured) as error:
        sys.exit(exit_with(error))
    sys.exit(_PHASE_CODES[phase.value])


def _settings(account: str | None, redis_url: str | None, dry_run: bool | None) -> Settings:
    """The environment's settings with the options over them; says what they warn of.

    :raises SettingsError: one of them cannot be.
    """
    refuse_secret_option(redis_url)
    settings = Settings.from_env(account=account, redis_url=redis_url, dry_run=dry_run)
    for warning in settings.warnings:
        log.warning("%s", warning)
    return settings


PLAN_FILE = click.Path(dir_okay=False, path_type=Path)


@main.command("run")
@click.argument("plan", type=PLAN_FILE)
@click.option(
    "--stop-seconds",
    type=click.FloatRange(1, 3600),
    help="How long a stop may take before processes are killed.  [default: 20]",
)
@account_options
def run(
    plan: Path,
    stop_seconds: float | None,
    account: str | None,
    redis_url: str | None,
    dry_run: bool | None,
    verbose: bool,
) -> None:
    """Run all entries of the file PLAN, and their exits, each in a process of its own.

    What crashes is started again, later each time. SIGTERM and Ctrl-C stop all and take the orders
    of entries back; take-profit orders stay. An edited PLAN is followed by itself, and at once on
    SIGHUP: removed entries stop, added ones start, changed ones start again under the same ticket.
    A broken edit changes nothing.

    Exit codes: 0 all done or stopped, 1 some expired, gave up or had to be killed, 2 bad plan or
    settings, 3 Redis address, 4 broker keys or address.
    """
    from watchers.fleet import STOP_SECONDS
    from watchers.process import run_plan

    log_to_stderr(verbose)
    try:
        settings = _settings(account, redis_url, dry_run)
        code = run_plan(
            plan,
            settings,
            label=lambda name: log_to_stderr(verbose, name),
            stop_seconds=stop_seconds or STOP_SECONDS,
        )
    except (SettingsError, PlanError, LedgerMisconfigured, BrokerError) as error:
        sys.exit(exit_with(error))
    sys.exit(code)


@main.command("check")
@click.argument("plan", type=PLAN_FILE)
@click.option("--json", "as_json", is_flag=True, help="For programs, also the mistakes.")
def check(plan: Path, as_json: bool) -> None:
    """Check the file PLAN and show what it asks for. Contacts nothing.

    Exit codes: 0 a good plan, 2 a bad one: every mistake is said.
    """
    try:
        found = load_plan(plan, Settings.from_env().crypto_symbols)
    except (SettingsError, PlanError) as error:
        problems = list(error.problems) if isinstance(error, PlanError) else [str(error)]
        if as_json:
            click.echo(json.dumps({"ok": False, "problems": problems}, indent=2))
        else:
            for problem in problems:
                click.echo(printable(problem), err=True)
        sys.exit(USAGE)
    if as_json:
        exits = {leaves.entry: leaves for leaves in found.exits}
        entries = [_entry_record(entry, exits.get(entry.name)) for entry in found.entries]
        click.echo(json.dumps({"ok": True, "fleet": found.fleet, "entries": entries}, indent=2))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(_plan_table(found))


def _entry_record(entry: PlanEntry, leaves: PlanExit | None) -> dict[str, Any]:
    """One entry as plain values; numbers that must stay exact are text."""
    task, intent = entry.task, entry.task.intent
    return {
        "name": entry.name,
        "symbol": intent.symbol,
        "side": intent.side,
        "limit_price": decimal_text(intent.limit_price),
        "target_qty": decimal_text(intent.qty),
        "forecast_pnl": intent.forecasted_pnl if task.offers_forecast else None,
        "strategy": intent.strategy,
        "mode": intent.mode,
        "tolerance_pct": task.tolerance_pct,
        "expiry_minutes": task.expiry_seconds / 60,
        "poll_seconds": task.poll_seconds,
        "force_immediate": intent.force_immediate,
        "time_in_force": intent.time_in_force or None,
        "extended_hours": intent.extended_hours,
        "ticket": task.ticket,
        "exit_limit_price": decimal_text(leaves.task.limit_price) if leaves else None,
    }


def _plan_table(plan: Plan) -> Table:
    from rich import box
    from rich.table import Table

    dollars = sum(e.task.intent.qty * e.task.intent.limit_price for e in plan.entries)
    table = Table(
        title=f"fleet {plan.fleet}: {len(plan.entries)} entries, {dollars:,.2f} dollars in all",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for header in ("entry", "symbol", "side", "limit", "qty", "dollars", "PnL", "expiry", "notes"):
        right = header in ("limit", "qty", "dollars", "PnL", "expiry")
        table.add_column(header, justify="right" if right else "left")
    exits = {leaves.entry: decimal_text(leaves.task.limit_price) for leaves in plan.exits}
    for entry in plan.entries:
        task, intent = entry.task, entry.task.intent
        notes = [intent.mode] if intent.mode != "normal" else []
        notes += ["force_immediate"] if intent.force_immediate else []
        notes += [intent.time_in_force] if intent.time_in_force else []
        notes += ["extended_hours"] if intent.extended_hours else []
        if task.tolerance_pct is not None:
            notes.append(f"within {task.tolerance_pct * 100:g} %")
        notes += [f"exit at {exits[entry.name]}"] if entry.name in exits else []
        table.add_row(
            entry.name,
            intent.symbol,
            intent.side,
            decimal_text(intent.limit_price),
            decimal_text(intent.qty),
            f"{intent.qty * intent.limit_price:,.2f}",
            f"{intent.forecasted_pnl:g}" if task.offers_forecast else "published",
            f"{task.expiry_seconds / 60:g} min",
            " ".join(notes),
        )
    return table
