"""The processes of the demo, all real: server, simulated Alpaca, keeper, two fleets."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from scripts.demonstration.market import KEY_ID, SECRET_KEY
from stealer.embedded import EmbeddedServer

#: Seconds a process has to start, and to stop after SIGTERM.
START_SECONDS = 40.0
STOP_SECONDS = 25.0


class StageError(RuntimeError):
    """A process did not start; the message has the end of what it said."""


class Stage:
    """Starts processes with their output in files, and stops them in the reverse order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(_OURS)},
            "APCA_API_KEY_ID": KEY_ID,
            "APCA_API_SECRET_KEY": SECRET_KEY,
        }
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._server: EmbeddedServer | None = None

    def start_redis(self) -> str:
        """A server of our own, or the one REDIS_URL names; its address."""
        given = os.environ.get("REDIS_URL", "")
        if given:
            return given
        # Nobody pulls the plug of a demo: no flush to disk at each write.
        self._server = EmbeddedServer.start(
            self.directory / "redis", extra=("--appendfsync", "everysec")
        )
        # A password or certificate for another server is none for this one.
        self.environment = {k: v for k, v in self.environment.items() if not k.startswith("REDIS_")}
        return self._server.url

    def start_broker(self, arguments: Sequence[str]) -> str:
        """The simulated Alpaca; its address, which it prints when it listens."""
        process = self._start(
            "simulated-alpaca", [sys.executable, "-m", "stealer.simulated_alpaca", *arguments]
        )
        return self._printed(process, "simulated-alpaca", r"on (http://\S+)")

    def start(self, name: str, module: str, arguments: Sequence[str]) -> None:
        """One of our commands, by its module."""
        self._start(name, [sys.executable, "-m", module, *arguments])

    def pid_of(self, name: str) -> int:
        """The process id of a running process."""
        return next(process.pid for running, process in self._running if running == name)

    def check(self) -> list[str]:
        """Names of processes that ended although nobody stopped them, with their exit status."""
        return [
            f"{name} ended with status {process.returncode}; see {self.log_of(name)}"
            for name, process in self._running
            if process.poll() is not None and process.returncode != 0
        ]

    def stop(self, names: Sequence[str] | None = None) -> None:
        """SIGTERM the named processes (all if None) together, then wait; kill what stays."""
        leaving = [(n, p) for n, p in self._running if names is None or n in names]
        for _, process in reversed(leaving):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for name, process in reversed(leaving):
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                print(f"{name} did not stop in time and was killed", file=sys.stderr)
                process.kill()
                process.wait()
        self._running = [pair for pair in self._running if pair not in leaving]

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        if self._server:
            self._server.stop()

    def log_of(self, name: str) -> Path:
        """Where a process's output goes."""
        return self.directory / f"{name}.log"

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours; we stop them in order
            )
        self._running.append((name, process))
        return process

    def _printed(self, process: subprocess.Popen[bytes], name: str, pattern: str) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            said = self.log_of(name).read_text(errors="replace")
            match = re.search(pattern, said)
            if match:
                return match.group(1)
            if process.poll() is not None:
                raise StageError(f"{name} could not start: {said.strip()[-2000:]}")
            select.select([], [], [], 0.05)
        raise StageError(f"{name} did not start within {START_SECONDS:g} s")


#: Settings of the caller's environment that would change the demo behind its back.
_OURS = ("WORK_STEALING_", "STEALER_", "CRYPTO_", "BEST_ORDERS_", "ALPACA_", "APCA_")
