"""The operator's commands: ``stealer``.

``app`` is the command group, ``commands`` one module a command, ``views`` what is read from the
ledger as records (a web page may use them as they are), ``words`` and ``out`` how people and
programs see them. Commands are imported when they are called, so that ``stealer --help`` and
completion are fast and only a command that talks to the broker pays for alpaca-py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stealer.cli.app import main

__all__ = ["main"]


def __getattr__(name: str) -> object:
    """Import the command group on first use; ``stealer.cli.views`` needs no click."""
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stealer.cli.app import main

    return main
