"""What the commands that trade have in common: options, log, exit codes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stealer.broker.interface import BrokerError
from stealer.cli.context import log_format_option
from stealer.errors import StealerError
from stealer.model import InvalidIntent
from stealer.printable import log_to_stderr as log_lines
from stealer.printable import printable
from stealer.settings import Settings, SettingsError, refuse_secret_option
from watchers.plan import PlanError
from watchers.status_file import StatusFileError

log = logging.getLogger(__name__)

#: Exit codes: done or stopped, could not be done, bad input, Redis, broker.
OK, FAILED, USAGE, REDIS, BROKER = 0, 1, 2, 3, 4

#: A file that is named on the command line.
FILE = click.Path(dir_okay=False, path_type=Path)

#: What a watcher that ran by itself exits with.
PHASE_CODES: dict[str, int] = {"done": OK, "stopped": OK, "expired": FAILED}


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--account, --redis-url, --dry-run, --verbose and --log-format, for what trades."""
    for option in (
        log_format_option,
        click.option("--account", help="Account name in Redis  [STEALER_ACCOUNT, default paper]"),
        click.option("--redis-url", help="Redis address  [REDIS_URL]"),
        click.option("--dry-run", is_flag=True, default=None, help="Decide and log; open nothing."),
        click.option("-v", "--verbose", is_flag=True, help="Also log every detail."),
    ):
        command = option(command)
    return command


def log_to_stderr(verbose: bool, log_format: str, name: str = "") -> None:
    """One line a transition on stderr, marked with the watcher's *name*, FLEET/ENTRY."""
    label = name.rpartition("/")[2] + " " if name else ""  # a fleet's log is its own
    log_lines(
        f"%(asctime)s {label}%(levelname).1s %(message)s",
        logging.DEBUG if verbose else logging.INFO,
        force=True,
        as_json=log_format == "json",
        constant={"watcher": name} if name else {},
    )
    for noisy in ("urllib3", "alpaca"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def exit_with(error: Exception) -> int:
    """Say *error* in one sentence on stderr; the exit code for it."""
    lines = [printable(line) for line in str(error).split("\n")]
    click.echo("\n".join(["watchers: " + lines[0], *lines[1:]]), err=True)
    if isinstance(error, SettingsError | InvalidIntent | PlanError | StatusFileError):
        return USAGE
    if isinstance(error, BrokerError):
        return BROKER
    return REDIS if isinstance(error, StealerError) else FAILED


def settings_of(account: str | None, redis_url: str | None, dry_run: bool | None) -> Settings:
    """The environment's settings with the options over them; says what they warn of.

    :raises SettingsError: one of them cannot be.
    """
    refuse_secret_option(redis_url)
    settings = Settings.from_env(account=account, redis_url=redis_url, dry_run=dry_run)
    for warning in settings.warnings:
        log.warning("%s", warning)
    return settings
