"""The ``stealer`` command group: which commands there are, and the options all share."""

from __future__ import annotations

from typing import ClassVar

import click

from stealer import __version__
from stealer.cli.context import App, common_options
from stealer.cli.group import LazyGroup

EXIT_CODES = """\b
Exit codes:
  0  done
  1  what was asked for could not be done
  2  wrong usage, input or settings
  3  Redis cannot be reached or cannot be used
  4  the broker cannot be reached"""

#: Command -> (module of ours, attribute, what `stealer --help` says), in the order shown there.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "status": ("status", "status", "Capacity, keeper, session, counters: is all well?"),
    "orders": ("orders", "orders", "Every claim, ranked: tier, distance, protection."),
    "candidates": ("orders", "candidates", "Who would be stolen from, in order."),
    "why": ("why", "why", "A watcher's last decision, and what would change it."),
    "cooldowns": (
        "records",
        "cooldowns",
        "Who may not be stolen from, or steal back, and how long.",
    ),
    "fights": ("records", "fights", "Pairs kept apart, and those on the way there."),
    "steals": ("records", "steals", "The record of steals; --follow keeps watching."),
    "audit": ("records", "audit", "What operators and keepers did by hand or mended."),
    "release": ("release", "release", "Force-release a claim, with an audit entry."),
    "halt": ("switch", "halt", "Kill switch: stop all new orders."),
    "resume": ("switch", "resume", "Allow new orders again."),
    "forecasts": ("forecasts", "forecasts", "Publish and list forecast PnLs."),
    "doctor": ("doctor", "doctor", "Check a deployment, and say what to do."),
    "acl": ("acl", "acl", "Make Redis users with the least rights; passwords shown once."),
    "keeper": ("misc", "keeper", "Run the account's keeper (or a standby)."),
    "simulated-alpaca": ("misc", "simulated_alpaca", "Run the simulated broker."),
    "redis-conf": ("misc", "redis_conf", "Print where our redis.conf is."),
    "completion": ("misc", "completion", "Print the completion script of a shell."),
    "version": ("misc", "version", "Print the versions of what matters."),
}


class StealerGroup(LazyGroup):
    """The operator's commands."""

    program: ClassVar = "stealer"
    lazy: ClassVar = {
        name: (f"stealer.cli.commands.{module}", attribute, text)
        for name, (module, attribute, text) in COMMANDS.items()
    }


@click.group(
    cls=StealerGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
@common_options(shown=True)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Watch and steer order watchers that share one account's buying power.

    Settings come from the environment (STEALER_ACCOUNT, REDIS_URL, ...); options override them
    and may stand before or after the command. Tables are for people, --json is for programs.
    """
    ctx.ensure_object(App)
