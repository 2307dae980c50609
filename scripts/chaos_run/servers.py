"""The ledger's servers: one with its append-only file, or a primary, a replica and a Sentinel.

Everybody comes through relays of the proxy: both servers of the pair announce theirs, so that
clients, to whom Sentinel tells where the primary is, replication and Sentinel itself use them too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from scripts.chaos_run.sentinel import Sentinel, direct, wait_in_sync
from scripts.chaos_run.wire import Wire
from stealer.embedded import EmbeddedServer

log = logging.getLogger(__name__)

#: What the pair is called at its Sentinel.
MASTER = "ledger"

#: Seconds after which Sentinel takes a silent primary for dead, and between two failovers.
DOWN_SECONDS, FAILOVER_SECONDS = 1.5, 3.0


class Single:
    """One server, with the durability of our redis.conf."""

    def __init__(self, directory: Path, wire: Wire, host: str) -> None:
        self._server = EmbeddedServer.start(directory / "redis")
        port = wire.relay("redis", host, ("127.0.0.1", self._server.port))
        self.url = f"redis://{host}:{port}/0"
        self.relays = ("redis",)
        self.failovers = 0

    def primary(self) -> EmbeddedServer:
        """The only one."""
        return self._server

    def watch(self) -> None:
        """It is always the same."""

    def kill_primary(self) -> EmbeddedServer:
        """SIGKILL."""
        self._server.kill()
        return self._server

    def close(self) -> None:
        """Stop it."""
        self._server.stop()


class Pair:
    """A primary, a replica that follows it asynchronously, and a Sentinel that fails over."""

    def __init__(self, directory: Path, wire: Wire, host: str) -> None:
        self._wire = wire
        self._by_port: dict[int, EmbeddedServer] = {}
        self._sentinel: Sentinel | None = None
        self.failovers = 0
        try:
            self._start(directory, host)
        except BaseException:
            self.close()
            raise

    def _start(self, directory: Path, host: str) -> None:
        wire, ports = self._wire, list[int]()
        for name in ("a", "b"):
            # The relay is needed before its target is known: the server announces it.
            relay = wire.relay(f"redis-{name}", host, ("127.0.0.1", 1))
            server = EmbeddedServer.start(
                directory / f"redis-{name}", extra=_announced(host, relay)
            )
            wire.lead(f"redis-{name}", ("127.0.0.1", server.port))
            self._by_port[relay] = server
            ports.append(relay)
        self._primary = self._by_port[ports[0]]
        with direct(self._by_port[ports[1]].port) as client:
            client.replicaof(host, ports[0])
        wait_in_sync(self._by_port[ports[1]].port)
        self._sentinel = Sentinel(
            directory / "sentinel",
            (host, ports[0]),
            MASTER,
            down_seconds=DOWN_SECONDS,
            failover_seconds=FAILOVER_SECONDS,
        )
        port = wire.relay("sentinel", host, ("127.0.0.1", self._sentinel.port))
        self.url = f"redis+sentinel://{host}:{port}/{MASTER}/0"
        self.relays = ("redis-a", "redis-b")

    def primary(self) -> EmbeddedServer:
        """As Sentinel said last."""
        return self._primary

    def replicas(self) -> list[EmbeddedServer]:
        """The other one."""
        return [server for server in self._by_port.values() if server is not self._primary]

    def watch(self) -> None:
        """Ask Sentinel."""
        with suppress(redis.RedisError):
            found = self._ask_sentinel("GET-MASTER-ADDR-BY-NAME")
            server = self._by_port.get(int(found[1])) if found else None
            if server is not None and server is not self._primary:
                self._primary = server
                self.failovers += 1

    def _ask_sentinel(self, word: str) -> Any:
        assert self._sentinel is not None
        return self._sentinel.ask(word)

    def stop_replication(self, seconds: float) -> None:
        """From now on the replica misses writes."""
        for relay in ("redis-a", "redis-b"):
            self._wire.fault(relay, "cut", seconds, who="replication")

    def fail_over(self) -> bool:
        """Sentinel promotes the replica now, whatever it has missed. False: it would not."""
        try:
            self._ask_sentinel("FAILOVER")
        except redis.RedisError as error:
            log.warning("no failover: %s", error)
            return False
        return True

    def kill_primary(self) -> EmbeddedServer:
        """SIGKILL; Sentinel promotes the other one after a while."""
        self._primary.kill()
        return self._primary

    def close(self) -> None:
        """Stop all three."""
        if self._sentinel is not None:
            self._sentinel.close()
        for server in self._by_port.values():
            server.stop()


def _announced(host: str, relay: int) -> Sequence[str]:
    return (
        *("--replica-announce-ip", host, "--replica-announce-port", str(relay)),
        *("--repl-diskless-sync-delay", "0", "--repl-timeout", "5"),
    )
