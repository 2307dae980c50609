"""What watchers do, each step one script call or one request; and how they die and return."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.exploration.explorer import FAULT, MUST, Step
from scripts.exploration.model import ledger
from scripts.exploration.model.invariants import launched_beyond_limit
from scripts.exploration.model.ledger import Model
from scripts.exploration.model.state import (
    CANCELING,
    DEAD,
    EVICTING,
    FUNDING,
    HOLDS_SLOT,
    IDLE,
    LAUNCHING,
    LIVE,
    NONE,
    OUT,
    POSTING,
    REFUSED,
    RESERVED,
    WAITING,
    WIRE,
    World,
)


def steps(model: Model, world: World) -> Iterator[Step[World]]:
    """Every step a watcher may take next, and crashes, restarts and passing deadlines."""
    for w, watcher in enumerate(world.watchers):
        if watcher.at == DEAD:
            if world.budget.restarts:
                yield Step(FAULT, f"w{w} restarts", world.spend("restarts").watcher(w, at=IDLE))
            continue
        if world.budget.crashes and watcher.at not in (IDLE, WAITING):
            yield Step(FAULT, f"w{w} crashes", world.spend("crashes").watcher(w, at=DEAD))
        if watcher.at in (IDLE, WAITING):
            if world.books.certified:
                yield from _idle(model, world, w)
        elif watcher.at == FUNDING:
            if world.books.certified:
                yield from _funding(model, world, w)
        elif watcher.at == POSTING:
            yield from _posting(model, world, w)
        elif watcher.at == OUT:
            yield from _out(model, world, w)
    if model.scope.deadlines:
        yield from _deadlines(world)


def _idle(model: Model, world: World, w: int) -> Iterator[Step[World]]:
    held = ledger.holder(model, world, w)
    if held >= 0:
        if world.claims[held].state != RESERVED:
            yield Step(MUST, f"w{w} adopts c{held}", world.watcher(w, at=OUT, claim=held))
        return
    i = ledger.unused(model, world, w)
    if i < 0 or not world.books.published:
        return
    plan = ledger.may_acquire(model, world, w)
    if plan is None:
        if world.watchers[w].at == IDLE:
            yield Step(MUST, f"w{w} asks in vain, waits", world.watcher(w, at=WAITING))
        return
    after = ledger.carry_out(model, world, i, plan).watcher(w, at=FUNDING, claim=i)
    yield Step(MUST, f"w{w} acquires c{i}{_from(plan)}", after, _wrong(model, world, w, plan))


def _from(plan: ledger.Plan) -> str:
    words = [f", steals from c{v}" for v in plan.victims]
    return "".join(words + [f", inherits c{v}" for v in plan.inherits])


def _wrong(model: Model, world: World, w: int, plan: ledger.Plan) -> str | None:
    if plan.victims and plan.needless:
        return "needless: a victim was chosen although evictions under way were enough"
    if plan.victims and world.pause:
        return "memory: stolen within a cooldown of the loss of memory"
    if not plan.victims and not plan.inherits:
        total, crypto = ledger.free(model, world)
        for x in range(len(model.scope.pnl)):
            strict = Model(model.scope, model.rules | {"yield_only_if_fits"})
            better = model.scope.pnl[x] > model.scope.pnl[w]
            if better and ledger.fits_waiting(strict, world, x, total, crypto):
                return f"service: w{w} was served although the better w{x} waits and fits"
    return None


def _funding(model: Model, world: World, w: int) -> Iterator[Step[World]]:
    i = world.watchers[w].claim
    claim = world.claims[i]
    if claim.state != RESERVED:
        yield Step(MUST, f"w{w} finds c{i} gone", world.watcher(w, at=IDLE))
        return
    if claim.due and ("launch" in model.rules or _funded(model, world, i) is False):
        gone = ledger.drop(model, world, i).watcher(w, at=IDLE)
        yield Step(MUST, f"w{w} aborts c{i}, late", gone)
        return
    if any(c.heir == i and c.state == EVICTING for c in world.claims):
        return
    if _funded(model, world, i):
        yield from _launch(model, world, w, i)
        return
    plan = ledger.plan(model, world, w, i) if world.books.published else None
    if plan is None:
        gone = ledger.drop(model, world, i).watcher(w, at=IDLE)
        nothing_filled = model.scope.power is not None and not model.scope.budget.fills
        wrong = f"vain: c{i} got nothing of its victims" if nothing_filled else None
        yield Step(MUST, f"w{w} aborts c{i}, cannot be funded", gone, wrong)
        return
    after = ledger.carry_out(model, world, i, plan)
    wrong = _wrong(model, world, w, plan) if plan.victims else None
    yield Step(MUST, f"w{w} tops up c{i}{_from(plan)}", after, wrong)


def _funded(model: Model, world: World, i: int) -> bool:
    claim, need = world.claims[i], model.scope.size[i]
    lacks_draw = model.scope.power is not None and claim.draw < need
    if lacks_draw and "topup_asks_broker" in model.rules:
        return False
    if "crypto_pool" not in model.rules:
        return claim.fund == need
    return claim.fund == need and claim.fund_crypto == need * model.scope.in_crypto[i]


def _launch(model: Model, world: World, w: int, i: int) -> Iterator[Step[World]]:
    total, crypto = ledger.free(model, world)
    overdrawn = total < 0 or (crypto < 0 and model.scope.in_crypto[i])
    if overdrawn and "deficit_blocks_launch" in model.rules:
        gone = ledger.drop(model, world, i).watcher(w, at=IDLE)
        yield Step(MUST, f"w{w}: launch refused, overdrawn; aborts c{i}", gone)
        return
    if "launch" in model.rules:
        after = world.claim(i, state=LAUNCHING, fund=0, fund_crypto=0, due=False)
    else:
        after = world
    after = after.watcher(w, at=POSTING, claim=i)
    yield Step(MUST, f"w{w} launches c{i}", after, launched_beyond_limit(model, after))


def _posting(model: Model, world: World, w: int) -> Iterator[Step[World]]:
    watcher = world.watchers[w]
    i = watcher.claim
    if watcher.late and "post_fence" in model.rules:
        if world.books.certified:
            gone = world
            if world.claims[i].state == LAUNCHING:
                gone = ledger.drop(model, world, i)
            yield Step(MUST, f"w{w} sends nothing, late", gone.watcher(w, at=IDLE))
        return
    sent = world.order(i, state=WIRE).watcher(w, at=OUT, claim=i)
    yield Step(MUST, f"w{w} writes POST c{i}", sent)


def _out(model: Model, world: World, w: int) -> Iterator[Step[World]]:
    """The POST has left: only the broker's word, or the ledger's, ends this."""
    i = world.watchers[w].claim
    claim, order = world.claims[i], world.orders[i]
    if not world.books.certified:
        return
    if order.state == REFUSED:
        if "retry_refused" in model.rules and not order.retried and model.scope.slow_release:
            early = any(o.held for o in world.orders)  # the last pause outlasts the broker's
            again = world.order(i, state=WIRE, retried=not early)
            yield Step(MUST, f"w{w} sends POST c{i} again", again)
            return
        gone = world
        if claim.state in (LAUNCHING, RESERVED):
            gone = ledger.drop(model, world, i)
        wrong = None
        if model.scope.power is not None:
            wrong = f"vain: the broker refused c{i} for want of power that the ledger gave"
        yield Step(MUST, f"w{w} is told c{i} is refused", gone.watcher(w, at=IDLE), wrong)
    elif claim.state in (NONE, "closed"):
        if order.state == LIVE:
            own = world.order(i, state=CANCELING)
            yield Step(MUST, f"w{w} cancels c{i}, which the ledger has forgotten", own)
        elif order.state not in (WIRE, CANCELING):
            yield Step(MUST, f"w{w} sees c{i} ended", world.watcher(w, at=IDLE))


def _deadlines(world: World) -> Iterator[Step[World]]:
    """Time passes: the ledger's deadline of a claim, and with it the owner's trust."""
    for i, claim in enumerate(world.claims):
        if claim.state in (RESERVED, LAUNCHING) and not claim.due:
            after = world.claim(i, due=True)
            for w, watcher in enumerate(world.watchers):
                if watcher.claim == i and watcher.at == POSTING:
                    after = after.watcher(w, at=POSTING, claim=i, late=True)
            yield Step(MUST, f"deadline of c{i} passes", after)
    for w, watcher in enumerate(world.watchers):
        if watcher.at != POSTING or watcher.late:
            continue
        if world.claims[watcher.claim].state not in HOLDS_SLOT:
            after = world.watcher(w, at=POSTING, claim=watcher.claim, late=True)
            yield Step(MUST, f"trust of w{w} passes", after)


def in_flight(world: World) -> bool:
    """True while an order may still arrive at the broker: what the quarantine waits out."""
    if any(order.state == WIRE for order in world.orders):
        return True
    return any(x.at == POSTING and not x.late for x in world.watchers)
