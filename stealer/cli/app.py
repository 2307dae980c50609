"""The command group: which commands there are, the options all share, and the exit codes.

No command is imported before it is called. Whatever a command cannot do becomes one sentence on
stderr and an exit code here, in one place.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from stealer import __version__
from stealer.cli.context import App, common_options
from stealer.printable import printable

#: Exit codes, as `stealer --help` documents them.
DONE, NOT_DONE, BAD_INPUT, NO_REDIS, NO_BROKER = range(5)

EXIT_CODES = """\b
Exit codes:
  0  done
  1  what was asked for could not be done
  2  wrong usage, input or settings
  3  Redis cannot be reached or cannot be used
  4  the broker cannot be reached"""

#: Command -> (module, attribute, what `stealer --help` says), in the order shown there.
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


class LazyGroup(click.Group):
    """A group whose commands live in ``stealer.cli.commands`` until somebody calls one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"stealer.cli.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Command names from the table; click's own way would import every command."""
        items = [
            CompletionItem(name, help=text)
            for name, (_, _, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it cannot do ends in one sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            found = explain(error)
            if found is None:
                raise
            fail(ctx, *found)


def explain(error: Exception) -> tuple[int, str] | None:
    """(exit code, sentence) of an error an operator can act on; None for one that is a bug."""
    from stealer.errors import LedgerMisconfigured, LedgerUnavailable, Refused
    from stealer.model import InvalidIntent
    from stealer.settings import SettingsError

    text = " ".join(str(error).split())
    if isinstance(error, SettingsError | InvalidIntent):
        return BAD_INPUT, text
    if isinstance(error, LedgerUnavailable | LedgerMisconfigured):
        return NO_REDIS, text
    if isinstance(error, UnicodeDecodeError):
        return NO_REDIS, "Redis answered with bytes that are not text: not what this system writes"
    if isinstance(error, Refused):
        return NOT_DONE, text
    return _explain_library(error, text)


def _explain_library(error: Exception, text: str) -> tuple[int, str] | None:
    """What comes from redis-py directly, or from the broker's edge."""
    if type(error).__module__.startswith(("redis.", "fakeredis")):
        from stealer.scripts import translated

        return NO_REDIS, str(translated(error))  # type: ignore[arg-type]
    broker = sys.modules.get("stealer.broker.interface")
    if broker is None or not isinstance(error, broker.BrokerError):
        return None
    if isinstance(error, broker.BrokerMisconfigured):
        return BAD_INPUT, text
    return (NOT_DONE if isinstance(error, broker.BrokerRefused) else NO_BROKER), text


def fail(ctx: click.Context, code: int, sentence: str) -> NoReturn:
    """Say *sentence* on stderr and end with *code*."""
    click.echo(f"stealer: {printable(sentence)}", err=True)
    ctx.exit(code)


@click.group(
    cls=LazyGroup,
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
