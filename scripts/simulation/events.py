"""Faults that happen at a moment: to a process, to Redis, to the account, by a person."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from scripts.simulation.faults import Fault
from scripts.simulation.scenario import Entry
from scripts.simulation.venue import LONGEST_LAG_US
from stealer.errors import StealerError

#: Seconds between two states of Redis that a lossy restart may fall back to.
CHECKPOINT_US = 300_000

#: Between two tries of an operator to resume trading.
RESUME_US = 1_000_000

#: Between two forecasts of those that overtake each other.
OVERTAKE_US = 1_000_000

#: What is forecast meanwhile and where the market stands, as a fraction of the limit.
THIEF, VICTIM = (12.0, 0.0028), (1.0, 0.0045)

LOSSY = frozenset({"redis_lossy_restart", "failover"})


def schedule(world: Any) -> None:
    """Put the plan's events into the schedule."""
    planned = [fault for fault in world.scenario.plan if not fault.call]
    if any(fault.kind in LOSSY for fault in planned):
        _checkpoint(world)
    for fault in planned:
        world.kernel.after(int(fault.at * 1e6), lambda fault=fault: _happen(world, fault))


def end(world: Any) -> None:
    """People resume trading and take their own orders back."""
    _keep_trading(world)
    for order in list(world.venue.orders.values()):
        if not order.ours and order.live:
            world.venue.cancel(order.id)
    for symbol, (qty, cost, crypto) in _foreign(world).items():
        _sell(world, symbol, qty, cost, crypto, ours=False)


def _checkpoint(world: Any) -> None:
    if world.faulty:
        world.checkpoints.append((world.kernel.now, world.server.save()))
        world.kernel.after(CHECKPOINT_US, lambda: _checkpoint(world))


def _happen(world: Any, fault: Fault) -> None:
    if not world.faulty or world.over:
        return
    world.injected[fault.kind] += 1
    world.mark(f"FAULT {fault}")
    _HANDLERS[fault.kind](world, fault)


def _quietly(action: Callable[[], object]) -> None:
    """An operator who is refused, or finds Redis away, gives up."""
    try:
        action()
    except StealerError:
        return


# ---- processes


def _crash(world: Any, fault: Fault) -> None:
    if fault.target in world.processes:
        world.processes[fault.target].die()


def _pause(world: Any, fault: Fault) -> None:
    if fault.target in world.processes:
        world.processes[fault.target].pause(int(fault.size * 1e6))


# ---- Redis


def _down(world: Any, seconds: float, then: Callable[[], None]) -> None:
    world.server.down = True

    def up() -> None:
        world.server.down = False
        then()

    world.kernel.after(int(min(seconds, 3.0) * 1e6), up)


def _restart(world: Any, fault: Fault) -> None:
    _down(world, fault.size, lambda: world.server.reboot(world.hex(40)))


def _lose(world: Any, fault: Fault) -> None:
    """Back to an earlier state, on a new process; a fail-over loses less than a restart."""
    age = int(min(fault.size, 0.9 if fault.kind == "failover" else 10.0) * 1e6)
    states = [state for at, state in world.checkpoints if at <= world.kernel.now - age]
    state = states[-1] if states else world.checkpoints[0][1]

    def back() -> None:
        replid = world.hex(40) if fault.kind == "failover" else None
        world.server.reboot(world.hex(40), replid)
        world.server.restore(state)
        world.judge.on_loss()

    _down(world, 0.3, back)


def _flush(world: Any, fault: Fault) -> None:
    if not world.server.down:
        world.server.flush()
        world.judge.on_loss()


def _redis_down(world: Any, fault: Fault) -> None:
    _down(world, fault.size, lambda: None)


# ---- the broker and the account


def _broker_down(world: Any, fault: Fault) -> None:
    world.broker_down = True

    def up() -> None:
        world.broker_down = False

    world.kernel.after(int(fault.size * 1e6), up)


def _stale(world: Any, fault: Fault) -> None:
    world.account_lag_us = LONGEST_LAG_US

    def fresh() -> None:
        world.account_lag_us = 0

    world.kernel.after(int(fault.size * 1e6), fresh)


def _equity(world: Any, fault: Fault) -> None:
    world.venue.change_equity(-int(world.venue.equity * fault.size))
    world.judge.allowance.note()


def _cancels_stick(world: Any, fault: Fault) -> None:
    """Cancels are taken, and none ends; those that were asked for before go on."""
    world.venue.sticks_until = world.kernel.now + int(fault.size * 1e6)


def _exits_wait(world: Any, fault: Fault) -> None:
    """Nobody sells what is bought from now on before so many seconds have passed."""
    world.exits_from = world.kernel.now + int(fault.size * 1e6)


# ---- people


def _forecast(world: Any, fault: Fault) -> None:
    entry = world.entries.get(fault.target)
    if entry:
        pnl = round(world.rng.uniform(-3.0, 15.0), 2)
        _quietly(lambda: world.operator.publish_forecast(entry.symbol, "maxdiff", pnl))


def _overtake(world: Any, fault: Fault) -> None:
    """Whoever has no order is worth more than who has one, and the market lets it steal."""
    until = world.kernel.now + int(fault.size * 1e6)

    def turn() -> None:
        if not world.faulty or world.kernel.now >= until:
            return
        live = {o.symbol for o in world.venue.orders.values() if o.ours and o.live}
        for entry in world.entries.values():
            pnl, away = VICTIM if entry.symbol in live else THIEF
            world.set_quote(entry, away)
            _quietly(partial(world.operator.publish_forecast, entry.symbol, "maxdiff", pnl))
        world.kernel.after(OVERTAKE_US, turn)

    turn()


def _foreign_order(world: Any, fault: Fault) -> None:
    entry = world.entries.get(fault.target)
    if entry is None:
        return
    number = len(world.venue.orders)
    _, order = world.venue.submit(
        f"person-{number}", entry.symbol, "buy", world.rng.randint(1, 5), entry.limit,
        entry.crypto, "person",
    )  # fmt: skip
    if order:
        world.kernel.after(int(fault.size * 3e6), lambda: world.venue.cancel(order.id))


def _foreign_waits(world: Any, fault: Fault) -> None:
    """A person's order as large as one of ours: nothing happens to it for long, then it fills."""
    entry = world.entries.get(fault.target)
    if entry is None:
        return
    number, qty = len(world.venue.orders), world.rng.randint(entry.qty // 2, entry.qty)
    _, order = world.venue.submit(
        f"person-{number}", entry.symbol, "buy", qty, entry.limit, entry.crypto, "person", True
    )
    if order:
        world.kernel.after(int(fault.size * 1e6), lambda: world.venue.fill_unless_calm(order, qty))


def _foreign_cancel(world: Any, fault: Fault) -> None:
    entry = world.entries.get(fault.target)
    for order in list(world.venue.orders.values()):
        if entry and order.live and order.ours and order.symbol == entry.symbol:
            world.venue.cancel(order.id)


def _held(world: Any, ours: bool) -> dict[str, tuple[int, int, bool]]:
    found: dict[str, tuple[int, int, bool]] = {}
    for fill in world.venue.fills:
        if fill.ours is ours:
            qty, cost, _ = found.get(fill.symbol, (0, 0, False))
            found[fill.symbol] = (qty + fill.qty, cost + fill.cost, fill.crypto)
    return {symbol: row for symbol, row in found.items() if row[0] > 0}


def _foreign(world: Any) -> dict[str, tuple[int, int, bool]]:
    return _held(world, ours=False)


def _sell(world: Any, symbol: str, qty: int, cost: int, crypto: bool, *, ours: bool) -> None:
    number = len(world.venue.orders)
    _, order = world.venue.submit(
        f"exit-{number}", symbol, "sell", qty, cost // qty, crypto, "person"
    )
    if order:
        world.venue.fill(order, qty, ours=ours)


def _exit(world: Any, fault: Fault) -> None:
    """A person sells what our entries bought."""
    entry = world.entries.get(fault.target)
    if entry:
        sell_held(world, entry)


def sell_held(world: Any, entry: Entry) -> None:
    """Sell what *entry* has bought."""
    row = _held(world, ours=True).get(entry.symbol)
    if row:
        _sell(world, entry.symbol, *row, ours=True)


def _release(world: Any, fault: Fault) -> None:
    """The operator's force-release: evict whatever the owner says, then the DELETE."""
    entry = world.entries.get(fault.target)
    if entry is None or world.server.down:
        return

    def act() -> None:
        claim = world.operator.claim_in_slot(entry.symbol, "buy", "maxdiff")
        if claim is None:
            return
        if claim.state == "reserved":
            world.operator.abort(claim, "released")
            return
        state, order_id = world.operator.evict(
            claim.id, "released", by="operator", raise_fence=True
        )
        if state == "evicting" and order_id:
            world.venue.cancel(order_id)

    _quietly(act)


def _halt(world: Any, fault: Fault) -> None:
    _quietly(lambda: world.operator.halt("a fault", "operator"))
    world.kernel.after(int(fault.size * 1e6), lambda: _resume(world))


def _resume(world: Any) -> None:
    """Trading goes on; an operator who finds Redis away tries until it does."""
    try:
        world.operator.halt("", "operator")
    except StealerError:
        _later(world, _resume)


def _keep_trading(world: Any) -> None:
    """Trading goes on, also when Redis comes back without having heard of it."""
    _quietly(lambda: world.operator.halt("", "operator"))
    _later(world, _keep_trading)


def _later(world: Any, action: Callable[[Any], None]) -> None:
    if not world.over:
        world.kernel.after(RESUME_US, lambda: action(world))


_HANDLERS: dict[str, Callable[[Any, Fault], None]] = {
    "crash_watcher": _crash,
    "crash_keeper": _crash,
    "pause_watcher": _pause,
    "pause_keeper": _pause,
    "redis_restart": _restart,
    "redis_lossy_restart": _lose,
    "failover": _lose,
    "flush": _flush,
    "redis_down": _redis_down,
    "broker_down": _broker_down,
    "stale_account": _stale,
    "equity_drop": _equity,
    "forecast_flip": _forecast,
    "overtake": _overtake,
    "cancels_stick": _cancels_stick,
    "foreign_order": _foreign_order,
    "foreign_waits": _foreign_waits,
    "foreign_cancel": _foreign_cancel,
    "exit": _exit,
    "exits_wait": _exits_wait,
    "release": _release,
    "halt": _halt,
}
