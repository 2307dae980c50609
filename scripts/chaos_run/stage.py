"""The processes: keepers and fleets on hosts of their own, started again when they die.

The simulated Alpaca is never hurt: it is the judge. A host is a network namespace with a host name
of its own where this machine allows it, else only a process group.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scripts.chaos_run import times
from scripts.chaos_run.hosts import Network

#: Seconds a process may take to start, and after SIGTERM until it is killed.
START_SECONDS, STOP_SECONDS = 40.0, 30.0

KEY_ID, SECRET_KEY = "chaos-key-id", "chaos-secret-key"

#: Variables of the caller that would change the run behind its back.
_OURS = ("WORK_STEALING_", "STEALER_", "CRYPTO_", "BEST_ORDERS_", "ALPACA_", "APCA_", "REDIS_URL")


class StageError(RuntimeError):
    """A process did not start; the message has the end of what it said."""


@dataclass(eq=False)
class Actor:
    """A keeper or a fleet: how it is started, on which host, and its present process."""

    name: str
    arguments: Sequence[str]
    host: str = ""
    process: subprocess.Popen[bytes] | None = None
    restart_at: float | None = None
    starts: int = 0
    endings: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """Its process, None while there is none."""
        running = self.process is not None and self.process.poll() is None
        return self.process.pid if running and self.process else None

    def children(self) -> list[int]:
        """The watchers of a fleet."""
        if self.pid is None:
            return []
        try:
            return sorted(child.pid for child in psutil.Process(self.pid).children())
        except psutil.Error:
            return []


class Stage:
    """Starts, supervises and stops; output goes to ``DIRECTORY/NAME.log``."""

    def __init__(self, directory: Path, network: Network | None) -> None:
        self.directory = directory
        self.network = network
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(_OURS)},
            **times.ENVIRONMENT,
            "APCA_API_KEY_ID": KEY_ID,
            "APCA_API_SECRET_KEY": SECRET_KEY,
        }
        self.actors: dict[str, Actor] = {}
        self._broker: subprocess.Popen[bytes] | None = None

    def start_broker(self, arguments: Sequence[str]) -> int:
        """The simulated Alpaca; its port on this machine's loopback."""
        command = [sys.executable, "-m", "stealer.simulated_alpaca", *arguments]
        self._broker = self._popen("simulated-alpaca", command)
        log = self.directory / "simulated-alpaca.log"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            said = log.read_text(errors="replace")
            if match := re.search(r"on http://\S+:(\d+)", said):
                return int(match.group(1))
            if self._broker.poll() is not None:
                raise StageError(f"the simulated Alpaca could not start: {said.strip()[-2000:]}")
            select.select([], [], [], 0.05)
        raise StageError(f"the simulated Alpaca did not start within {START_SECONDS:g} s")

    def add(self, name: str, module: str, *arguments: str, host: str = "") -> Actor:
        """One of our commands, under supervision from now on."""
        actor = Actor(name, [sys.executable, "-m", module, *arguments], host)
        self.actors[name] = actor
        self._start(actor)
        return actor

    def fleets(self) -> list[Actor]:
        """All fleets."""
        return [actor for name, actor in self.actors.items() if name.startswith("fleet-")]

    def keepers(self) -> list[Actor]:
        """All keepers."""
        return [actor for name, actor in self.actors.items() if name.startswith("keeper-")]

    def supervise(self) -> None:
        """Start again, after a while, what has died."""
        now = time.monotonic()
        for actor in self.actors.values():
            if actor.pid is not None:
                continue
            if actor.restart_at is None:
                assert actor.process is not None
                actor.endings.append(actor.process.returncode)
                actor.restart_at = now + times.RESTART
            elif now >= actor.restart_at:
                self._start(actor)

    def stop(self, actors: Sequence[Actor]) -> list[str]:
        """SIGTERM all of them together; who had to be killed or ended in another way."""
        for actor in actors:
            if actor.pid is not None:
                os.kill(actor.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        bad = []
        for actor in actors:
            self.actors.pop(actor.name)
            if actor.process is None:
                continue
            try:
                code = actor.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                bad.append(f"{actor.name} did not stop within {STOP_SECONDS:g} s")
                _kill_tree(actor)
            else:
                if code not in (0, 1):
                    bad.append(f"{actor.name} ended with status {code}")
        return bad

    def close(self) -> None:
        """End everything, the broker last: fleets cancel their orders there."""
        for actor in self.actors.values():
            _kill_tree(actor)
        self.actors.clear()
        if self._broker is not None:
            self._broker.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._broker.wait(10)
            self._broker.kill()
            self._broker.wait()

    def crashes(self) -> dict[str, int]:
        """Tracebacks in the logs of our processes, by process."""
        found = {}
        for log in sorted(self.directory.glob("*.log")):
            count = log.read_text(errors="replace").count("Traceback (most recent call last)")
            if count:
                found[log.stem] = count
        return found

    def _start(self, actor: Actor) -> None:
        actor.process = self._popen(actor.name, [*self._inside(actor.host), *actor.arguments])
        actor.restart_at = None
        actor.starts += 1

    def _inside(self, host: str) -> list[str]:
        """The words before a command that make it run on *host*; each replaces itself by exec."""
        if not host or self.network is None:
            return []
        words = ["ip", "netns", "exec", host]
        if shutil.which("unshare"):
            named = f'hostname {host} && exec "$@"'
            words += ["unshare", "--uts", "sh", "-c", named, "sh"]
        return words

    def _popen(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours; we stop them in order
            )


def _kill_tree(actor: Actor) -> None:
    for pid in (*actor.children(), actor.pid):
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if actor.process is not None:
        actor.process.wait()
