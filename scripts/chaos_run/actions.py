"""The faults, and the seeded actor that chooses among them.

Each is a function of the scene that does it, or raises ``NotNow`` with the reason why it cannot be
done at this moment. Weights say how often one is chosen; faults that make everybody wait for the
quarantine are rare, so that there is time between them in which something happens.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import redis

from scripts.chaos_run import times
from scripts.chaos_run.scene import Scene
from scripts.chaos_run.servers import Pair
from scripts.chaos_run.stage import Actor
from stealer.errors import StealerError
from stealer.model import State

#: A hunted thief is killed within this time or not at all.
HUNT_SECONDS = 6.0

#: Watchers whose parent was killed take their orders back within this time, without a reason in a
#: ledger that may be away.
STOPPING_SECONDS = 25.0


T = TypeVar("T")


class NotNow(Exception):
    """The fault cannot be made at this moment."""


@dataclass(frozen=True)
class Kind:
    """A fault by name; ``where`` is the arrangement it needs."""

    name: str
    weight: float
    act: Callable[[Scene], None]
    where: str = ""


def kill_watcher(scene: Scene) -> None:
    """SIGKILL one watcher; its fleet starts it again."""
    kill(scene.rng.choice(_some(sorted(scene.watcher_pids()))))


def kill_keeper(scene: Scene) -> None:
    """SIGKILL the leading keeper, or the standby."""
    holder, leader = _leader(scene)
    keeper = leader if leader and scene.rng.random() < 0.7 else scene.rng.choice(_alive(scene))
    assert keeper.pid is not None
    kill(keeper.pid)
    if keeper is leader:
        await_leader(scene, holder)


def await_leader(scene: Scene, holder: str) -> None:
    """A stopwatch until another than *holder* keeps the account."""
    scene.recoveries.start(
        "keeper killed -> another leads", lambda: scene.leader()[0] not in ("", holder)
    )


def kill_fleet(scene: Scene) -> None:
    """SIGKILL a fleet's parent; its watchers notice and stop."""
    fleet = scene.rng.choice(_some([f for f in scene.stage.fleets() if f.pid]))
    assert fleet.pid is not None
    kill(fleet.pid)
    now = time.time()
    scene.blind.append((now, now + STOPPING_SECONDS))


def pause_watcher(scene: Scene) -> None:
    """SIGSTOP a watcher: shorter than its trust, longer, or longer than its reservation."""
    pid = scene.rng.choice(_some(sorted(scene.watcher_pids())))
    longest = scene.rng.choice((times.TRUST, 2 * times.TRUST, 2 * times.RESERVE))
    _pause(scene, [pid], scene.rng.uniform(0.1, longest))


def pause_keeper(scene: Scene) -> None:
    """SIGSTOP a keeper, half the time beyond its lease."""
    keeper = scene.rng.choice(_alive(scene))
    assert keeper.pid is not None
    longest = scene.rng.choice((times.LEASE, 3 * times.LEASE))
    _pause(scene, [keeper.pid], scene.rng.uniform(0.3, longest))


def pause_fleet(scene: Scene) -> None:
    """SIGSTOP a fleet with all its watchers, as when a machine is suspended."""
    fleet = scene.rng.choice(_some([f for f in scene.stage.fleets() if f.pid]))
    assert fleet.pid is not None
    _pause(scene, [fleet.pid, *fleet.children()], scene.rng.uniform(0.5, 2 * times.RESERVE))


def partition_host(scene: Scene) -> None:
    """A host without network, for less than anything in flight may be late."""
    if scene.network is None:
        raise NotNow("no network namespaces")
    network, host = scene.network, scene.rng.choice(scene.network.hosts)
    network.partition(host, off=True)
    scene.later(
        scene.rng.uniform(0.3, times.LATEST / 2), lambda: network.partition(host, off=False)
    )


def kill_redis(scene: Scene) -> None:
    """SIGKILL the primary, and start it again with what its append-only file has."""
    _all_up(scene)
    scene.until_certified("redis killed")
    server = scene.servers.kill_primary()
    scene.down.add(server)
    pair = isinstance(scene.servers, Pair)
    scene.later(6.0 if pair else scene.rng.uniform(0.2, 3.0), lambda: scene.restart(server))


def redis_loses_writes(scene: Scene) -> None:
    """The server restarts with an append-only file that lacks its last seconds."""
    _all_up(scene)
    server = scene.servers.primary()
    files = {f: f.stat().st_size for f in (server.directory / "appendonlydir").glob("*.incr.aof")}
    began = time.time()

    def lose() -> None:
        if server in scene.down:
            return
        scene.until_certified("writes lost", began)
        server.kill()
        for file, size in files.items():
            if file.exists():
                os.truncate(file, min(size, file.stat().st_size))
        server.restart()

    scene.later(scene.rng.uniform(0.5, 3.0), lose)


def flush(scene: Scene) -> None:
    """FLUSHALL."""
    _all_up(scene)
    scene.until_certified("flush")
    scene.ledger.client.flushall()


def failover(scene: Scene) -> None:
    """Replication stops, and seconds of writes later Sentinel promotes the replica."""
    _all_up(scene)
    servers = scene.servers
    assert isinstance(servers, Pair)
    with suppress(redis.RedisError):
        if not scene.ledger.client.info("replication").get("connected_slaves"):
            raise NotNow("no replica follows at the moment")
    servers.stop_replication(4.0)
    began = time.time()

    def act() -> None:
        scene.until_certified("failover", began)
        servers.fail_over()

    scene.later(scene.rng.uniform(0.5, 2.5), act)


def wire_fault(scene: Scene) -> None:
    """The network to Redis or to the broker delays, holds back, loses or cuts."""
    name = scene.rng.choice(("redis", "broker"))
    kind = scene.rng.choice(("delay", "hold", "drop", "cut_reply", "cut"))
    direction = scene.rng.choice(("up", "down", "down", "both"))
    if kind == "cut_reply":
        direction = "down"
    seconds = scene.rng.uniform(0.2, 2.0 if kind in ("cut", "cut_reply") else times.LATEST)
    by = scene.rng.uniform(0.05, 1.5) if name == "broker" else scene.rng.uniform(0.01, 0.6)
    who = "clients" if scene.rng.random() < 0.85 else ""
    for relay in scene.servers.relays if name == "redis" else ("broker",):
        scene.wire.fault(relay, kind, seconds, direction=direction, by=by, who=who)
    if name == "redis":
        now = time.time()  # a watcher that stops meanwhile cannot say why
        scene.blind.append((now, now + seconds + STOPPING_SECONDS))


#: What the broker does wrong; each as /sim/faults takes it.
BROKER_FAULTS = (
    {"kind": "latency", "seconds": 1.5, "times": 8},
    {"kind": "status", "status": 429, "times": 10},
    {"kind": "status", "status": 500, "times": 6},
    {"kind": "status", "status": 503, "times": 6, "path": "/v2/orders"},
    {"kind": "html", "times": 5},
    {"kind": "hang", "seconds": 3.0, "times": 3},
    {"kind": "drop_reply", "method": "POST", "path": "/v2/orders", "times": 3},
    {"kind": "drop_reply", "method": "DELETE", "path": "/v2/orders", "times": 3},
    {"kind": "stuck_cancel", "seconds": 4.0, "times": 3},
    {"kind": "fill_on_cancel", "times": 2},
    {"kind": "partial_on_cancel", "fraction": 0.4, "times": 3},
    {"kind": "reject", "times": 1, "side": "buy"},
)


def broker_fault(scene: Scene) -> None:
    """The broker is late, refuses, hangs, forgets to answer, or fills what is being canceled."""
    scene.broker.fault(**scene.rng.choice(BROKER_FAULTS))


def kill_thief(scene: Scene) -> None:
    """SIGKILL a thief between its victim's cancel and its own order."""
    scene.broker.fault(kind="stuck_cancel", seconds=1.0, times=2)
    give_up = time.monotonic() + HUNT_SECONDS

    def hunt() -> bool:
        if time.monotonic() > give_up:
            scene.skipped["kill_thief: no thief"] += 1
            return True
        return shoot_thief(scene)

    scene.hunts.append(hunt)


def shoot_thief(scene: Scene) -> bool:
    """Kill one thief that waits for its victims, if there is one now.

    :raises StealerError: the ledger is away.
    """
    claims = scene.ledger.claims()
    pids = scene.watcher_pids()
    for claim in claims.values():
        if claim.state is not State.RESERVED or not claim.pending:
            continue
        pid = int(claim.owner.split(":")[1])
        if pid not in pids:
            continue
        victims = [c.id for c in claims.values() if c.heir == claim.id]
        kill(pid)

        def usable(thief: str = claim.id, victims: list[str] = victims) -> bool:
            ledger = scene.ledger
            ends = [ledger.claim(victim) for victim in victims]
            return (
                ledger.certified()
                and ledger.claim(thief) is None
                and all(end is None or end.state is State.CLOSED for end in ends)
            )

        scene.recoveries.start("thief killed -> its capacity is usable", usable)
        return True
    return False


KINDS = (
    Kind("kill_watcher", 7, kill_watcher),
    Kind("kill_keeper", 2, kill_keeper),
    Kind("kill_fleet", 1, kill_fleet),
    Kind("kill_thief", 3, kill_thief),
    Kind("pause_watcher", 5, pause_watcher),
    Kind("pause_keeper", 2, pause_keeper),
    Kind("pause_fleet", 0.7, pause_fleet),
    Kind("partition_host", 1, partition_host),
    Kind("wire", 4, wire_fault),
    Kind("broker", 4, broker_fault),
    Kind("kill_redis", 0.5, kill_redis),
    Kind("flush", 0.35, flush),
    Kind("redis_loses_writes", 0.4, redis_loses_writes, "single"),
    Kind("failover", 0.45, failover, "sentinel"),
)


def possible(topology: str, only: frozenset[str]) -> list[Kind]:
    """The kinds of fault of a run."""
    return [k for k in KINDS if k.where in ("", topology) and (not only or k.name in only)]


def act(scene: Scene, kinds: list[Kind]) -> None:
    """One fault, chosen by weight."""
    kind = scene.rng.choices(kinds, [k.weight for k in kinds])[0]
    try:
        kind.act(scene)
    except NotNow as reason:
        scene.skipped[f"{kind.name}: {reason}"] += 1
    except (StealerError, redis.RedisError):
        scene.skipped[f"{kind.name}: the ledger is away"] += 1
    else:
        scene.actions[kind.name] += 1


def _some(found: list[T]) -> list[T]:
    if not found:
        raise NotNow("nobody is there")
    return found


def _alive(scene: Scene) -> list[Actor]:
    return _some([keeper for keeper in scene.stage.keepers() if keeper.pid])


def _leader(scene: Scene) -> tuple[str, Actor | None]:
    try:
        return scene.leader()
    except (StealerError, redis.RedisError):
        return "", None


def _all_up(scene: Scene) -> None:
    if scene.down:
        raise NotNow("a server is down already")


def kill(pid: int) -> None:
    """SIGKILL a process that may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _pause(scene: Scene, pids: list[int], seconds: float) -> None:
    def send(number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    send(signal.SIGSTOP)
    scene.later(seconds, lambda: send(signal.SIGCONT))
