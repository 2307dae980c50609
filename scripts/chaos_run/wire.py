"""The harness's hand on the proxy: starts it and gives it orders."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Seconds the proxy may take to start or to obey.
ANSWER_SECONDS = 20.0


class WireError(RuntimeError):
    """The proxy did not start, or refused an order."""


class Wire:
    """One proxy process. Relays are named; see ``scripts.chaos_run.proxy`` for the faults."""

    def __init__(self, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as door, log.open("ab") as output:
            door.settimeout(ANSWER_SECONDS)
            host, port = door.getsockname()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.chaos_run.proxy", host, str(port)],
                cwd=Path(__file__).resolve().parents[2],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                self._socket, _ = door.accept()
            except TimeoutError:
                self.process.kill()
                raise WireError(f"the proxy did not start; see {log}") from None
        self._socket.settimeout(ANSWER_SECONDS)
        self._file = self._socket.makefile("rwb")

    def relay(self, name: str, host: str, target: tuple[str, int]) -> int:
        """Listen on *host* for *target*; the port."""
        return int(self._order(op="relay", name=name, listen=[host, 0], target=target)["port"])

    def lead(self, name: str, target: tuple[str, int]) -> None:
        """New connections of a relay go to *target*."""
        self._order(op="target", name=name, target=target)

    def fault(self, name: str, kind: str, seconds: float, **more: Any) -> None:
        """A fault on a relay that ends by itself."""
        self._order(op="fault", name=name, kind=kind, seconds=seconds, **more)

    def clear(self) -> None:
        """End all faults."""
        self._order(op="clear")

    def counts(self) -> dict[str, dict[str, int]]:
        """Connections, cuts and lost chunks of each relay."""
        return self._order(op="counts")

    def close(self) -> None:
        """End the proxy."""
        self._file.close()
        self._socket.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _order(self, **order: Any) -> dict[str, Any]:
        try:
            self._file.write(json.dumps(order).encode() + b"\n")
            self._file.flush()
            answer: dict[str, Any] = json.loads(self._file.readline() or b'{"error": "it ended"}')
        except OSError as error:
            raise WireError(f"the proxy does not answer: {error}") from None
        if "error" in answer:
            raise WireError(f"the proxy: {answer['error']}")
        return answer
