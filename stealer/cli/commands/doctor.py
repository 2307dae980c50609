"""``stealer doctor``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click
from rich.text import Text

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.words import plural
from stealer.printable import printable

if TYPE_CHECKING:
    from stealer.doctor import Finding

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}

#: Columns of the level and of the check's name.
_LEVEL, _NAME = 9, 13


@click.command("doctor")
@common_options()
@click.option("--strict", is_flag=True, help="Warnings count as failures for the exit code.")
@pass_app
def doctor(app: App, strict: bool) -> None:
    """Check this deployment: server, access, ledger, keeper, feeds, broker; and say what to do.

    Reads only. It sees most as the operator's user, in the environment of the process it is asked
    about. Exit code 0: nothing failed; 1: something did.
    """
    from stealer.doctor import Level, Patient, examine

    found = examine(Patient(app.settings, app.connect, app.broker))
    counted = Counter(finding.level for finding in found)
    bad = counted[Level.FAILURE] + (counted[Level.WARNING] if strict else 0)
    if app.out.as_json:
        app.out.json({"healthy": not bad, "account": app.settings.account, "findings": found})
    else:
        app.out.show(*(line for finding in found for line in _lines(finding)))
        app.out.show(
            f"{plural(counted[Level.FAILURE], 'failure')}, "
            f"{plural(counted[Level.WARNING], 'warning')}, {counted[Level.OK]} ok"
        )
    if bad:
        raise click.exceptions.Exit(1)


def _lines(finding: Finding) -> list[Text]:
    """A finding, and below it what to do."""
    level = finding.level.value
    lines = [
        Text.assemble(
            (f"{level:<{_LEVEL}}", _STYLES[level]),
            (f"{finding.check:<{_NAME}}", "bold"),
            printable(finding.finding),
        )
    ]
    if finding.advice:
        lines.append(Text(" " * (_LEVEL + _NAME) + "do: " + printable(finding.advice), style="dim"))
    return lines
