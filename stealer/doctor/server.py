"""The Redis server: can it keep what it is told?"""

from __future__ import annotations

from collections.abc import Iterator

from stealer.doctor.finding import Finding, failure, fine, warning
from stealer.doctor.patient import Patient

#: The oldest Redis whose scripts can ask for their user's rights.
OLDEST = (7, 0)

#: Parts of the memory in use from which it is said, and from which writes may soon be refused.
FILLING, FULL = 0.75, 0.95

#: Seconds by which two clocks may differ, and from which the session is read wrongly.
SKEW, LARGE_SKEW = 2.0, 30.0

OPERATOR_ONLY = "run this check as the operator to see it"


def reachable(patient: Patient) -> Iterator[Finding]:
    """Which server answers, and whether it is one we can use."""
    info, where = patient.info, patient.settings.redis_url_shown
    product = str(info.get("server_name", "redis"))
    shown = str(info.get(f"{product}_version", info.get("redis_version", "?")))
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        yield failure(
            "redis", f"{product} {shown} at {where} is too old", "install Redis 7 or later"
        )
        return
    if info.get("role") != "master":
        yield failure(
            "redis",
            f"{where} is a replica: every decision is denied there",
            "point REDIS_URL at the primary",
        )
        return
    yield fine("redis", f"{product} {shown} at {where} answers")
    if info.get("cluster_enabled"):
        yield warning(
            "redis",
            "it is a node of a Redis Cluster, on which this system is not tested",
            "use a server of its own, with a replica",
        )


def eviction(patient: Patient) -> Iterator[Finding]:
    """A key that the server drops by itself is capacity given away twice."""
    policy = str(patient.info.get("maxmemory_policy", "?"))
    if policy == "noeviction":
        yield fine("eviction", "the server never drops keys by itself")
        return
    say = failure if patient.info.get("maxmemory") else warning
    yield say(
        "eviction",
        f"maxmemory-policy is {policy}: a full server forgets claims or cooldowns",
        "CONFIG SET maxmemory-policy noeviction, and in redis.conf",
    )


def memory(patient: Patient) -> Iterator[Finding]:
    """When memory is full every write is refused, which denies new orders."""
    limit, used = int(patient.info.get("maxmemory", 0)), int(patient.info.get("used_memory", 0))
    if not limit:
        yield warning(
            "memory",
            "maxmemory is not set: a server that grows is killed by the operating system",
            "set maxmemory in redis.conf; 1gb is enough for 100,000 open orders",
        )
        return
    part = used / limit
    shown = f"{used / 2**20:,.0f} of {limit / 2**20:,.0f} MB used ({part:.0%})"
    if part < FILLING:
        yield fine("memory", shown)
        return
    say = failure if part >= FULL else warning
    yield say("memory", shown, "raise maxmemory; when it is full, new orders are denied")


def persistence(patient: Patient) -> Iterator[Finding]:
    """What a crash or a power cut costs."""
    info = patient.info
    if not info.get("aof_enabled"):
        yield failure(
            "persistence",
            "the append-only file is off: a restart forgets claims, cooldowns, fights and steals, "
            "and our open orders are then canceled",
            "CONFIG SET appendonly yes, and in redis.conf",
        )
        return
    status = str(info.get("aof_last_write_status", "?"))
    if status != "ok":
        yield failure(
            "persistence",
            f"the last write to the append-only file: {status}",
            "look at the disk and at the server's log; writes are refused until it is mended",
        )
        return
    if str(info.get("aof_last_bgrewrite_status", "ok")) != "ok":
        yield warning(
            "persistence",
            "the last rewrite of the append-only file failed: it grows",
            "look at the disk and at the server's log, then BGREWRITEAOF",
        )
    yield _fsync(patient.config("appendfsync"))


def _fsync(policy: str | None) -> Finding:
    if policy is None:
        return warning("persistence", "when data reaches the disk is unknown", OPERATOR_ONLY)
    if policy == "always":
        return fine("persistence", "every decision is on the disk before it is answered")
    lost = "up to two seconds" if policy == "everysec" else "up to half a minute"
    say = warning if policy == "everysec" else failure
    return say(
        "persistence",
        f"appendfsync is {policy}: a power cut loses {lost} of granted decisions",
        "CONFIG SET appendfsync always, and in redis.conf; a decision waits for it unnoticed",
    )


def replication(patient: Patient) -> Iterator[Finding]:
    """A primary that is cut off must not grant what a failover forgets."""
    replicas = int(patient.info.get("connected_slaves", 0))
    wanted = patient.config("min-replicas-to-write")
    if not replicas and wanted in (None, "0"):
        yield fine("replication", "no replica: if this server is lost, so is the ledger")
        return
    if wanted is None:
        yield warning("replication", "min-replicas-to-write is unknown", OPERATOR_ONLY)
    elif wanted == "0":
        yield warning(
            "replication",
            f"{replicas} replicas, but a primary cut off from them goes on granting",
            "CONFIG SET min-replicas-to-write 1, and in redis.conf",
        )
    elif replicas < int(wanted):
        yield failure(
            "replication",
            f"{replicas} replicas of {wanted} needed: writes are refused",
            "start the replica again",
        )
    else:
        yield fine("replication", f"{replicas} replicas; writes need {wanted}")


def clock(patient: Patient) -> Iterator[Finding]:
    """This host's clock against Redis', on which everything is dated."""
    before = patient.now()
    server = patient.ledger.now_ms() / 1000
    after = patient.now()
    # Between asking and hearing, any moment is right.
    skew = max(before - server, 0.0) or min(after - server, 0.0)
    shown = f"this host's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} Redis'"
    if abs(skew) < SKEW:
        yield fine("clock", "this host and Redis agree on the time")
        return
    say = failure if abs(skew) >= LARGE_SKEW else warning
    yield say("clock", shown, "run chrony or another NTP client on both hosts")
