"""What the documentation names must exist: tests, files it links to, and keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stealer import keyspace
from stealer.settings import variables
from stealer.simulated_alpaca.routes_sim import ROUTES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
COLUMNS = ["failure", "what happens", "who finishes it", "how long", "test", "status"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_every_test_named_in_the_table_of_failures_exists() -> None:
    file, named, missing = "", 0, []
    for path, name in re.findall(
        r"`([\w/]+\.py)?::(test_\w+)`", (ROOT / "docs" / "failures.md").read_text()
    ):
        file = path or file
        named += 1
        if f"def {name}(" not in (ROOT / "tests" / file).read_text():
            missing.append(f"{file}::{name}")
    assert named > 30
    assert not missing


def failures() -> list[list[str]]:
    """The cells of each row of the tables of failures."""
    text = (ROOT / "docs" / "failures.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if len(row) == len(COLUMNS) and row != COLUMNS]


def test_every_row_of_the_tables_of_failures_names_a_test_or_says_why_not() -> None:
    rows = failures()
    assert len(rows) > 60
    bare = [row[0] for row in rows if not re.search(r"::test_\w+`|^- \(.+ .+\)", row[4])]
    assert not bare
    first = [row[0] for row in rows if re.match(r"`::", row[4])]
    assert not first, "a row names the file of its first test"


def test_every_setting_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in variables() if f"`{name}`" not in text] == []


def test_every_key_is_described_in_the_internals_page() -> None:
    text = (ROOT / "docs" / "internals.md").read_text()
    suffixes = [suffix for suffix, _ in keyspace.FIXED.values()]
    suffixes += [pattern.split(":")[0] for pattern, _ in keyspace.PARTED.values()]
    assert [suffix for suffix in suffixes if f"`{suffix}" not in text] == []


def test_every_request_that_controls_the_simulated_alpaca_is_in_its_table() -> None:
    text = (ROOT / "docs" / "simulated-alpaca.md").read_text()
    named = {
        (method, path)
        for methods, path in re.findall(r"^\| ((?:`?[A-Z]+`?,? )+)(/sim/\w+)", text, re.MULTILINE)
        for method in re.findall("[A-Z]+", methods)
    }
    served = {(method, r.path) for r in ROUTES for method in r.methods or ()}
    assert named == {(method, path) for method, path in served if method != "HEAD"}
