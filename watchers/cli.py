"""``watchers``: entry watchers from the command line."""

from __future__ import annotations

import json
import logging
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stealer import __version__
from stealer.cli.floats import FiniteRange
from stealer.model import (
    OrderIntent,
    decimal_text,
)
from stealer.printable import printable
from stealer.settings import Settings, SettingsError
from watchers.cli_exit import close_position
from watchers.cli_group import WatchersGroup
from watchers.cli_shared import (
    FILE,
    PHASE_CODES,
    USAGE,
    account_options,
    ending_with_a_sentence,
    log_to_stderr,
    settings_of,
    status_file,
)
from watchers.plan import Plan, PlanError, load_plan

if TYPE_CHECKING:
    from rich.table import Table

log = logging.getLogger(__name__)


@click.group(
    cls=WatchersGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 target filled (an exit: all sold) or stopped, 1 expired before that (in "
    "a plan: any entry expired, gave up or was killed), 2 bad input or plan, or an order that the "
    "broker would never take, 3 Redis, 4 broker. list, logs and stop: 0 done, 1 a watcher has not "
    "stopped or there is none of that name.",
)
@click.version_option(__version__)
def main() -> None:
    """Watchers: processes that each want one limit order open, an entry's or an exit's."""


main.add_command(close_position)


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
@click.option(
    "--config-path",
    type=FILE,
    help="Keep the watcher's task and status in this JSON file as well, replaced at each change.",
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
    config_path: Path | None,
    account: str | None,
    redis_url: str | None,
    dry_run: bool | None,
    verbose: bool,
    log_format: str,
) -> None:
    """Keep a limit entry order of SYMBOL open, when capacity and price allow, until it fills.

    SYMBOL is a stock like AAPL or a crypto pair like BTC/USD.
    """
    from watchers.process import run_entry
    from watchers.task import EntryTask

    log_to_stderr(verbose, log_format)
    with ending_with_a_sentence():
        settings = settings_of(account, redis_url, dry_run)
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
        file = status_file(config_path, {"name": intent.symbol, **task.record()})
        phase = run_entry(task, settings, status_file=file)
    sys.exit(PHASE_CODES[phase.value])


@main.command("run")
@click.argument("plan", type=FILE)
@click.option(
    "--stop-seconds",
    type=FiniteRange(1, 3600),
    help="How long a stop may take before processes are killed.  [default: 20]",
)
@click.option(
    "--status-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep each entry's task and status in DIRECTORY/NAME.json as well.",
)
@account_options
def run(
    plan: Path,
    stop_seconds: float | None,
    status_dir: Path | None,
    account: str | None,
    redis_url: str | None,
    dry_run: bool | None,
    verbose: bool,
    log_format: str,
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

    log_to_stderr(verbose, log_format)
    with ending_with_a_sentence():
        settings = settings_of(account, redis_url, dry_run)
        code = run_plan(
            plan,
            settings,
            label=lambda name: log_to_stderr(verbose, log_format, name),
            stop_seconds=stop_seconds or STOP_SECONDS,
            status_dir=status_dir,
        )
    sys.exit(code)


@main.command("check")
@click.argument("plan", type=FILE)
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
        exits = {leaves.entry: decimal_text(leaves.task.limit_price) for leaves in found.exits}
        entries = [
            {
                "name": entry.name,
                **entry.task.record(),
                "exit_limit_price": exits.get(entry.name),
            }
            for entry in found.entries
        ]
        click.echo(json.dumps({"ok": True, "fleet": found.fleet, "entries": entries}, indent=2))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(_plan_table(found))


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
