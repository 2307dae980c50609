"""The ``watchers`` command group: commands for people are loaded only when they are called.

They need rich, which would be in every watcher's memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from stealer.cli.app import explain
from stealer.cli.context import App
from stealer.printable import printable

#: Command -> (module, attribute, what ``watchers --help`` says).
FOR_PEOPLE = {
    "list": ("watchers.cli_look", "list_watchers", "Every watcher of the account, on all hosts."),
    "logs": ("watchers.cli_look", "logs", "What watchers went through; --follow keeps watching."),
    "stop": ("watchers.cli_stop", "stop", "Stop watchers, wherever they run."),
}


class WatchersGroup(click.Group):
    """Its own commands, and those for people."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names: those that run something first."""
        return [*super().list_commands(ctx), *FOR_PEOPLE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported if need be."""
        if cmd_name not in FOR_PEOPLE:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = FOR_PEOPLE[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        rows = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*rows, *((name, row[2]) for name, row in FOR_PEOPLE.items())])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what one for people cannot do ends in a sentence and an exit code."""
        if ctx.obj is None:
            ctx.obj = App(program="watchers")
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            found = explain(error)
            if found is None:
                raise
            click.echo(f"watchers: {printable(found[1])}", err=True)
            ctx.exit(found[0])
