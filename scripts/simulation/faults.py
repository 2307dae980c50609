"""Which faults a seed has: a plan drawn beforehand, so that it can be listed, replayed and shrunk.

A fault hangs either on a call (the n-th time a process does a thing) or on a moment. Taking one out
of the plan leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

#: Calls of a watcher and of a keeper that faults aim at, with weights; ``*`` is any call.
WATCHER_CALLS = {
    "*": 4, "acquire": 4, "topup": 4, "launch": 5, "confirm": 4, "close": 2, "abort": 2, "evict": 1,
    "unlaunch": 3, "heartbeat": 1, "adopt": 1, "broker:submit": 6, "broker:write": 3,
    "broker:cancel": 4, "broker:find": 3,
}  # fmt: skip
KEEPER_CALLS = {
    "*": 3, "begin": 2, "publish": 4, "condemn": 2, "close": 2, "confirm": 2, "unlaunch": 1,
    "certify": 2, "abort": 1, "lease": 1, "broker:orders": 2, "broker:positions": 3,
    "broker:account": 1, "broker:find": 2, "broker:cancel": 2,
}  # fmt: skip

#: What may happen to a call, by what it is.
REDIS_KINDS = {
    "crash_before": 2, "crash_after": 3, "pause_before": 2, "pause_after": 3, "lost_request": 1,
    "lost_reply": 4, "duplicate": 4, "ghost": 2,
}  # fmt: skip
READ_KINDS = {
    "crash_before": 1, "pause_before": 2, "lost_request": 1, "lost_reply": 1, "late": 2, "hang": 1,
    "http_429": 1, "http_5xx": 2, "pause_after": 1,
}  # fmt: skip
SUBMIT_KINDS = {
    "crash_before": 1, "pause_before": 2, "lost_request": 1, "lost_reply": 4, "late": 5, "hang": 2,
    "http_429": 1, "http_5xx": 2, "http_5xx_done": 3, "refused": 3,
}  # fmt: skip
CANCEL_KINDS = {
    "crash_before": 2, "pause_before": 1, "lost_request": 2, "lost_reply": 2, "late": 1, "hang": 1,
    "http_429": 1, "http_5xx": 1, "stuck": 3, "cancel_filled": 5, "cancel_partial": 4,
}  # fmt: skip
WRITE_KINDS = {"crash_before": 1, "pause_before": 6}

#: What may happen at a moment, with weights.
EVENTS = {
    "crash_watcher": 4, "pause_watcher": 4, "crash_keeper": 3, "pause_keeper": 3,
    "redis_restart": 2, "redis_lossy_restart": 3, "failover": 2, "flush": 2, "redis_down": 2,
    "broker_down": 2, "stale_account": 3, "equity_drop": 4, "forecast_flip": 9, "foreign_order": 4,
    "exit": 3,
    "release": 3, "halt": 1, "foreign_cancel": 2,
}  # fmt: skip

#: Moments of the scenes, see ``scene``; never drawn by chance.
SCENE_EVENTS = ("cancels_stick", "exits_wait", "foreign_waits", "overtake")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    :param target: a process; empty for an event that concerns none.
    :param call: what it does then (``acquire``, ``broker:submit``, ``*``); empty for an event.
    :param nth: the how manieth time it does so in the whole run, from 1.
    :param at: an event's moment, in seconds from the beginning.
    :param size: seconds, or a fraction for what has a size.
    """

    kind: str
    target: str = ""
    call: str = ""
    nth: int = 0
    at: float = 0.0
    size: float = 0.0

    def __str__(self) -> str:
        if self.call:
            return (
                f"{self.kind} at {self.call} number {self.nth} of {self.target} ({self.size:g} s)"
            )
        return f"{self.kind} at {self.at:.3f} s {self.target} ({self.size:g})"


def _weighted(rng: Random, table: dict[str, int]) -> str:
    return rng.choices(list(table), list(table.values()))[0]


def kinds_of(call: str) -> dict[str, int]:
    """What may happen to *call*."""
    if call == "broker:submit":
        return SUBMIT_KINDS
    if call == "broker:write":
        return WRITE_KINDS
    if call == "broker:cancel":
        return CANCEL_KINDS
    return READ_KINDS if call.startswith("broker:") else REDIS_KINDS


def draw(
    rng: Random, watchers: Sequence[str], keepers: Sequence[str], seconds: float
) -> list[Fault]:
    """The plan of one seed: from no faults to many, of few kinds or of all."""
    level = rng.random()
    if level < 0.06:
        count = 0
    elif level < 0.45:
        count = rng.randint(1, 3)
    elif level < 0.8:
        count = rng.randint(4, 8)
    else:
        count = rng.randint(9, 20)
    # A seed knows only some of the events, so that the others have seeds without them.
    known = {k: w for k, w in EVENTS.items() if rng.random() < 0.5}
    plan = []
    for _ in range(count):
        if known and rng.random() < 0.4:
            plan.append(_event(rng, known, watchers, keepers, seconds))
        else:
            plan.append(_call_fault(rng, watchers, keepers))
    return plan


def scene(
    rng: Random, watchers: Sequence[str], keepers: Sequence[str], seconds: float
) -> list[Fault]:
    """What chance hardly ever puts together; most seeds have none.

    The broker takes cancels and lets none end for longer than a reservation lasts, so that thieves
    give up while their victims live. A person's orders wait until every decision that may not have
    seen them is forgotten, then fill. Copies of snapshots arrive when later ones have absorbed
    fills that they do not show, and nobody has sold what was bought. Cancels end in a partial fill,
    and the ends are reported twice. Two symbols overtake each other until they are in a fight
    (``scenario`` leaves only these two).
    """
    kind, plan = rng.random(), list[Fault]()
    if kind < 0.08:
        at = round(rng.uniform(1.0, seconds - 10.0), 3)
        plan.append(Fault("cancels_stick", at=at, size=round(rng.uniform(5.0, 9.0), 3)))
    elif kind < 0.16:
        for name in rng.sample(watchers, 2):
            at, size = rng.uniform(0.5, 4.0), rng.uniform(18.0, 25.0)
            plan.append(Fault("foreign_waits", name, at=round(at, 3), size=round(size, 3)))
    elif kind < 0.24:
        size = round(rng.uniform(15.0, 28.0), 3)
        plan.append(Fault("exits_wait", at=0.5, size=size))
        for keeper in keepers:
            for nth in rng.sample(range(1, 9), 4):
                late = round(rng.uniform(7.0, 14.0), 3)
                plan.append(Fault("ghost", keeper, "publish", nth, size=late))
    elif kind < 0.3:
        for name in watchers:
            for nth in (1, 2):
                plan.append(Fault("cancel_partial", name, "broker:cancel", nth))
                plan.append(Fault("duplicate", name, "close", nth))
    elif kind < 0.33:
        plan.append(Fault("overtake", at=1.0, size=seconds * 3))
    return plan


def _event(
    rng: Random,
    known: dict[str, int],
    watchers: Sequence[str],
    keepers: Sequence[str],
    seconds: float,
) -> Fault:
    kind = _weighted(rng, known)
    target = ""
    if kind.endswith("_watcher") or kind in ("forecast_flip", "release", "foreign_order", "exit",
                                             "foreign_cancel"):  # fmt: skip
        target = rng.choice(watchers)
    elif kind.endswith("_keeper"):
        target = rng.choice(keepers)
    size = round(rng.expovariate(1 / 3.0) + 0.05, 3)
    if kind == "equity_drop":
        size = round(rng.uniform(0.05, 0.6), 3)
    return Fault(kind, target, at=round(rng.uniform(0.5, seconds), 3), size=size)


def _call_fault(rng: Random, watchers: Sequence[str], keepers: Sequence[str]) -> Fault:
    by_keeper = rng.random() < 0.2
    call = _weighted(rng, KEEPER_CALLS if by_keeper else WATCHER_CALLS)
    kind = _weighted(rng, kinds_of(call))
    nth = rng.randint(1, 250) if call == "*" else min(int(rng.expovariate(0.5)) + 1, 12)
    if call in ("heartbeat", "begin", "publish", "lease") or (by_keeper and ":" in call):
        nth = rng.randint(1, 15)
    target = rng.choice(keepers if by_keeper else watchers)
    # A process that is stopped while it writes is stopped past its trust more often than not.
    size = rng.expovariate(1 / 3.0) * (3 if call == "broker:write" else 1) + 0.05
    return Fault(kind, target, call, nth, size=round(size, 3))
