"""What the keeper does: reads the account in steps, mends, sweeps, certifies."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.exploration.explorer import FAULT, MUST, READING, Step
from scripts.exploration.model import broker, ledger
from scripts.exploration.model.ledger import Model
from scripts.exploration.model.state import (
    ABSENT,
    AT_BROKER,
    CANCELING,
    CLOSED,
    DEAD,
    EVICTING,
    LAUNCHING,
    LIVE,
    NONE,
    OPEN,
    OVER,
    REFUSED,
    RESERVED,
    WIRE,
    Books,
    Claim,
    World,
)
from scripts.exploration.model.watchers import in_flight


def steps(model: Model, world: World) -> Iterator[Step[World]]:
    """Everything a keeper may do next, and the faults of the server it works on."""
    if not world.books.certified:
        if "quarantine_before_certify" not in model.rules or not in_flight(world):
            yield Step(MUST, "the keeper certifies", _certify(model, world))
    else:
        for i, claim in enumerate(world.claims):
            yield from _mend(model, world, i, claim)
        if world.budget.flushes:
            empty = world.spend("flushes")._replace(
                claims=(Claim(),) * len(world.claims),
                books=Books(certified=False, published=False),
            )
            yield Step(FAULT, "Redis loses its memory", empty)
        if world.budget.server_restarts:
            books = world.books._replace(certified=False, published=False)
            again = world.spend("server_restarts")._replace(books=books)
            yield Step(FAULT, "Redis restarts with its data", again)
    if world.books.no_steal or world.pause:
        books = world.books._replace(no_steal=False)
        yield Step(MUST, "a cooldown passes", world._replace(books=books, pause=False))
    for k in range(len(world.readings)):
        yield from _read(model, world, k)


# ---- the sweep and the comparison with the broker


def _mend(model: Model, world: World, i: int, claim: Claim) -> Iterator[Step[World]]:
    order, state = world.orders[i], claim.state
    sent = (LAUNCHING, OPEN, EVICTING) if "launch" in model.rules else (
        RESERVED, LAUNCHING, OPEN, EVICTING,
    )  # fmt: skip
    if state in (NONE, CLOSED):
        if order.state in AT_BROKER and "condemn" in model.rules:
            new = Claim(EVICTING, filled=order.filled, absorbed=claim.absorbed)
            yield Step(MUST, f"the keeper condemns c{i}", world.claim(i, **new._asdict()))
        return
    if state in sent and order.state in OVER:
        yield Step(MUST, f"c{i} is closed", ledger.close(model, world, i, order.filled))
    elif state in sent[:-2] and order.state in AT_BROKER:
        after = world.claim(i, state=OPEN, fund=0, fund_crypto=0, due=False, filled=order.filled)
        yield Step(MUST, f"c{i} is confirmed", after)
    elif state in (OPEN, EVICTING) and order.filled > claim.filled:
        yield Step(MUST, f"c{i}: the ledger learns a fill", world.claim(i, filled=order.filled))
    if state == RESERVED and claim.due:
        yield Step(MUST, f"the sweep aborts c{i}", ledger.drop(model, world, i))
    elif state == LAUNCHING and claim.due:
        nowhere = (ABSENT, REFUSED)
        if order.state in nowhere or (
            order.state == WIRE and "not_found_is_no_evidence" not in model.rules
        ):
            yield Step(MUST, f"the sweep frees c{i}, not found", ledger.drop(model, world, i))
    elif state == EVICTING:
        yield from _evicting(model, world, i, claim)
    elif (
        state == OPEN
        and world.watchers[model.scope.owner[i]].at == DEAD
        and "orphans_evicted" in model.rules
    ):
        yield Step(MUST, f"the orphan c{i} is evicted", world.claim(i, state=EVICTING))


def _evicting(model: Model, world: World, i: int, claim: Claim) -> Iterator[Step[World]]:
    order = world.orders[i]
    if order.state == LIVE:
        yield Step(MUST, f"DELETE o{i}", world.order(i, state=CANCELING))
    if order.state == CANCELING and "heir_on_terminal" not in model.rules:
        early = ledger.close(model, world, i, order.filled)
        yield Step(MUST, f"c{i} is closed on the accepted cancel", early)
    if model.scope.budget.stuck_cancels and claim.heir < 0 and not claim.old:
        yield Step(MUST, f"the eviction of c{i} grows old", world.claim(i, old=True))


# ---- certification


def _certify(model: Model, world: World) -> World:
    lost = all(claim.state == NONE for claim in world.claims) and any(
        order.state in AT_BROKER for order in world.orders
    )
    kept = world.books.no_steal and "no_steal_kept" in model.rules
    after = world._replace(
        books=world.books._replace(certified=True, no_steal=lost or kept),
        readings=tuple(r._replace(certified=False) for r in world.readings),
        pause=world.pause or lost,
    )
    if model.scope.rebuilds:
        for i, order in enumerate(world.orders):
            if order.state in AT_BROKER and after.claims[i].state == NONE:
                absorbed = 0 if "rebuilt_fills_charged" in model.rules else order.filled
                going = order.state == CANCELING and "rebuilt_canceling_evicts" in model.rules
                state = EVICTING if going else OPEN
                after = after.claim(i, state=state, filled=order.filled, absorbed=absorbed)
    return after


# ---- the account's snapshot


def _read(model: Model, world: World, k: int) -> Iterator[Step[World]]:
    reading = world.readings[k]
    if reading.stage == 0:
        if world.books.certified:
            yield Step(READING, f"keeper {k} begins to read", _begin(model, world, k))
    elif reading.stage < 3:
        orders = (reading.stage == 1) == ("orders_first" in model.rules)
        if orders:
            yield Step(READING, f"keeper {k} reads orders", _read_orders(model, world, k))
        elif _lag_is_over(world, k):
            yield Step(READING, f"keeper {k} reads positions", _read_positions(model, world, k))
    elif world.books.certified:
        yield from _publish(model, world, k)


def _begin(model: Model, world: World, k: int) -> World:
    """Note the fills old enough, and what the broker's own figure cannot show yet."""
    after = world
    for i, claim in enumerate(world.claims):
        if claim.filled > claim.absorbed:
            aged = world.orders[i].shown >= claim.filled or "lag" not in model.rules
            after = after.claim(i, noted=claim.filled if aged else claim.absorbed)
    if model.scope.power is not None:
        after = _begin_draws(model, after)
    readings = tuple(r._replace(newest=False) for r in after.readings)
    fresh = world.readings[k]._replace(
        stage=1,
        newest=True,
        certified=True,
        foreign_was=broker.foreign_exposure(model, world),
    )
    return after._replace(readings=readings).reading(k, fresh)


def _begin_draws(model: Model, world: World) -> World:
    since, coming = world.books.since, 0
    for i, claim in enumerate(world.claims):
        if claim.state not in (RESERVED, LAUNCHING):
            continue
        draw = claim.draw
        if claim.state == LAUNCHING:
            since, draw = since + model.scope.size[i] - draw, model.scope.size[i]
            world = world.claim(i, draw=draw)
        coming += draw
    return world._replace(books=world.books._replace(since=since, next=coming))


def _read_orders(model: Model, world: World, k: int) -> World:
    strays = tuple(
        (i, order.filled)
        for i, order in enumerate(world.orders)
        if order.state in AT_BROKER and world.claims[i].state in (NONE, CLOSED, RESERVED)
    )
    foreign = 0
    if world.foreign.state == LIVE and "foreign_counted" in model.rules:
        foreign += model.scope.foreign_size
    if world.sale.state == LIVE and "exit_is_no_exposure" not in model.rules:
        foreign += model.scope.sale_size
    reading = world.readings[k]
    awaits: tuple[tuple[int, int], ...] = ()
    if "positions_after_lag" in model.rules:
        everything = (*world.orders, world.foreign)
        awaits = tuple((i, o.filled) for i, o in enumerate(everything) if o.filled > o.shown)
    return world.reading(
        k,
        reading._replace(stage=reading.stage + 1, strays=strays, foreign=foreign, awaits=awaits),
    )


def _lag_is_over(world: World, k: int) -> bool:
    everything = (*world.orders, world.foreign)
    return all(everything[i].shown >= filled for i, filled in world.readings[k].awaits)


def _read_positions(model: Model, world: World, k: int) -> World:
    reading = world.readings[k]
    power = broker.power_left(model, world) if model.scope.power is not None else 0
    return world.reading(
        k,
        reading._replace(
            stage=reading.stage + 1,
            positions=broker.positions(model, world),
            equity=world.equity,
            power=power,
        ),
    )


def _publish(model: Model, world: World, k: int) -> Iterator[Step[World]]:
    reading = world.readings[k]
    done = world.reading(k, type(reading)())
    outdated = not reading.newest and "newest_snapshot" in model.rules
    if outdated or (not reading.certified and "certificate_fences" in model.rules):
        yield Step(READING, f"keeper {k}: publish refused, stale", done)
        return
    if "strays_before_publish" in model.rules:
        for i, filled in reading.strays:
            order, state = world.orders[i], world.claims[i].state
            if state == RESERVED or (state == NONE and order.filled > filled):
                yield Step(READING, f"keeper {k} reads once more, o{i} is counted nowhere", done)
                return
            if state in (NONE, CLOSED) and order.state in AT_BROKER:
                return  # it is condemned first
    after = done
    for i, claim in enumerate(world.claims):
        if claim.filled > claim.absorbed and reading.newest:
            absorbed = max(claim.absorbed, min(claim.noted, claim.filled))
            if claim.state == CLOSED and absorbed >= claim.filled:
                after = ledger.forget(after, i)
            elif absorbed != claim.absorbed:
                after = after.claim(i, absorbed=absorbed)
    books = world.books._replace(
        published=True,
        equity=reading.equity,
        positions=reading.positions,
        foreign=reading.foreign,
        power=reading.power,
        since=world.books.next,
        foreign_known=reading.foreign_was,
    )
    yield Step(READING, f"keeper {k} publishes", after._replace(books=books))
