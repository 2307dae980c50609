"""Bugs planted on purpose are found: each rule of the protocol that is taken out is missed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.simulation import campaign, planted
from stealer import scripts

#: A seed below 2,000 that shows each bug (docs/simulation.md); the search begins there.
FIRST_SEEDS: dict[str, int] = {
    "old-snapshot": 1619,
    "absorbs-all-fills": 24,
    "positions-before-orders": 191,
    "abort-reopens": 54,
    "unresolved-is-absent": 692,
    "snapshot-ignores-lag": 234,
    "404-frees-at-once": 95,
    "acquire-forgets": 26,
    "any-better-pnl": 178,
    "cancel-request-frees": 3,
    "client-clock": 0,
    "close-frees-fills": 16,
    "close-twice": 147,
    "evicting-is-a-victim": 1,
    "closed-market-not-protected": 509,
    "forced-by-rank-not-protected": 76,
    "foreign-touched": 8,
    "heard-request-frees": 12,
    "heir-paid-twice": 1,
    "launch-before-victims-end": 0,
    "near-fill-not-protected": 0,
    "no-bar": 78,
    "no-earmark": 1,
    "no-cooldown": 364,
    "no-fence": 0,
    "no-fight": 220,
    "no-identity": 2,
    "orphan-without-cause": 30,
    "probe-not-protected": 64,
    "recorded-twice": 1,
    "slot-not-held": 26,
    "steals-after-loss": 42,
    "sweep-never-aborts": 45,
}

TABLE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"

#: How many seeds may be needed.
MOST_SEEDS = 2000


@pytest.mark.parametrize("bug", sorted(planted.BUGS))
def test_a_planted_bug_is_found(bug: str) -> None:
    first = FIRST_SEEDS[bug]
    for seed in range(first, MOST_SEEDS):
        results, _ = campaign.run_batch(bug, range(seed, seed + 1))
        if results[0].violations:
            assert seed == first, f"its row must say {seed}, here and in docs/simulation.md"
            return
    pytest.fail(f"{planted.BUGS[bug].what}: not found by {MOST_SEEDS - first} seeds")


def test_the_table_of_the_bugs_is_true() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|.*\| (\d+) \|$", TABLE.read_text(), re.MULTILINE)
    assert {bug: int(seed) for bug, seed in rows} == FIRST_SEEDS
    assert FIRST_SEEDS.keys() == planted.BUGS.keys()


def test_an_edit_whose_text_is_gone_says_so() -> None:
    bug = planted.Bug("nothing", (("abort.lua", "no such text", ""),))
    with bug.planted(), pytest.raises(LookupError, match="has no longer the text"):
        scripts.function_library()


def test_nothing_of_a_bug_is_left_behind() -> None:
    before = scripts.function_library()
    with planted.BUGS["no-identity"].planted():
        assert scripts.function_library() != before
    assert scripts.function_library() == before
