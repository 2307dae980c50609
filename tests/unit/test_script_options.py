"""Options of the commands in `scripts/`: what they do not take is refused before any work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scripts.benchmarks.__main__ import main as bench
from scripts.chaos_run.__main__ import main as chaos
from scripts.demonstration.__main__ import main as demo
from scripts.exploration.__main__ import main as explore
from scripts.json_file import JsonFile, write
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


RESULTS = [(root, words) for root, words, command in COMMANDS
           if any("--json" in option.opts for option in command.params)]  # fmt: skip


@pytest.mark.parametrize(("root", "words"), RESULTS, ids=str)
@pytest.mark.parametrize("file", ["none/result.json", "file/result.json", ".", "x" * 300])
def test_a_result_that_cannot_be_written_is_said_before_the_work(
    root: click.Command,
    words: list[str],
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    result = CliRunner().invoke(root, [*words, "--json", file])
    assert result.exit_code == 2, result.output
    assert "--json" in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_every_command_with_a_result_is_among_them() -> None:
    assert len(RESULTS) == 8


def test_a_result_replaces_what_was_there(tmp_path: Path) -> None:
    file = JsonFile().convert(str(tmp_path / "r.json"), None, None)
    write(file, {"a": 1})
    write(JsonFile().convert(str(file), None, None), {"b": 2})
    write(None, {"c": 3})
    assert json.loads(file.read_text()) == {"b": 2}


def test_a_result_that_cannot_be_written_any_more_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="cannot be written"):
        write(tmp_path / "gone" / "r.json", {})


def test_a_range_takes_its_finite_numbers() -> None:
    assert FiniteRange(0, 1).convert("0.5", None, None) == 0.5
