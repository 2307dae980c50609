"""What must hold in every state, and what must hold once nothing more has to happen."""

from __future__ import annotations

from scripts.exploration.model import broker, ledger
from scripts.exploration.model.ledger import Model
from scripts.exploration.model.state import (
    ABSENT,
    AT_BROKER,
    CANCELING,
    CLOSED,
    DEAD,
    EVICTING,
    IDLE,
    LAUNCHING,
    LIVE,
    NONE,
    OPEN,
    OUT,
    RESERVED,
    WAITING,
    WIRE,
    World,
)

POOLS = ("total", "crypto")


def wrong(model: Model, world: World) -> str | None:
    """What is wrong with *world*, or None."""
    return _cap(model, world) or _zero(model, world) or _orders(model, world)


def _cap(model: Model, world: World) -> str | None:
    """Live orders and positions fit the limit, where nobody else moves either."""
    scope = model.scope
    if scope.foreign_size or len(scope.limits) > 1:
        return None
    for pool, held, limit in zip(
        POOLS, broker.exposure(model, world), scope.limits[0], strict=True
    ):
        if held > limit:
            return f"cap: the broker holds {held} of {limit} in {pool}"
    return None


def _zero(model: Model, world: World) -> str | None:
    """What the broker holds is counted at least once, as far as a snapshot could see it."""
    if not (world.books.certified and world.books.published):
        return None
    known = min(broker.foreign_exposure(model, world), world.books.foreign_known)
    ours = broker.exposure(model, world)
    held = (ours[0] + known, ours[1])
    for pool, have, seen in zip(POOLS, held, ledger.counted(model, world), strict=True):
        if seen < have:
            return f"zero: the ledger counts {seen} in {pool}, the broker holds {have}"
    return None


def _orders(model: Model, world: World) -> str | None:
    for w, block in enumerate(model.scope.blocks):
        if sum(world.orders[i].state in AT_BROKER for i in block) > 1:
            return f"one: w{w} has two live orders"
    for i, order in enumerate(world.orders):
        if order.state == CANCELING and world.claims[i].state == OPEN:
            return f"cause: o{i} is being canceled, its claim is open"
    return None


def launched_beyond_limit(model: Model, world: World) -> str | None:
    """After a launch: everything that is or may come to the broker fits the published limit.

    This is the cap when equity moves: no order is admitted beyond the limit then in force.
    """
    if len(model.scope.limits) == 1:
        return None
    held = list(broker.exposure(model, world))
    for i, claim in enumerate(world.claims):
        state = world.orders[i].state
        if state == WIRE or (claim.state == LAUNCHING and state == ABSENT):
            held[0] += model.scope.size[i]
            held[1] += model.scope.size[i] * model.scope.in_crypto[i]
    for pool, have, limit in zip(POOLS, held, model.scope.limits[world.books.equity], strict=True):
        if have > limit:
            return f"cap: launched up to {have} of {limit} in {pool}, the limit in force"
    return None


def wrong_at_rest(model: Model, world: World) -> str | None:
    """Nothing has to happen any more: nothing may be left over, and nobody waits in vain."""
    if not world.books.certified:
        return "stuck: never certified"
    for i, claim in enumerate(world.claims):
        order = world.orders[i]
        if claim.state in (RESERVED, LAUNCHING) or (claim.state == EVICTING and not order.stuck):
            return f"leak: c{i} is {claim.state} for ever"
        if claim.state == OPEN and order.state != LIVE:
            return f"leak: c{i} is open, its order {order.state}"
        if order.state == LIVE and claim.state != OPEN:
            return f"leak: o{i} is live without a claim"
        if order.state == LIVE and world.watchers[model.scope.owner[i]].at == DEAD:
            return f"leak: o{i} is live, and nobody looks after it"
    for w, watcher in enumerate(world.watchers):
        if watcher.at not in (IDLE, WAITING, DEAD, OUT):
            return f"stuck: w{w} is {watcher.at} for ever"
    return _figures_at_rest(model, world) or _idle_capacity(model, world)


def _figures_at_rest(model: Model, world: World) -> str | None:
    """After one more snapshot the ledger counts exactly what the broker holds."""
    ours = broker.exposure(model, world)
    held = (ours[0] + broker.foreign_exposure(model, world), ours[1])
    seen = ledger.counted(model, _refreshed(model, world))
    for pool, have, count in zip(POOLS, held, seen, strict=True):
        if count != have:
            return f"leak: at rest the ledger counts {count} in {pool}, the broker holds {have}"
    return None


def _refreshed(model: Model, world: World) -> World:
    """*world* after a snapshot that nothing disturbed."""
    if not world.readings:  # positions are not read in this scope: fills stay charged
        return world
    for i, claim in enumerate(world.claims):
        if claim.state == CLOSED:
            world = ledger.forget(world, i)
        elif claim.state != NONE:
            world = world.claim(i, absorbed=claim.filled)
    foreign = 0
    if world.foreign.state == LIVE and "foreign_counted" in model.rules:
        foreign = model.scope.foreign_size
    if world.sale.state == LIVE and "exit_is_no_exposure" not in model.rules:
        foreign += model.scope.sale_size
    books = world.books._replace(
        positions=broker.positions(model, world), foreign=foreign, equity=world.equity
    )
    return world._replace(books=books)


def _idle_capacity(model: Model, world: World) -> str | None:
    """After one more snapshot: whoever fits is not kept waiting by one who does not act."""
    world = _refreshed(model, world)
    if not world.books.published or world.books.no_steal:
        return None
    total, crypto = ledger.free(model, world)
    strict = ledger.Model(model.scope, model.rules | {"yield_only_if_fits"})
    everybody = range(len(world.watchers))
    fitting = [w for w in everybody if ledger.fits_waiting(strict, world, w, total, crypto)]
    idle = [w for w in everybody if world.watchers[w].at in (IDLE, WAITING)]
    served = any(ledger.may_acquire(model, world, w) for w in idle)
    if fitting and not served and model.scope.power is None:
        return f"stuck: w{fitting[0]} waits, although it fits what is free"
    return None
