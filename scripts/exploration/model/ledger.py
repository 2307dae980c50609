"""The ledger's arithmetic: what is charged, what is free, who pays for a claim."""

from __future__ import annotations

from typing import NamedTuple

from scripts.exploration.model.state import (
    CLOSED,
    EVICTING,
    HOLDS_SLOT,
    LAUNCHING,
    NONE,
    OPEN,
    RESERVED,
    WAITING,
    Claim,
    Scope,
    World,
)

#: By what factor a thief must beat a victim, and all its victims together.
IMPROVEMENT = 1.1


class Model(NamedTuple):
    """A configuration and the rules that are on."""

    scope: Scope
    rules: frozenset[str]


class Plan(NamedTuple):
    """Where a claim's money comes from: what is free, evictions under way, new victims."""

    inherits: tuple[int, ...]
    victims: tuple[int, ...]
    needless: bool = False  # evictions under way would have been enough


def charge(model: Model, i: int, claim: Claim) -> tuple[int, int]:
    """What *claim* is charged for, as (total, crypto)."""
    state = claim.state
    if state == NONE:
        return 0, 0
    if state == RESERVED:
        return claim.fund, claim.fund_crypto
    if state == CLOSED:
        held = claim.filled - claim.absorbed if "filled_stays_charged" in model.rules else 0
    else:
        held = model.scope.size[i] - claim.absorbed
    return held, held * model.scope.in_crypto[i] if "crypto_pool" in model.rules else 0


def counted(model: Model, world: World) -> tuple[int, int]:
    """What the ledger takes as used, per pool."""
    books = world.books
    total, crypto = books.positions[0] + books.foreign, books.positions[1]
    for i, claim in enumerate(world.claims):
        if claim.state != NONE:
            more, more_crypto = charge(model, i, claim)
            total, crypto = total + more, crypto + more_crypto
    return total, crypto


def free(model: Model, world: World) -> tuple[int, int]:
    """What the ledger takes as free, per pool; negative after an equity drop."""
    total, crypto = counted(model, world)
    limit_total, limit_crypto = model.scope.limits[world.books.equity]
    return limit_total - total, limit_crypto - crypto


def room_at_broker(model: Model, world: World) -> int:
    """What is left of the broker's own figure; plenty when it is not modelled or not asked."""
    if model.scope.power is None or "clamp" not in model.rules:
        return 1 << 20
    return world.books.power - world.books.since


def holder(model: Model, world: World, w: int) -> int:
    """The claim that holds watcher *w*'s slot, or -1."""
    for i in model.scope.blocks[w]:
        state = world.claims[i].state
        if state in HOLDS_SLOT:
            if state == EVICTING and "slot_until_terminal" not in model.rules:
                continue
            return i
    return -1


def unused(model: Model, world: World, w: int) -> int:
    """The next id watcher *w* may use, or -1."""
    for i in model.scope.blocks[w]:
        if world.claims[i].state == NONE and world.orders[i].state == "absent":
            return i
    return -1


def remainder(model: Model, world: World, i: int) -> int:
    """What the end of order *i* would free, by what the ledger knows."""
    return model.scope.size[i] - world.claims[i].filled


def heirless(model: Model, world: World) -> list[int]:
    """Evictions that nobody waits for and that may be counted on."""
    return [
        i
        for i, c in enumerate(world.claims)
        if c.state == EVICTING and c.heir < 0 and not (c.old and "old_not_inherited" in model.rules)
    ]


def yields(model: Model, world: World, w: int) -> bool:
    """True when a better waiter than *w* fits what is free or about to be."""
    if "best_waiter_first" not in model.rules:
        return False
    total, crypto = free(model, world)
    for i in heirless(model, world):
        rest = remainder(model, world, i)
        total, crypto = total + rest, crypto + rest * model.scope.in_crypto[i]
    return any(fits_waiting(model, world, x, total, crypto) for x in _better(model, w))


def _better(model: Model, w: int) -> list[int]:
    pnl = model.scope.pnl
    return [x for x in range(len(pnl)) if pnl[x] > pnl[w]]


def may_acquire(model: Model, world: World, w: int) -> Plan | None:
    """How watcher *w*'s next claim would be funded now; None when `acquire` denies it."""
    i = unused(model, world, w)
    if i < 0 or not world.books.published or yields(model, world, w):
        return None
    return plan(model, world, w, i)


def fits_waiting(model: Model, world: World, x: int, total: int, crypto: int) -> bool:
    """True when watcher *x* waits, and its order fits these amounts (or that is not asked)."""
    if world.watchers[x].at != WAITING or unused(model, world, x) < 0:
        return False
    if holder(model, world, x) >= 0:
        return False
    need = model.scope.sizes[x]
    fits = need <= total and (not model.scope.crypto[x] or need <= crypto)
    return fits or "yield_only_if_fits" not in model.rules


def plan(model: Model, world: World, w: int, i: int) -> Plan | None:
    """How to fund what claim *i* of watcher *w* still lacks; None: it cannot be."""
    claim, crypto_weight = world.claims[i], model.scope.in_crypto[i]
    need = model.scope.size[i]
    left, left_crypto = free(model, world)
    gap = [
        need - claim.fund - left,
        need - claim.fund_crypto - left_crypto if crypto_weight else -1,
        need - claim.draw - room_at_broker(model, world),
    ]
    inherits: list[int] = []
    pool, coming = heirless(model, world), list(gap)
    if "heirless_first" in model.rules:
        _take(model, world, pool, gap, inherits)
    if max(gap) <= 0:
        return Plan(tuple(inherits), ())
    if world.books.no_steal:
        return None
    _take(model, world, pool, coming, [])
    victims = _victims(model, world, w, gap)
    if not victims:
        return None
    return Plan(tuple(inherits), tuple(victims), needless=max(coming) <= 0)


def _take(model: Model, world: World, pool: list[int], gap: list[int], taken: list[int]) -> None:
    """Evictions of *pool* that help, until *gap* is covered; reduces it."""
    for i in pool:
        if max(gap) <= 0:
            return
        if _helps(model, world, i, gap):
            taken.append(i)
            _reduce(model, world, i, gap)


def _helps(model: Model, world: World, i: int, gap: list[int]) -> bool:
    in_short_pool = gap[0] > 0 or gap[2] > 0 or (gap[1] > 0 and model.scope.in_crypto[i])
    return bool(in_short_pool) and remainder(model, world, i) > 0


def _reduce(model: Model, world: World, i: int, gap: list[int], sign: int = 1) -> None:
    rest = sign * remainder(model, world, i)
    gap[0] -= rest
    gap[1] -= rest * model.scope.in_crypto[i]
    gap[2] -= rest


def _victims(model: Model, world: World, w: int, gap: list[int]) -> list[int]:
    """Worst first until the gap is covered, less those not needed after all; [] if it is not."""
    scope = model.scope
    states = (OPEN,) if "only_open_victims" in model.rules else (OPEN, LAUNCHING)
    open_ = [i for i, c in enumerate(world.claims) if c.state in states and scope.owner[i] != w]
    open_.sort(key=lambda i: (scope.pnl[scope.owner[i]], i))
    chosen: list[int] = []
    for i in open_:
        if max(gap) <= 0 or scope.pnl[scope.owner[i]] * IMPROVEMENT >= scope.pnl[w]:
            break
        if _helps(model, world, i, gap):
            chosen.append(i)
            _reduce(model, world, i, gap)
    if max(gap) > 0:
        return []
    for i in reversed(chosen[:]):
        _reduce(model, world, i, gap, -1)
        if max(gap) > 0:
            _reduce(model, world, i, gap)
        else:
            chosen.remove(i)
    worth = sum(scope.pnl[scope.owner[i]] for i in chosen)
    return chosen if worth * IMPROVEMENT < scope.pnl[w] else []


def carry_out(model: Model, world: World, i: int, plan_: Plan) -> World:
    """Take what is free towards claim *i*, and make it the heir of what it waits for."""
    claim, scope = world.claims[i], model.scope
    left, left_crypto = free(model, world)
    need = scope.size[i]
    waits = plan_.inherits + plan_.victims
    if scope.power is not None:
        net = need - claim.draw - sum(remainder(model, world, v) for v in waits)
        world = _draw(world, i, max(net, 0))
    world = world.claim(
        i,
        state=RESERVED,
        fund=claim.fund + min(need - claim.fund, max(left, 0)),
        fund_crypto=claim.fund_crypto
        + min(need * scope.in_crypto[i] - claim.fund_crypto, max(left_crypto, 0)),
    )
    for v in waits:
        world = world.claim(v, state=EVICTING, heir=i)
    return world


def _draw(world: World, i: int, amount: int) -> World:
    """Count *amount* more of claim *i* against the broker's own figure."""
    books = world.books._replace(since=world.books.since + amount, next=world.books.next + amount)
    return world.claim(i, draw=world.claims[i].draw + amount)._replace(books=books)


def close(model: Model, world: World, i: int, filled: int) -> World:
    """Order *i* is over: what it did not fill goes to its heir first, and is else free."""
    claim = world.claims[i]
    heir, freed = claim.heir, model.scope.size[i] - filled
    world = forget(world, i)
    if filled > claim.absorbed and "filled_stays_charged" in model.rules:
        noted = min(claim.noted, filled)
        world = world.claim(i, state=CLOSED, filled=filled, absorbed=claim.absorbed, noted=noted)
    if heir >= 0 and world.claims[heir].state == RESERVED:
        world = _pay(model, world, heir, freed, freed * model.scope.in_crypto[i])
    return world


def _pay(model: Model, world: World, heir: int, freed: int, freed_crypto: int) -> World:
    claim, need = world.claims[heir], model.scope.size[heir]
    if model.scope.power is not None and "draw_follows_victims" in model.rules:
        more = max(min(freed, need - claim.draw), 0)
        world = _draw(world, heir, more)
        world = world._replace(books=world.books._replace(power=world.books.power + more))
    lack_crypto = need * model.scope.in_crypto[heir] - claim.fund_crypto
    return world.claim(
        heir,
        fund=min(need, claim.fund + freed),
        fund_crypto=claim.fund_crypto + min(lack_crypto, freed_crypto),
    )


def drop(model: Model, world: World, i: int) -> World:
    """Claim *i* never reached the broker and cannot: all it held is free, its victims heirless."""
    draw = world.claims[i].draw
    if draw:
        books = world.books
        world = world._replace(
            books=books._replace(since=max(books.since - draw, 0), next=max(books.next - draw, 0))
        )
    world = forget(world, i)
    for v, victim in enumerate(world.claims):
        if victim.heir == i:
            back = victim.state == EVICTING and "irrevocable" not in model.rules
            world = world.claim(v, heir=-1, state=OPEN if back else victim.state)
    return world


def forget(world: World, i: int) -> World:
    """The ledger knows claim *i* no more."""
    claims = world.claims
    return world._replace(claims=(*claims[:i], NOBODY, *claims[i + 1 :]))


NOBODY = Claim()
