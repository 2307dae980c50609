"""The ``watchers`` command group: commands for people are loaded only when they are called.

They need rich, which would be in every watcher's memory.
"""

from __future__ import annotations

from typing import ClassVar

from stealer.cli.group import LazyGroup


class WatchersGroup(LazyGroup):
    """Its own commands, and those for people."""

    program: ClassVar = "watchers"
    lazy: ClassVar = {
        "list": (
            "watchers.cli_look",
            "list_watchers",
            "Every watcher of the account, on all hosts.",
        ),
        "logs": (
            "watchers.cli_look",
            "logs",
            "What watchers went through; --follow keeps watching.",
        ),
        "stop": ("watchers.cli_stop", "stop", "Stop watchers, wherever they run."),
    }
