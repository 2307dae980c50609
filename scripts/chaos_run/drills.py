"""After the faults: the three recoveries that everybody asks for, one at a time and in peace."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from scripts.chaos_run import actions, judge
from scripts.chaos_run.judge import Seat
from scripts.chaos_run.scene import CASH, Scene
from stealer.errors import StealerError
from stealer.model import State

#: Seconds the watchers may take to find their way back when the faults have ended: the longest
#: pause before a crashed one starts again (60 s), and then some.
SETTLE_SECONDS = 90.0

#: Seconds in which a drill must have happened.
DRILL_SECONDS = 60.0

#: A status that old is a dead watcher's.
FRESH_SECONDS = 15.0

#: Reasons that pass by themselves when nothing is broken.
PASSING = frozenset(
    {"redis", "uncertified", "broker", "no_session", "stale_quote", "stale_account"}
)


def seats(scene: Scene) -> list[Seat]:
    """Every watcher as its own record says, or, when it has ended, as its fleet says."""
    newest: dict[str, dict[str, Any]] = {}
    for text in scene.ledger.client.hvals(scene.ledger.keys.watchers):
        record = json.loads(text)
        if record["seen"] >= newest.get(record["ticket"], {"seen": 0.0})["seen"]:
            newest[record["ticket"]] = record
    fleets = scene.market.fleet_names
    logs = {f: (scene.stage.directory / f"{f}.log").read_text(errors="replace") for f in fleets}
    found = []
    for number, wish in enumerate(scene.market.wishes):
        record = newest.get(wish.ticket, {})
        if record and time.time() - record["seen"] < FRESH_SECONDS:
            found.append(Seat(wish.name, record["phase"], record["reason"]))
        else:
            log = logs[scene.market.fleet_of(number)]
            found.append(Seat(wish.name, said_last(log, wish.name), "as its fleet says"))
    return found


def said_last(log: str, name: str) -> str:
    """The last word of a fleet on a member that has no process: ``done``; else nothing."""
    for line in reversed(log.splitlines()):
        if line.endswith(f" {name}: done"):
            return "done"
        if f" {name} " in line or f" {name}: " in line:
            return ""
    return ""


def settle(scene: Scene) -> bool:
    """Until the ledger is certified and no watcher is at a loss; False if that takes too long."""

    def settled() -> bool:
        return scene.certified() and all(
            seat.well and seat.reason not in PASSING for seat in seats(scene)
        )

    return scene.run(SETTLE_SECONDS, settled)


def kill_leader(scene: Scene) -> None:
    """SIGKILL the leading keeper with a standby ready."""
    scene.run(10, lambda: scene.leader()[1] is not None and len(scene.stage.keepers()) == 2)
    holder, keeper = scene.leader()
    if keeper is None or keeper.pid is None:
        return
    actions.await_leader(scene, holder)
    actions.kill(keeper.pid)
    scene.actions["drill: kill_keeper"] += 1
    scene.run(DRILL_SECONDS, lambda: not scene.recoveries.running("keeper killed -> another leads"))


def kill_thief(scene: Scene) -> None:
    """SIGKILL a thief between cancel and submit; the market goes on until one is met."""
    scene.broker.fault(kind="stuck_cancel", seconds=1.0, times=2)
    shot = False

    def hunt() -> bool:
        nonlocal shot
        shot = shot or actions.shoot_thief(scene)
        return shot

    scene.hunts.append(hunt)
    name = "thief killed -> its capacity is usable"
    if scene.run(DRILL_SECONDS, lambda: shot):
        scene.actions["drill: kill_thief"] += 1
        scene.run(DRILL_SECONDS, lambda: not scene.recoveries.running(name))
    scene.hunts.clear()
    scene.broker.clear_faults()


@dataclass(frozen=True)
class Flush:
    """What a FLUSHALL with every order live cost."""

    live_before: int
    lost: int
    doubled: int
    certified_s: float | None
    all_open_s: float | None


def flush(scene: Scene) -> Flush:
    """FLUSHALL while every watcher has its order open; what became of the orders."""
    wishes = scene.market.wishes
    scene.market.all_at_once(CASH / 2 / len(wishes))

    def all_open() -> bool:
        tickets = {wish.ticket for wish in wishes}
        live = [c for c in scene.ledger.claims().values() if c.state is State.OPEN]
        return len(scene.witness.live) == len(wishes) and {c.ticket for c in live} == tickets

    scene.run(2 * DRILL_SECONDS, all_open)
    scene.witness.listen()
    before = set(scene.witness.live)
    since, began = time.time(), time.monotonic()
    actions.flush(scene)
    scene.actions["drill: flush"] += 1
    certified = open_again = None
    if scene.run(DRILL_SECONDS, scene.certified):
        certified = round(time.monotonic() - began, 2)
        if scene.run(DRILL_SECONDS, all_open):
            open_again = round(time.monotonic() - began, 2)
    lost, doubled = judge.lost_orders(scene.witness.happenings, before, since)
    return Flush(len(before), lost, doubled, certified, open_again)


def quiet(scene: Scene, seconds: float) -> bool:
    """Fleets are stopped: until neither ledger nor broker has anything of ours left."""

    def empty() -> bool:
        scene.witness.listen()
        end = ledger_end(scene)
        return not judge.leaks(end, scene.broker.report(), sorted(scene.witness.live))

    return scene.run(seconds, empty)


def ledger_end(scene: Scene) -> judge.LedgerEnd:
    """What the ledger holds now.

    :raises StealerError: it cannot be read.
    """
    figures = scene.ledger.client.hgetall(scene.ledger.keys.ledger)
    if not figures:
        raise StealerError("the ledger is empty")
    return judge.LedgerEnd(
        {pool: int(figures[f"charged_{pool}"]) for pool in ("total", "crypto")},
        {pool: int(figures[f"positions_{pool}"]) for pool in ("total", "crypto")},
        scene.ledger.claim_ids(),
    )
