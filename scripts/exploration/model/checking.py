"""One configuration explored with a set of rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scripts.exploration.explorer import Explorer, Result, Step
from scripts.exploration.model import broker, invariants, keeper, watchers
from scripts.exploration.model.ledger import Model
from scripts.exploration.model.rules import BY_REQUEST, PRODUCT, RULES
from scripts.exploration.model.state import Scope, World


def rules_for(scope: Scope, without: Iterable[str] = ()) -> frozenset[str]:
    """The rules that *scope* is explored with.

    :raises ValueError: a rule that does not exist.
    """
    without = frozenset(without)
    unknown = without - RULES.keys()
    if unknown:
        raise ValueError(f"no rule is called {', '.join(sorted(unknown))}")
    return (PRODUCT | ({scope.also} & BY_REQUEST)) - without


def explore(scope: Scope, without: Iterable[str] = (), depth: int | None = None) -> Result:
    """Every state of *scope* without some rules, or those at most *depth* steps away."""
    rules = rules_for(scope, without)
    model = Model(scope, rules)

    def steps(world: World) -> Iterator[Step[World]]:
        yield from watchers.steps(model, world)
        yield from broker.steps(model, world)
        yield from keeper.steps(model, world)

    return Explorer(
        scope.first(),
        steps,
        lambda world: invariants.wrong(model, world),
        lambda world: invariants.wrong_at_rest(model, world),
    ).run(depth=depth, progress=scope.progress)
