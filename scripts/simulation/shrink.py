"""Making a failing run small: fewer faults, fewer processes, a shorter time, the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scripts.simulation.scenario import Scenario
from scripts.simulation.world import World


def broken(scenario: Scenario) -> set[int]:
    """The invariants that a run of *scenario* breaks."""
    return {violation.invariant for violation in World(scenario).run().violations}


def shrunk(scenario: Scenario, invariant: int) -> Scenario:
    """The smallest scenario found that still breaks *invariant*; each step takes one thing away."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(scenario):
            if invariant in broken(candidate):
                scenario, smaller = candidate, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    for fault in scenario.plan:
        yield scenario.with_plan(tuple(f for f in scenario.plan if f is not fault))
    for entry in scenario.entries:
        if len(scenario.entries) > 1:
            yield scenario.without(entry.name)
    for keeper in scenario.keepers:
        if len(scenario.keepers) > 1:
            yield scenario.without(keeper)
    for part in (0.5, 0.8):
        if scenario.active_seconds * part > 2.0:
            yield replace(scenario, active_seconds=round(scenario.active_seconds * part, 1))
