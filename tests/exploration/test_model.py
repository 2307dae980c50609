"""The model of the protocol: nothing wrong with all rules, something wrong without each of them."""

from __future__ import annotations

import pytest

from scripts.exploration.model.checking import explore, rules_for
from scripts.exploration.model.configurations import KNOWN, SCOPES, WITNESS
from scripts.exploration.model.rules import BY_REQUEST, RULES

#: Explored completely here; the rest is `scripts/explore model --config all`.
SMALL = ("steals", "stuck-cancel", "progress", "exit", "rebuild-partial")

#: What a violation without the rule begins with: the promise that is broken, not just any.
BROKEN = {
    "launch": "zero",
    "post_fence": "zero",
    "not_found_is_no_evidence": "zero",
    "deficit_blocks_launch": "cap",
    "retry_refused": "vain",
    "only_open_victims": "leak",
    "irrevocable": "cause",
    "slot_until_terminal": "one",
    "heirless_first": "needless",
    "old_not_inherited": "progress",
    "heir_on_terminal": "zero",
    "best_waiter_first": "service",
    "yield_only_if_fits": "stuck",
    "filled_stays_charged": "zero",
    "lag": "zero",
    "crypto_pool": "zero",
    "foreign_counted": "zero",
    "exit_is_no_exposure": "leak",
    "orders_first": "zero",
    "newest_snapshot": "zero",
    "positions_after_lag": "zero",
    "clamp": "vain",
    "draw_follows_victims": "vain",
    "topup_asks_broker": "vain",
    "condemn": "leak",
    "strays_before_publish": "zero",
    "orphans_evicted": "leak",
    "quarantine_before_certify": "zero",
    "certificate_fences": "zero",
    "no_steal_kept": "memory",
    "rebuilt_canceling_evicts": "cause",
    "rebuilt_fills_charged": "zero",
}


def test_every_rule_has_a_witness_and_a_promise() -> None:
    assert WITNESS.keys() == RULES.keys() == BROKEN.keys()
    assert set(WITNESS.values()) <= SCOPES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_without_the_rule_something_is_wrong(rule: str) -> None:
    scope = SCOPES[WITNESS[rule]]
    assert rule in rules_for(scope)
    result = explore(scope, [rule])
    assert result.violation, f"{scope.name} does not need {rule}"
    assert result.violation.startswith(f"{BROKEN[rule]}: ")
    assert 3 < len(result.trace) < 30


@pytest.mark.parametrize("name", SMALL)
def test_with_all_rules_nothing_is_wrong(name: str) -> None:
    result = explore(SCOPES[name])
    assert result.violation is None, result.trace
    assert result.complete
    assert result.at_rest > 0  # the end of a story was reached, and judged


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_to_fail_still_does(name: str) -> None:
    """When this fails the weakness is mended: take it out of KNOWN and of docs/model.md."""
    result = explore(SCOPES[name])
    assert result.violation
    assert result.violation.startswith(KNOWN[name])


def test_some_rules_are_off_unless_a_configuration_asks() -> None:
    assert not BY_REQUEST & rules_for(SCOPES["steals"])
    assert rules_for(SCOPES["power"]) & BY_REQUEST == {"topup_asks_broker"}


def test_a_rule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule is called gravity"):
        explore(SCOPES["steals"], ["gravity"])


def test_a_bounded_depth_says_that_it_is_not_everything() -> None:
    result = explore(SCOPES["steals"], depth=5)
    assert (result.complete, result.depth, result.violation) == (False, 5, None)
