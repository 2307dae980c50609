"""``watchers``: entry watchers from the command line."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable
from typing import Any

import click

from stealer import __version__
from stealer.broker.interface import BrokerError
from stealer.errors import LedgerMisconfigured, StealerError
from stealer.model import InvalidIntent, OrderIntent
from stealer.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: Exit codes: done or stopped, could not be done, bad input, Redis, broker.
OK, FAILED, USAGE, REDIS, BROKER = 0, 1, 2, 3, 4

_PHASE_CODES = {"done": OK, "stopped": OK, "expired": FAILED}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 target filled or stopped, 1 expired before that, 2 bad input, "
    "3 Redis, 4 broker.",
)
@click.version_option(__version__)
def main() -> None:
    """Watchers: processes that each want one limit entry order open."""


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
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format=f"%(asctime)s {label}%(levelname).1s %(message)s",
        force=True,
    )
    for noisy in ("urllib3", "alpaca"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def exit_with(error: Exception) -> int:
    """Say *error* in one sentence on stderr; the exit code for it."""
    click.echo(f"watchers: {error}", err=True)
    if isinstance(error, SettingsError | InvalidIntent):
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
@click.option("--poll-seconds", type=float, default=1.0, show_default=True)
@click.option("--force-immediate", is_flag=True, help="Open at once, however far the price is.")
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
        settings = Settings.from_env(account=account, redis_url=redis_url, dry_run=dry_run)
        for warning in settings.warnings:
            log.warning("%s", warning)
        intent = OrderIntent(
            symbol,
            side,
            target_qty,
            limit_price,
            strategy,
            forecast_pnl if forecast_pnl is not None else 0.0,
            mode,
            force_immediate,
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
