"""The steps of a lost memory: Redis is empty, the keeper certifies anew and rebuilds from the
broker's orders, watchers take up what is theirs, and an order that comes too late is condemned.

Time stands still, so the quarantine is what it makes sure of: nobody may still write a POST, and
none is on its way. A POST that is nevertheless (it lay in a network for longer than all of that) is
a fault: the product promises that such an order is counted at the next snapshot and canceled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from scripts.exploration.explorer import FAULT, MUST
from scripts.exploration.real.ledger_view import View
from scripts.exploration.real.stage import (
    COUNTED,
    LATE,
    LIVE,
    WATCHERS,
    Actor,
    Move,
    Order,
    Outside,
    Stage,
    as_broker_says,
)
from stealer.errors import Refused, ServerMoved

#: How long the product waits for the silence of another owner; here nobody is ever silent.
SILENT_SECONDS = 6.0


def moves(view: View, outside: Outside) -> Iterator[Move]:
    """What may happen because memory may be lost, or was."""
    if outside.losses:
        yield FAULT, "Redis loses its memory", _lose, False
    if not view.certified:
        yield from _certification(outside)
        return
    for w, actor in enumerate(outside.actors):
        yield from _owner(view, outside, w, actor)


def stray(view: View, order: Order) -> bool:
    """True for a live order that the ledger does not know."""
    return order.status in LIVE and view.state(order.id) in ("gone", "closed")


def condemn_strays(stage: Stage, outside: Outside, listed: tuple[str, ...]) -> Outside:
    """What the keeper does with the late orders it *listed*, before it publishes."""
    assert outside.reading is not None
    for order_id in listed:
        order = outside.order(order_id)
        if order and order.status in LIVE:
            stage.coordinator.condemn(as_broker_says(order), outside.reading[1])
            outside = outside.with_order(order._replace(late=COUNTED))
    return outside


def _lose(stage: Stage, outside: Outside) -> Outside:
    stage.lose_memory(outside.lost + 1)
    return outside._replace(losses=outside.losses - 1, lost=outside.lost + 1)


def _certification(outside: Outside) -> Iterator[Move]:
    if not any(order.status == "wire" for order in outside.orders):
        yield MUST, "the keeper certifies anew", _certify, True
    elif outside.faults:
        words = "the keeper certifies anew, a POST is still on its way"
        yield FAULT, words, _certify_too_early, False


def _certify(stage: Stage, outside: Outside) -> Outside:
    """The quarantine is over: the ledger is made of the broker's list, and the feeds follow."""
    ledger = stage.coordinator
    listed = [as_broker_says(order) for order in outside.orders if order.status in LIVE]
    with contextlib.suppress(ServerMoved):  # the second copy of a call whose reply was lost
        ledger.certify(
            outside.term, seen=ledger.server(), orders=[ledger.listed(order) for order in listed]
        )
    stage.publish_market(outside.term)
    for w, actor in enumerate(outside.actors):
        if actor.at == "posting":
            outside = outside.with_actor(w, actor._replace(late=True))
    return outside


def _certify_too_early(stage: Stage, outside: Outside) -> Outside:
    for order in outside.orders:
        if order.status == "wire":
            outside = outside.with_order(order._replace(late=LATE))
    return _certify(stage, outside._replace(faults=outside.faults - 1))


def _owner(view: View, outside: Outside, w: int, actor: Actor) -> Iterator[Move]:
    """A watcher that finds its order made again, or unknown."""
    if actor.at != "out" or actor.claim is None:
        return
    name, claim = WATCHERS[w][0], actor.claim
    order, fields = outside.order(claim.id), view.claims.get(claim.id)
    if fields and fields["state"] != "closed" and fields["fence"] != claim.fence:
        yield MUST, f"{name} takes up its order", _adoption(w, fields["slot"], claim.id), True
    if order and order.status == "live" and stray(view, order):
        gone = outside.with_order(order._replace(status="canceling"))
        yield MUST, f"{name} cancels its unknown order", lambda s, o: gone, False


def _adoption(w: int, slot: str, known: str) -> Callable[[Stage, Outside], Outside]:
    def adopt(stage: Stage, outside: Outside) -> Outside:
        with contextlib.suppress(Refused):
            taken = stage.coordinator.adopt(slot, SILENT_SECONDS, known=known)
            if taken is not None and taken.id == known:
                return outside.with_actor(w, outside.actors[w]._replace(claim=taken))
        return outside

    return adopt
