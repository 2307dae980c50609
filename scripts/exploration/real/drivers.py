"""The steps: thin drivers of the coordinator's verbs, the broker's moves, the keeper's passes.

Each driver works on a server that holds the state it starts from, and returns what is outside
afterwards, or None when it is not its turn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from scripts.exploration.explorer import FAULT, MUST, READING
from scripts.exploration.real import recovery
from scripts.exploration.real.ledger_view import PREFIX, View
from scripts.exploration.real.stage import (
    ATTEMPTS,
    LIMIT,
    LIVE,
    NEED,
    QTY,
    WATCHERS,
    Actor,
    Move,
    Order,
    Outside,
    Stage,
    as_broker_says,
)
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import Deposed, Refused, StaleSnapshot, Uncertified
from stealer.model import Claim, OrderIntent, Verdict

OVER = ("canceled", "filled")


def moves(view: View, outside: Outside) -> Iterator[Move]:
    """Every step possible here, faults included while they last."""
    for kind, label, act, verb in _all(view, outside):
        yield kind, label, act, verb
        if verb and outside.faults and kind == MUST:
            yield FAULT, f"{label}, reply lost, repeated", _lossy(act), False


def _lossy(act: Callable[[Stage, Outside], Outside]) -> Callable[[Stage, Outside], Outside]:
    def twice(stage: Stage, outside: Outside) -> Outside:
        stage.client.lossy = True
        try:
            after = act(stage, outside)
        finally:
            stage.client.lossy = False
        return after._replace(faults=outside.faults - 1)

    return twice


def _all(view: View, outside: Outside) -> Iterator[Move]:
    for w, actor in enumerate(outside.actors):
        yield from _watcher(view, outside, w, actor)
    for order in outside.orders:
        yield from _broker(outside, order)
    for claim_id in view.claims:
        yield from _sweep(view, outside, claim_id)
    yield from recovery.moves(view, outside)
    if view.certified:
        yield from _keeper(view, outside)


# ---- watchers


def _watcher(view: View, outside: Outside, w: int, actor: Actor) -> Iterator[Move]:
    name = WATCHERS[w][0]
    if actor.at in ("done", "dead"):
        return
    if outside.faults and actor.at != "idle":
        dead = outside.with_actor(w, Actor("dead"))._replace(faults=outside.faults - 1)
        yield FAULT, f"{name} crashes", lambda s, o: dead, False
    if actor.at == "idle":
        if actor.asked < ATTEMPTS:
            yield MUST, f"{name} acquires", lambda s, o: _acquire(s, o, w), True
        return
    claim = actor.claim
    assert claim is not None
    order = outside.order(claim.id)
    if actor.at == "funding":
        yield MUST, f"{name} tops up", lambda s, o: _topup(s, o, w, claim), True
        yield MUST, f"{name} launches too early", lambda s, o: _too_early(s, o, w, claim), True
    elif actor.at == "funded":
        yield MUST, f"{name} launches", lambda s, o: _launch(s, o, w, claim), True
    elif actor.at == "posting" and actor.late:
        yield MUST, f"{name} sends nothing, late", lambda s, o: _unsent(s, o, w, claim), True
    elif actor.at == "posting":
        sent = outside.with_order(Order(claim.id, w, "wire"))
        sent = sent.with_actor(w, actor._replace(at="out"))
        yield MUST, f"{name} writes its POST", lambda s, o: sent, False
    elif (
        actor.at == "out"
        and view.certified
        and view.state(claim.id) in ("gone", "closed")
        and (order is None or order.status in OVER)
    ):
        yield MUST, f"{name} hears of its end", lambda s, o: _heartbeat(s, o, w, claim), True


def _acquire(stage: Stage, outside: Outside, w: int) -> Outside:
    symbol, _, pnl, _ = WATCHERS[w]
    actor = outside.actors[w]
    decision = stage.coordinator.acquire(OrderIntent(symbol, "buy", QTY, LIMIT, "maxdiff", pnl))
    if decision.outcome is Verdict.DENIED or decision.claim is None:
        return outside
    return outside.with_actor(w, Actor("funding", decision.claim, actor.asked + 1))


def _idle(outside: Outside, w: int) -> Outside:
    asked = outside.actors[w].asked
    return outside.with_actor(w, Actor("idle" if asked < ATTEMPTS else "done", None, asked))


def _topup(stage: Stage, outside: Outside, w: int, claim: Claim) -> Outside:
    try:
        decision = stage.coordinator.topup(claim)
        if decision.outcome is Verdict.GRANTED:
            return outside.with_actor(w, outside.actors[w]._replace(at="funded"))
        if decision.outcome is Verdict.STEAL:
            return outside
    except Refused:
        pass
    return _abort(stage, outside, w, claim)


def _abort(stage: Stage, outside: Outside, w: int, claim: Claim) -> Outside:
    with contextlib.suppress(Refused):
        stage.coordinator.abort(claim)
    return _idle(outside, w)


def _launch(stage: Stage, outside: Outside, w: int, claim: Claim) -> Outside:
    try:
        stage.coordinator.launch(claim)
    except Refused:
        return _abort(stage, outside, w, claim)
    return outside.with_actor(w, outside.actors[w]._replace(at="posting"))


def _too_early(stage: Stage, outside: Outside, w: int, claim: Claim) -> Outside:
    """A watcher that forgets to top up: only the script stands between it and the POST."""
    try:
        stage.coordinator.launch(claim)
    except Refused:
        return outside
    return outside.with_actor(w, outside.actors[w]._replace(at="posting"))


def _unsent(stage: Stage, outside: Outside, w: int, claim: Claim) -> Outside:
    with contextlib.suppress(Refused):
        stage.coordinator.unlaunch(claim, "late", refused=False)
    return _idle(outside, w)


def _heartbeat(stage: Stage, outside: Outside, w: int, claim: Claim) -> Outside:
    pulse = stage.coordinator.heartbeat(claim)
    # "fenced": it had lost the claim, which was made again, and ended before it was taken up.
    assert pulse.state in ("gone", "closed", "unknown", "fenced"), pulse
    return _idle(outside, w)


# ---- the broker


def _broker(outside: Outside, order: Order) -> Iterator[Move]:
    name = WATCHERS[order.watcher][0]

    def becomes(status: str, fault: bool = False) -> Callable[[Stage, Outside], Outside]:
        after = outside.with_order(order._replace(status=status))
        if status == "filled":
            total, crypto = outside.positions
            in_crypto = NEED if WATCHERS[order.watcher][1] else 0
            after = after._replace(positions=(total + NEED, crypto + in_crypto))
        if fault:
            after = after._replace(faults=outside.faults - 1)
        return lambda s, o: after

    if order.status == "wire":
        yield MUST, f"{name}'s order arrives", becomes("live"), False
    elif order.status == "canceling":
        yield MUST, f"{name}'s order is canceled", becomes("canceled"), False
    if order.status in LIVE and outside.faults:
        words = "its cancel is answered by a fill" if order.status == "canceling" else "fills"
        yield FAULT, f"{name}'s order: {words}", becomes("filled", fault=True), False


# ---- the keeper


def _sweep(view: View, outside: Outside, claim_id: str) -> Iterator[Move]:
    claim, order = view.claims[claim_id], outside.order(claim_id)
    name, state = claim["symbol"], claim["state"]
    overdue = claim.get("deadline_ms") == "1"
    if order and state in ("launching", "open", "evicting") and order.status in OVER:
        yield MUST, f"{name} is closed", lambda s, o: _close(s, o, order), True
    elif order and state == "launching" and order.status in LIVE:
        yield MUST, f"{name} is confirmed", lambda s, o: _confirm(s, o, order), True
    elif order and state == "evicting" and order.status == "live":
        gone = outside.with_order(order._replace(status="canceling"))
        yield MUST, f"DELETE of {name}", lambda s, o: gone, False
    elif state == "open" and outside.actors[_watcher_of(name)].at == "dead":
        yield MUST, f"the orphan {name} is evicted", lambda s, o: _evict(s, o, claim_id), True
    if state in ("reserved", "launching") and not overdue:
        # With a live owner it is a fault; after a crash it is what must come.
        orphaned = not any(a.claim and a.claim.id == claim_id for a in outside.actors)
        if orphaned or outside.faults:
            kind, spent = (MUST, 0) if orphaned else (FAULT, 1)
            words = f"the deadline of {name} passes"
            yield kind, words, lambda s, o: _overdue(s, o, claim_id, spent), False
    elif state == "reserved" and overdue:
        yield MUST, f"the sweep aborts {name}", lambda s, o: _abort_overdue(s, o, claim_id), True
    elif state == "launching" and order is None and _cannot_send(outside, claim_id):
        yield MUST, f"the sweep frees {name}", lambda s, o: _not_found(s, o, claim_id), True


def _watcher_of(symbol: str) -> int:
    return [name for name, _, _, _ in WATCHERS].index(symbol)


def _cannot_send(outside: Outside, claim_id: str) -> bool:
    """What the quarantine makes sure of: nobody has a POST of this claim still to write."""
    for actor in outside.actors:
        if actor.claim and actor.claim.id == claim_id and actor.at in ("posting", "out"):
            return actor.late
    return True


def _close(stage: Stage, outside: Outside, order: Order) -> Outside:
    stage.coordinator.close(order.id, as_broker_says(order))
    return outside


def _confirm(stage: Stage, outside: Outside, order: Order) -> Outside:
    stage.coordinator.confirm(order.id, as_broker_says(order))
    return outside


def _evict(stage: Stage, outside: Outside, claim_id: str) -> Outside:
    stage.coordinator.evict(claim_id, "orphan", by="keeper")
    return outside


def _overdue(stage: Stage, outside: Outside, claim_id: str, faults: int) -> Outside:
    """Time passes for one claim: its deadline, and with it its owner's trust."""
    stage.server.execute("HSET", f"{PREFIX}claim:{claim_id}", "deadline_ms", "1")
    stage.server.execute("ZADD", f"{PREFIX}deadlines", "1", claim_id)
    for w, actor in enumerate(outside.actors):
        if actor.claim and actor.claim.id == claim_id and actor.at == "posting":
            outside = outside.with_actor(w, actor._replace(late=True))
    return outside._replace(faults=outside.faults - faults)


def _abort_overdue(stage: Stage, outside: Outside, claim_id: str) -> Outside:
    stage.coordinator.abort_overdue(claim_id)
    return outside


def _not_found(stage: Stage, outside: Outside, claim_id: str) -> Outside:
    stage.coordinator.unlaunch_as_keeper(claim_id, outside.term, "not found")
    return outside


def _keeper(view: View, outside: Outside) -> Iterator[Move]:
    reading = outside.reading
    # Only the keeper finds an order that nobody knows: then it must read.
    kind = MUST if any(recovery.stray(view, order) for order in outside.orders) else READING
    if reading is None:
        yield kind, "the keeper begins to read", _begin, True
        return
    if reading[2] < 0:
        late = tuple(o.id for o in outside.orders if o.late and o.status in LIVE)
        read = outside._replace(reading=(*reading[:2], *outside.positions, late))
        yield kind, "the keeper reads positions", lambda s, o: read, False
    else:
        yield kind, "the keeper publishes", _publish, True
    if outside.faults:
        yield FAULT, "the keeper is paused, a standby reads and publishes", _standby, False


def _begin(stage: Stage, outside: Outside) -> Outside:
    sequence = stage.coordinator.begin_snapshot(outside.term, lag_ms=0)
    return outside._replace(reading=(sequence, outside.term, -1, -1, ()))


def _publish(stage: Stage, outside: Outside) -> Outside:
    assert outside.reading is not None
    sequence, term, total, crypto, late = outside.reading
    with contextlib.suppress(StaleSnapshot, Deposed, Uncertified):
        outside = recovery.condemn_strays(stage, outside, late)
        stage.publish(sequence, (total, crypto), term)
    return outside._replace(reading=None)


def _standby(stage: Stage, outside: Outside) -> Outside:
    """The lease has run out; another keeper's whole reading passes meanwhile."""
    stage.server.execute("DEL", f"{PREFIX}keeper")
    standby = WorkStealingCoordinator(stage.client, stage.coordinator.settings, owner="standby")
    held, term = standby.lease(10)
    assert held
    assert isinstance(term, int)
    sequence = standby.begin_snapshot(term, lag_ms=0)
    stage.publish(sequence, outside.positions, term)
    return outside._replace(faults=outside.faults - 1, term=term)
