"""A Sentinel process for two servers, and when it and the replica are ready for a failover."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stealer.embedded import find_binary

#: Seconds the harness's own connection waits.
ANSWER_SECONDS = 3.0

#: Seconds in which a replica has its first copy, and a Sentinel has found it.
READY_SECONDS = 20.0


def direct(port: int) -> redis.Redis:
    """The harness's own connection to a server: past any proxy, and without repeats."""
    return redis.Redis(
        port=port,
        decode_responses=True,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), retries=0),
    )


def wait_in_sync(port: int) -> None:
    """Until the replica on *port* has its first copy: a failover before that loses everything.

    :raises RuntimeError: it does not follow.
    """
    give_up = time.monotonic() + READY_SECONDS
    with direct(port) as client:
        while client.info("replication").get("master_link_status") != "up":
            if time.monotonic() > give_up:
                raise RuntimeError("the replica does not follow its primary")
            time.sleep(0.1)


class Sentinel:
    """One running Sentinel, whose word alone is enough, that knows the replica.

    :param primary: host and port at which it looks for the primary.
    :param name: what the pair is called.
    :param down_seconds: after which a silent primary is dead.
    :param failover_seconds: between two failovers.
    :raises RuntimeError: it did not find the replica.
    """

    def __init__(
        self,
        directory: Path,
        primary: tuple[str, int],
        name: str,
        *,
        down_seconds: float,
        failover_seconds: float,
    ) -> None:
        self.name = name
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        directory.mkdir()
        file = directory / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {name} {primary[0]} {primary[1]} 1\n"
            f"sentinel down-after-milliseconds {name} {int(down_seconds * 1000)}\n"
            f"sentinel failover-timeout {name} {int(failover_seconds * 1000)}\n"
        )
        with (directory / "sentinel.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(find_binary()), str(file), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._client = direct(self.port)
        try:
            self._wait_until_ready(directory)
        except BaseException:
            self.close()
            raise

    def ask(self, word: str, *more: str) -> Any:
        """``SENTINEL word NAME more``.

        :raises redis.RedisError: it would not, or does not answer.
        """
        words = ("SENTINEL", word, self.name, *more)
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Stop it."""
        self._client.close()
        self._process.terminate()
        self._process.wait(10)

    def _wait_until_ready(self, directory: Path) -> None:
        give_up = time.monotonic() + READY_SECONDS
        while time.monotonic() < give_up:
            with suppress(redis.RedisError):
                if self.ask("REPLICAS"):  # without one it cannot fail over
                    return
            time.sleep(0.1)
        raise RuntimeError(f"the Sentinel did not find the replica; see {directory}/sentinel.log")
