"""The ledger's servers: one with its append-only file, or a primary, a replica and a Sentinel.

Everybody comes through relays of the proxy: both servers of the pair announce theirs, so that
clients, to whom Sentinel tells where the primary is, replication and Sentinel itself use them too.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts.chaos_run.wire import Wire
from stealer.embedded import EmbeddedServer, find_binary

log = logging.getLogger(__name__)

#: What the pair is called at its Sentinel.
MASTER = "ledger"

#: Seconds after which Sentinel takes a silent primary for dead, and between two failovers.
DOWN_SECONDS, FAILOVER_SECONDS = 1.5, 3.0

#: Seconds the harness's own connection waits.
ANSWER_SECONDS = 3.0


def direct(port: int) -> redis.Redis:
    """The harness's own connection to a server: past the proxy, and without repeats."""
    return redis.Redis(
        port=port,
        decode_responses=True,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), retries=0),
    )


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
        self._sentinel_process: subprocess.Popen[bytes] | None = None
        self._sentinel: redis.Redis | None = None
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
        self._first, self._second = ports
        with direct(self._by_port[ports[1]].port) as client:
            client.replicaof(host, ports[0])
        self._wait_in_sync()
        sentinel = self._start_sentinel(directory, host, ports[0])
        port = wire.relay("sentinel", host, ("127.0.0.1", sentinel))
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
            found = self._ask_sentinel("GET-MASTER-ADDR-BY-NAME", MASTER)
            server = self._by_port.get(int(found[1])) if found else None
            if server is not None and server is not self._primary:
                self._primary = server
                self.failovers += 1

    def _ask_sentinel(self, *words: str) -> Any:
        assert self._sentinel is not None
        return self._sentinel.execute_command("SENTINEL", *words)  # type: ignore[no-untyped-call]

    def stop_replication(self, seconds: float) -> None:
        """From now on the replica misses writes."""
        for relay in ("redis-a", "redis-b"):
            self._wire.fault(relay, "cut", seconds, who="replication")

    def fail_over(self) -> bool:
        """Sentinel promotes the replica now, whatever it has missed. False: it would not."""
        try:
            self._ask_sentinel("FAILOVER", MASTER)
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
        if self._sentinel_process is not None:
            self._sentinel_process.terminate()
            self._sentinel_process.wait(10)
        for server in self._by_port.values():
            server.stop()

    def _wait_in_sync(self) -> None:
        """Until the replica has its first copy: a failover before that loses everything."""
        give_up = time.monotonic() + 20
        with direct(self._by_port[self._second].port) as client:
            while client.info("replication").get("master_link_status") != "up":
                if time.monotonic() > give_up:
                    raise RuntimeError("the replica does not follow its primary")
                time.sleep(0.1)

    def _start_sentinel(self, directory: Path, host: str, primary: int) -> int:
        place = directory / "sentinel"
        place.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        file = place / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {place}\n"
            f"sentinel monitor {MASTER} {host} {primary} 1\n"
            f"sentinel down-after-milliseconds {MASTER} {int(DOWN_SECONDS * 1000)}\n"
            f"sentinel failover-timeout {MASTER} {int(FAILOVER_SECONDS * 1000)}\n"
        )
        with (place / "sentinel.log").open("ab") as output:
            self._sentinel_process = subprocess.Popen(
                [str(find_binary()), str(file), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._sentinel = direct(port)
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            with suppress(redis.RedisError):
                if self._ask_sentinel("REPLICAS", MASTER):  # without one it cannot fail over
                    return port
            time.sleep(0.1)
        raise RuntimeError(f"the Sentinel did not find the replica; see {place}/sentinel.log")


def _announced(host: str, relay: int) -> Sequence[str]:
    return (
        *("--replica-announce-ip", host, "--replica-announce-port", str(relay)),
        *("--repl-diskless-sync-delay", "0", "--repl-timeout", "5"),
    )
