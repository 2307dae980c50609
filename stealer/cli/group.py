"""A command group whose commands are imported when called, and whose failures are one sentence.

Whatever a command cannot do becomes a line on stderr and an exit code here, in one place.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar, NoReturn, TextIO

import click
from click.shell_completion import CompletionItem

from stealer.cli.context import App
from stealer.printable import printable

#: Exit codes, as `stealer --help` documents them.
DONE, NOT_DONE, BAD_INPUT, NO_REDIS, NO_BROKER = range(5)

#: What a stdout says that takes no more: a full disk or quota, a broken device.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class LazyGroup(click.Group):
    """A group of commands that were added to it, and of others that wait in their modules."""

    #: The command a person types.
    program: ClassVar[str]

    #: Command -> (module, attribute, what the group's help says), in the order shown there.
    lazy: ClassVar[Mapping[str, tuple[str, str, str]]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names: those that are here first."""
        return [*super().list_commands(ctx), *self.lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported if need be."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = self.lazy[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(self._table())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Command names from the table; click's own way would import every command."""
        items = [
            CompletionItem(name, help=text)
            for name, text in self._table()
            if name.startswith(incomplete)
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it cannot do ends in one sentence and an exit code."""
        if ctx.obj is None:
            ctx.obj = App(program=self.program)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            found = explain(error)
            if found is None:
                raise
            fail(ctx, *found, program=self.program)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click does it, but an answer that cannot be written ends in a sentence, too."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            # A pipe that nobody reads is click's business; all other errors here are defects.
            expected = NO_ROOM if sys.stdout else {errno.EBADF}
            if error.filename is not None or error.errno not in expected:
                raise
            with suppress(OSError):  # perhaps there is no room for this either
                why = f"the answer cannot be written: {error.strerror}"
                click.echo(f"{self.program}: {why}", err=True)
            _drop_output()
            sys.exit(NOT_DONE)

    def _table(self) -> list[tuple[str, str]]:
        here = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        return [*here, *((name, text) for name, (_, _, text) in self.lazy.items())]


def _fails(stream: TextIO) -> bool:
    """Whether what is still to be written there cannot be."""
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _drop_output() -> None:
    """What cannot be written goes nowhere: Python's end would fail with it once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and _fails(stream):
            os.dup2(nowhere, stream.fileno())


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


def fail(ctx: click.Context, code: int, sentence: str, *, program: str = "stealer") -> NoReturn:
    """Say *sentence* on stderr and end with *code*."""
    click.echo(f"{program}: {printable(sentence)}", err=True)
    ctx.exit(code)
