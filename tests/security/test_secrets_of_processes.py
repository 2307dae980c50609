"""A fleet and a keeper with users, passwords and keys: none of them shows anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stealer.access import Role, user_name
from tests.processes.conftest import short_times
from tests.security.conftest import ACCOUNT, Guarded
from tests.watchers.test_fleet_end_to_end import AT_LIMIT, World

__all__ = ["short_times"]

pytestmark = [pytest.mark.processes, pytest.mark.real_server, pytest.mark.timeout(240)]

KEY_ID, SECRET_KEY = "PKTESTKEYID0123456789", "secretsecretkey0123456789abcdefghijklmnop"


class GuardedWorld(World):
    """A world whose keeper, fleets and commands come to Redis as their roles, with files."""

    def __init__(self, guarded: Guarded, directory: Path) -> None:
        self.guarded = guarded
        self.files = directory / "files"
        self.files.mkdir()
        for name, secret in self.secrets().items():
            (self.files / name).write_text(secret + "\n")
            (self.files / name).chmod(0o600)
        super().__init__(guarded.server, directory)

    def secrets(self) -> dict[str, str]:
        passwords = {str(role): self.guarded.password(role) for role in Role}
        return {**passwords, "key-id": KEY_ID, "secret-key": SECRET_KEY}

    def environment(self, role: Role) -> dict[str, str]:
        plain = {k: v for k, v in self.env.items() if not k.startswith("APCA_")}
        address = f"redis://{user_name(role, ACCOUNT)}@127.0.0.1:{self.guarded.server.port}/0"
        return plain | {
            "REDIS_URL": address,
            "REDIS_PASSWORD_FILE": str(self.files / role),
            "APCA_API_KEY_ID_FILE": str(self.files / "key-id"),
            "APCA_API_SECRET_KEY_FILE": str(self.files / "secret-key"),
        }

    def run(self, name: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        everybodys = self.env
        self.env = self.environment(Role.KEEPER if name == "keeper" else Role.WATCHER)
        try:
            return super().run(name, *arguments)
        finally:
            self.env = everybodys

    def stealer(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stealer.cli", *words],
            env=self.environment(Role.OPERATOR) | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def world(guarded: Guarded, tmp_path: Path, short_times: None) -> Iterator[GuardedWorld]:
    world = GuardedWorld(guarded, tmp_path)
    yield world
    world.close()


def dumped(client: Any) -> str:
    """Every key and what it holds, as text."""
    texts = []
    for key in client.keys("*"):
        kind = client.type(key)
        read = {
            "hash": client.hgetall,
            "string": client.get,
            "zset": lambda k: client.zrange(k, 0, -1),
            "list": lambda k: client.lrange(k, 0, -1),
            "stream": lambda k: client.xrange(k),
        }[kind]
        texts.append(f"{key} {read(key)}")
    return "\n".join(texts)


def test_no_secret_shows_in_processes_logs_redis_or_errors(world: GuardedWorld) -> None:
    world.plan("alpha", {"symbol": "AAPL", "target_qty": 10, "forecast_pnl": 1})
    world.price("AAPL", AT_LIMIT)
    world.fleet("alpha")
    world.until(lambda: world.state("AAPL") == "open", "a watcher with its own user opens an order")

    shown: dict[str, str] = {"redis": dumped(world.client)}
    shown["clients"] = str(world.client.client_list()) + str(world.client.acl_log())
    for process in world.processes.values():
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]:
            shown[f"ps {one.pid}"] = " ".join(one.cmdline())
    users = {client["user"] for client in world.client.client_list()}
    assert {"paper-watcher", "paper-keeper"} <= users

    for words in (["status"], ["doctor", "--json"], ["orders", "--json"]):
        done = world.stealer(*words)
        assert "Traceback" not in done.stderr, done.stderr
        shown[" ".join(words)] = done.stdout + done.stderr
    failing: list[dict[str, str]] = [
        {"REDIS_PASSWORD_FILE": str(world.files / "viewer")},
        {
            "REDIS_URL": f"redis://paper-operator:{world.guarded.password(Role.OPERATOR)}@127.0.0.1:1"
        },
        {"REDIS_URL": f"http://:{world.guarded.password(Role.OPERATOR)}@h"},
        {"ALPACA_URL": f"http://{KEY_ID}:{SECRET_KEY}@127.0.0.1"},
        {"ALPACA_URL": "https://api.alpaca.markets"},
    ]
    for number, environment in enumerate(failing):
        if "REDIS_URL" in environment:
            environment |= {"REDIS_PASSWORD_FILE": ""}
        done = world.stealer("doctor", **environment)
        assert done.returncode != 0, (environment, done.stdout)
        assert "Traceback" not in done.stderr
        shown[f"failing {number}"] = done.stdout + done.stderr
    world.stop("alpha")
    world.stop("keeper")
    for file in world.directory.glob("*.err"):
        shown[file.name] = file.read_text()
    shown["server.log"] = world.guarded.server.log_path.read_text()
    assert len(shown["alpha.err"]) > 100
    for where, text in shown.items():
        for name, secret in world.secrets().items():
            assert secret not in text, f"the secret {name} shows in {where}"
