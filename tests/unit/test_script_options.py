"""Options of the commands in `scripts/`: what they do not take is refused before any work."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from scripts.benchmarks.__main__ import main as bench
from scripts.chaos_run.__main__ import main as chaos
from scripts.demonstration.__main__ import main as demo
from scripts.exploration.__main__ import main as explore
from scripts.simulation.__main__ import main as simulate
from stealer.cli.floats import FiniteRange

Called = tuple[click.Command, list[str], click.Command]


def called(root: click.Command) -> Iterator[Called]:
    """Each command: the root, the words behind it, and itself."""
    if isinstance(root, click.Group):
        yield from ((root, [name], command) for name, command in root.commands.items())
    else:
        yield root, [], root


COMMANDS = [each for root in (bench, chaos, demo, explore, simulate) for each in called(root)]
FLOATS = [
    (root, [*words, option.opts[0]])
    for root, words, command in COMMANDS
    for option in command.params
    if isinstance(option.type, (type(click.FLOAT), click.FloatRange))
]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("root", "words"), FLOATS, ids=[" ".join(words) for _, words in FLOATS])
def test_no_option_takes_a_number_that_is_none_or_endless(
    root: click.Command, words: list[str], number: str
) -> None:
    result = CliRunner().invoke(root, [*words[:-1], f"{words[-1]}={number}"])
    assert result.exit_code == 2, result.output
    assert words[-1] in result.stderr


def test_a_range_takes_its_finite_numbers() -> None:
    assert FiniteRange(0, 1).convert("0.5", None, None) == 0.5
