"""Speaking: tables and sentences for people, JSON for programs.

A pipe gets neither colours nor lines, and nothing is cut off there.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from stealer.model import MICRO, decimal_text
from stealer.printable import printable, printable_json

__all__ = ["Column", "Out", "plain", "printable"]

#: Columns of a pipe: a table takes what it needs and no line is folded.
PIPE_WIDTH = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header, ``r`` for right-justified, and from which width it is shown."""

    header: str
    align: str = "l"
    from_width: int = 0
    fold: bool = False


def plain(value: Any) -> Any:
    """A record as JSON has it: ``x_micro`` also as ``x`` in exact dollars, decimals as text."""
    if is_dataclass(value) and not isinstance(value, type):
        result: dict[str, Any] = {}
        for entry in fields(value):
            item = getattr(value, entry.name)
            if entry.name.endswith("_micro"):
                result[entry.name.removesuffix("_micro")] = _dollars(item)
            result[entry.name] = plain(item)
        return result
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has neither NaN nor infinity
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def _dollars(micro: Any) -> Any:
    """Micro-dollars as exact dollars in text; also each value of a dictionary of them."""
    if isinstance(micro, dict):
        return {str(k): _dollars(v) for k, v in micro.items()}
    return None if micro is None else decimal_text(Decimal(micro) / MICRO)


class Out:
    """One invocation's voice. Results go to stdout, everything else to stderr."""

    def __init__(
        self, *, as_json: bool = False, color: bool = True, program: str = "stealer"
    ) -> None:
        self.as_json = as_json
        self.program = program
        # There is none when a shell has closed it; what needs none must run nevertheless.
        self.terminal = sys.stdout is not None and sys.stdout.isatty()
        self.color = color
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:  # an ASCII terminal shows "?" for a bar, and no traceback
            reconfigure(errors="replace")
        self.console = Console(
            color_system="auto" if color else None,
            highlight=False,
            width=None if self.terminal else PIPE_WIDTH,
        )

    @property
    def width(self) -> int:
        """Columns there are."""
        return self.console.width

    def json(self, value: Any, *, line: bool = False) -> None:
        """*value* as JSON, on one line or over many. Raises OSError: nobody can read it."""
        _require_output()
        text = json.dumps(plain(value), indent=None if line else 2, ensure_ascii=False)
        click.echo(printable_json(text))

    def show(self, *parts: RenderableType) -> None:
        """Tables and sentences. Text is never read as rich's markup. Raises OSError as json."""
        _require_output()
        for part in parts:
            shown = Text(printable(part)) if isinstance(part, str) else part
            if self.terminal:
                self.console.print(shown)
                continue
            with self.console.capture() as captured:
                self.console.print(shown)
            lines = captured.get().rstrip("\n").split("\n")
            click.echo("\n".join(line.rstrip() for line in lines))

    def warn(self, sentence: str) -> None:
        """A sentence on stderr."""
        click.echo(f"{self.program}: {printable(sentence)}", err=True)

    def table(
        self, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]], title: str = ""
    ) -> RenderableType:
        """A table of the columns for which there is room."""
        shown = [i for i, column in enumerate(columns) if column.from_width <= self.width]
        style: box.Box | None = box.SIMPLE_HEAD if self.terminal else None
        # Two spaces between columns, no more: 80 columns are few. The box brings one of them.
        right = 1 if self.terminal else 2
        table = Table(box=style, pad_edge=False, padding=(0, right, 0, 0), show_edge=False)
        for i in shown:
            column = columns[i]
            table.add_column(
                column.header,
                justify="right" if column.align == "r" else "left",
                no_wrap=not column.fold,
                overflow="fold" if column.fold else "ellipsis",
            )
        for row in rows:
            table.add_row(*(_text(row[i]) for i in shown))
        return Group(Text(title, style="bold"), table) if title else table


def _require_output() -> None:
    """click and rich are silent where there is no stdout: a program would take that for an answer.

    :raises OSError:
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _text(cell: str | Text) -> Text:
    """Text as it is; control characters somebody wrote into Redis do not reach the terminal."""
    if isinstance(cell, Text):
        return cell
    return Text(printable(cell))
