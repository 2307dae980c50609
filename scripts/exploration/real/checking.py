"""Explores what the drivers can do on the real scripts, each canonical state once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from scripts.exploration.explorer import Explorer, Result, Step
from scripts.exploration.real import judging
from scripts.exploration.real.drivers import moves
from scripts.exploration.real.ledger_view import View, canonical
from scripts.exploration.real.stage import Outside, Scene, Stage
from scripts.simulation.memory_redis import Saved


@dataclass(eq=False)
class Node:
    """A state: equal to others by its canonical form; what it takes to go on from it."""

    key: bytes
    saved: Saved | None
    view: View | None
    outside: Outside

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.key == self.key


def explore(scene: Scene, depth: int, faults: int = 1) -> Result:
    """Every interleaving of at most *depth* steps with at most *faults* faults, after *scene*."""
    stage = Stage.open()

    def node(outside: Outside) -> Node:
        view = View(stage.server.dump())
        outside = _forgotten(view, outside)
        key = blake2b(canonical(view, outside).encode(), digest_size=16).digest()
        return Node(key, stage.save(), view, outside)

    def steps(at: Node) -> Iterator[Step[Node]]:
        assert at.saved is not None
        assert at.view is not None
        plain: Node | None = None
        for kind, label, act, _ in moves(at.view, at.outside):
            stage.restore(at.saved, at.outside.lost)
            after = node(act(stage, at.outside))
            repeated = label.endswith("repeated")
            wrong = _differs(plain, after) if repeated and plain else None
            plain = None if repeated else after
            yield Step(kind, label, after, wrong)

    def check(at: Node) -> str | None:
        assert at.view is not None
        return judging.wrong(at.view, at.outside)

    def check_rest(at: Node) -> str | None:
        assert at.view is not None
        return judging.wrong_at_rest(at.view, at.outside)

    def release(at: Node) -> None:
        at.saved = at.view = None

    first = node(scene.outside(faults))
    for label in scene.steps:
        first = next(step.after for step in steps(first) if step.label == label)
    return Explorer(first, steps, check, check_rest, release=release).run(depth=depth)


def _differs(once: Node, twice: Node) -> str | None:
    """A repeated call must leave what one call leaves."""
    assert once.view is not None
    assert twice.view is not None
    same = twice.outside._replace(faults=once.outside.faults)
    if canonical(once.view, once.outside) != canonical(twice.view, same):
        return "repeat: the second identical call changed something"
    return None


def _forgotten(view: View, outside: Outside) -> Outside:
    """Without orders that are over and that neither ledger nor watcher asks about any more."""
    asked = {actor.claim.id for actor in outside.actors if actor.claim} | view.claims.keys()
    kept = tuple(
        o for o in outside.orders if o.status in ("wire", "live", "canceling") or o.id in asked
    )
    return outside._replace(orders=kept)
