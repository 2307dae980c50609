"""What the commands that trade have in common: options, log, exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from watchers.status_file import StatusFile, StatusFileError

log = logging.getLogger(__name__)

#: Exit codes: done or stopped, could not be done, bad input, Redis, broker.
OK, FAILED, USAGE, REDIS, BROKER = 0, 1, 2, 3, 4

#: A file that is named on the command line.
FILE = click.Path(dir_okay=False, path_type=Path)

#: What whoever gave the command can mend in it.
_MISTAKES = (SettingsError, InvalidIntent, PlanError, StatusFileError)

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


@contextmanager
def ending_with_a_sentence() -> Iterator[None]:
    """What cannot be is said on stderr, and ends the command with its exit code."""
    try:
        yield
    except (*_MISTAKES, StealerError, BrokerError) as error:
        sys.exit(_said(error))


def status_file(path: Path | None, record: Mapping[str, Any]) -> StatusFile | None:
    """The file of ``--config-path``, begun with the task *record*; None without one.

    :raises StatusFileError: it cannot be written, or another kind of file would be lost.
    """
    if path is None:
        return None
    file = StatusFile(path, record)
    file.begin()
    return file


def _said(error: Exception) -> int:
    lines = [printable(line) for line in str(error).split("\n")]
    click.echo("\n".join(["watchers: " + lines[0], *lines[1:]]), err=True)
    if isinstance(error, _MISTAKES):
        return USAGE
    return BROKER if isinstance(error, BrokerError) else REDIS


def settings_of(account: str | None, redis_url: str | None, dry_run: bool | None) -> Settings:
    """The environment's settings with the options over them; says what they warn of.

    :raises SettingsError: one of them cannot be.
    """
    refuse_secret_option(redis_url)
    settings = Settings.from_env(account=account, redis_url=redis_url, dry_run=dry_run)
    for warning in settings.warnings:
        log.warning("%s", warning)
    return settings
