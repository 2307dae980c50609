"""The broker and the people at it: arrivals, fills, cancels, equity, orders of others."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.exploration.explorer import FAULT, MUST, Step
from scripts.exploration.model.ledger import Model
from scripts.exploration.model.state import (
    ABSENT,
    AT_BROKER,
    CANCELED,
    CANCELING,
    FILLED,
    LIVE,
    OVER,
    REFUSED,
    WIRE,
    Order,
    World,
)


def steps(model: Model, world: World) -> Iterator[Step[World]]:
    """Everything that can happen at the broker next."""
    for i, order in enumerate(world.orders):
        if order.state == WIRE:
            yield from _arrival(model, world, i)
        elif order.state in AT_BROKER:
            yield from _life(model, world, i, order)
        if order.shown < order.filled:
            shown = world.order(i, shown=order.filled)
            yield Step(MUST, f"positions show the fills of o{i}", shown)
        if order.held:
            yield Step(MUST, f"the broker releases o{i}'s power", world.order(i, held=0))
    if world.budget.equity_moves:
        moved = world.spend("equity_moves")._replace(equity=world.equity + 1)
        yield Step(FAULT, "equity falls", moved)
    if model.scope.foreign_size:
        yield from _foreign(model, world)
    if model.scope.sale_size:
        yield from _sale(model, world)


def _arrival(model: Model, world: World, i: int) -> Iterator[Step[World]]:
    refused = model.scope.power is not None and model.scope.size[i] > power_left(model, world)
    state = REFUSED if refused else LIVE
    words = "is refused for want of power" if refused else "arrives"
    yield Step(MUST, f"POST o{i} {words}", world.order(i, state=state))
    if world.budget.refusals:
        other = world.spend("refusals").order(i, state=REFUSED)
        yield Step(FAULT, f"the broker refuses POST o{i}", other)


def _life(model: Model, world: World, i: int, order: Order) -> Iterator[Step[World]]:
    if world.budget.fills:
        filled = order.filled + 1
        shown = order.shown if model.scope.positions_lag else filled
        state = FILLED if filled == model.scope.size[i] else order.state
        after = world.spend("fills").order(i, filled=filled, shown=shown, state=state)
        yield Step(FAULT, f"o{i} fills to {filled}", after)
    if order.state != CANCELING:
        return
    if not order.stuck:
        held = model.scope.size[i] - order.filled if model.scope.slow_release else 0
        yield Step(MUST, f"o{i} is canceled", world.order(i, state=CANCELED, held=held))
        if world.budget.stuck_cancels:
            after = world.spend("stuck_cancels").order(i, stuck=True)
            yield Step(FAULT, f"the cancel of o{i} waits for the session", after)
    if world.budget.lost_cancels:
        after = world.spend("lost_cancels").order(i, state=LIVE)
        yield Step(FAULT, f"the cancel of o{i} has no effect", after)


def _foreign(model: Model, world: World) -> Iterator[Step[World]]:
    size, order = model.scope.foreign_size, world.foreign
    if order.state == ABSENT:
        placed = world._replace(foreign=Order(LIVE))
        yield Step(FAULT, "a person places a buy", placed)
    elif order.state == LIVE:
        shown = 0 if model.scope.foreign_lags else size
        filled = world._replace(foreign=Order(FILLED, filled=size, shown=shown))
        yield Step(FAULT, "the person's buy fills", filled)
    elif order.shown < order.filled:
        shown_ = world._replace(foreign=order._replace(shown=size))
        yield Step(MUST, "positions show the person's buy", shown_)


def _sale(model: Model, world: World) -> Iterator[Step[World]]:
    size, sale = model.scope.sale_size, world.sale
    if sale.state == ABSENT and world.orders[0].shown >= size:
        yield Step(FAULT, "an exit is placed", world._replace(sale=Order(LIVE)))
    elif sale.state == LIVE:
        shown = 0 if model.scope.positions_lag else size
        sold = world._replace(sale=Order(FILLED, filled=size, shown=shown))
        yield Step(FAULT, "the exit fills", sold)
    elif sale.shown < sale.filled:
        yield Step(MUST, "positions show the exit", world._replace(sale=sale._replace(shown=size)))


def power_left(model: Model, world: World) -> int:
    """The broker's own buying power now (only where ``Scope.power`` is given)."""
    left = model.scope.power or 0
    for i, order in enumerate(world.orders):
        used = model.scope.size[i] if order.state in AT_BROKER else order.filled
        left -= used + order.held
    return left


def positions(model: Model, world: World) -> tuple[int, int]:
    """What the list of positions shows, as (total, crypto)."""
    total = world.foreign.shown - world.sale.shown
    crypto = -world.sale.shown * model.scope.in_crypto[0]
    for i, order in enumerate(world.orders):
        total += order.shown
        crypto += order.shown * model.scope.in_crypto[i]
    return total, crypto


def exposure(model: Model, world: World) -> tuple[int, int]:
    """Live orders of ours and what they filled, less what was sold, as (total, crypto)."""
    total, crypto = -world.sale.filled, -world.sale.filled * model.scope.in_crypto[0]
    for i, order in enumerate(world.orders):
        if order.state in AT_BROKER:
            held = model.scope.size[i]
        elif order.state in OVER:
            held = order.filled
        else:
            continue
        total += held
        crypto += held * model.scope.in_crypto[i]
    return total, crypto


def foreign_exposure(model: Model, world: World) -> int:
    """What a person's order may hold, filled or not."""
    order = world.foreign
    return model.scope.foreign_size if order.state == LIVE else order.filled
