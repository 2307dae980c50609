"""``scripts/explore``: choose what to explore, print what was found, write it as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scripts.exploration.explorer import Result
from scripts.exploration.model import checking
from scripts.exploration.model.configurations import KNOWN, SCOPES
from scripts.exploration.model.rules import BY_REQUEST, RULES
from scripts.json_file import JsonFile, write

JSON_FILE = click.option("--json", "json_file", type=JsonFile())
DEPTH = click.IntRange(min=1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Every interleaving of a small scope. Exit code 1: something is wrong that was not known."""


@main.command("model")
@click.option("--config", default="all", help="A configuration, or all.", show_default=True)
@click.option("--without", multiple=True, metavar="RULE", help="Switch a rule off (repeatable).")
@click.option("--depth", type=DEPTH, help="Steps at most; without it everything.")
@click.option("--list", "list_all", is_flag=True, help="Show configurations and rules only.")
@JSON_FILE
def model(
    config: str, without: tuple[str, ...], depth: int | None, list_all: bool, json_file: Path | None
) -> None:
    """The project's own model of the protocol (docs/model.md)."""
    if list_all:
        _list()
        return
    if config != "all" and config not in SCOPES:
        names = ", ".join(SCOPES)
        raise click.BadParameter(f"no configuration is called {config!r}; there are {names}")
    unknown = set(without) - RULES.keys()
    if unknown:
        raise click.BadParameter(
            f"no rule is called {', '.join(sorted(unknown))}; see scripts/explore model --list"
        )
    found: dict[str, Any] = {}
    surprises = 0
    for name in SCOPES if config == "all" else [config]:
        result = checking.explore(SCOPES[name], without, depth)
        known = KNOWN.get(name) if not without else None
        _say(name, result, known)
        found[name] = asdict(result)
        surprises += bool(result.violation and not (known and result.violation.startswith(known)))
    _finish(found, json_file, surprises)


def _list() -> None:
    for name, scope in SCOPES.items():
        click.echo(f"{name:16} {scope.about}")
    click.echo()
    for name, text in RULES.items():
        kept = "; explored where a configuration asks for it" if name in BY_REQUEST else ""
        click.echo(f"{name:26} {text}{kept}")


@main.command("scripts")
@click.option("--depth", type=DEPTH, default=8, show_default=True, help="Steps at most.")
@click.option("--scene", default="all", show_default=True, help="Where to begin, or all.")
@click.option("--faults", type=click.IntRange(0, 3), default=1, show_default=True)
@JSON_FILE
def real(depth: int, scene: str, faults: int, json_file: Path | None) -> None:
    """The real scripts, driven by three watchers, a keeper and a broker."""
    from scripts.exploration.real.checking import explore
    from scripts.exploration.real.scenes import SCENES

    if scene != "all" and scene not in SCENES:
        raise click.BadParameter(f"no scene is called {scene!r}; there are {', '.join(SCENES)}")
    found: dict[str, Any] = {}
    surprises = 0
    for name in SCENES if scene == "all" else [scene]:
        result = explore(SCENES[name], depth, faults)
        _say(name, result, None)
        found[name] = asdict(result)
        surprises += bool(result.violation)
    _finish(found, json_file, surprises)


def _say(name: str, result: Result, known: str | None) -> None:
    reach = "everything" if result.complete else "bounded"
    click.echo(
        f"{name:16} {result.states:>8,} states {result.transitions:>9,} steps, depth "
        f"{result.depth:>2}, {reach}, {result.seconds:.1f} s: {result.violation or 'nothing wrong'}"
        + (" (known)" if result.violation and known else "")
    )
    for number, label in enumerate(result.trace, 1):
        click.echo(f"    {number:>2} {label}")


def _finish(found: dict[str, Any], json_file: Path | None, surprises: int) -> None:
    write(json_file, found)
    if surprises:
        raise SystemExit(1)


if __name__ == "__main__":
    main(prog_name="scripts/explore")
