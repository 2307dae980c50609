"""Bugs planted on purpose are found: each rule of the protocol that is taken out is missed."""

from __future__ import annotations

import pytest

from scripts.simulation import campaign, planted

#: The first seed that shows each bug, counted from 0 (docs/simulation.md); the search begins there.
FIRST_SEEDS: dict[str, int] = {}

#: How many seeds may be needed.
MOST_SEEDS = 2000


@pytest.mark.parametrize("bug", sorted(planted.BUGS))
def test_a_planted_bug_is_found(bug: str) -> None:
    first = FIRST_SEEDS.get(bug, 0)
    for seed in range(first, MOST_SEEDS):
        results, _ = campaign.run_batch(bug, range(seed, seed + 1))
        if results[0].violations:
            return
    pytest.fail(f"{planted.BUGS[bug].what}: not found by {MOST_SEEDS - first} seeds")


def test_an_edit_whose_text_is_gone_says_so() -> None:
    bug = planted.Bug("nothing", (("abort.lua", "no such text", ""),))
    with bug.planted(), pytest.raises(LookupError, match="has no longer the text"):
        planted.scripts.library()


def test_nothing_of_a_bug_is_left_behind() -> None:
    before = planted.scripts.library()
    with planted.BUGS["no-identity"].planted():
        assert planted.scripts.library() != before
    assert planted.scripts.library() == before
