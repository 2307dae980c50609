"""A patient in good health on the real server, and a broker that is the simulated Alpaca."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from stealer.access import Role
from stealer.broker.interface import Broker
from stealer.connect import connect_broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.doctor import Finding, Level, Patient, examine
from stealer.settings import Settings
from stealer.simulated_alpaca.server import ServerThread
from stealer.simulated_alpaca.settings import ServerConfig
from tests.security.conftest import Guarded, guarded

__all__ = ["guarded"]


@pytest.fixture(scope="module")
def alpaca() -> Iterator[str]:
    """The address of a simulated Alpaca; its thread ends before other modules fork."""
    # Every look asks the broker, and there may be more than 200 of them in a minute.
    with ServerThread(config=ServerConfig(rate_limit=0)) as server:
        yield server.url


@dataclass
class Ward:
    """Makes patients and looks at them."""

    guarded: Guarded
    settings: dict[str, Any]
    client: Any
    environ: dict[str, str] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    broker: Broker | None = None

    @property
    def ledger(self) -> WorkStealingCoordinator:
        return WorkStealingCoordinator(self.client, Settings(**self.settings), owner="the keeper")

    def set(self, **settings: Any) -> None:
        self.settings = self.settings | settings

    def look(self, check: str = "") -> list[Finding]:
        """All findings, or those of one check."""
        patient = Patient(
            Settings.from_env(self.environ, **self.settings),
            lambda settings: self.client,
            lambda settings: self.broker or connect_broker(settings),
            self.environ,
            self.now,
        )
        found = examine(patient)
        return [f for f in found if not check or f.check == check]

    def one(self, check: str) -> Finding:
        """The only finding of a check."""
        found = self.look(check)
        assert len(found) == 1, found
        return found[0]

    def bad(self, check: str, level: Level, word: str) -> None:
        """That check says something at *level* with *word* in it, and what to do."""
        found = [f for f in self.look(check) if f.level is level and word in f.finding]
        assert found, self.look()
        assert all(f.advice for f in found)

    def good(self, check: str) -> None:
        found = self.look(check)
        assert {f.level for f in found} == {Level.OK}, found


@pytest.fixture
def ward(guarded: Guarded, alpaca: str) -> Iterator[Ward]:
    """All is well: certified, kept, fed; looked at by the operator."""
    admin = guarded.admin
    saved = {name: admin.config_get(name)[name] for name in CHANGED}
    settings = {
        "redis_url": guarded.server.url,
        "alpaca_key_id": "a-key-of-tests",
        "alpaca_secret_key": "a-secret-of-tests",
        "alpaca_url": alpaca,
    }
    admin.execute_command("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
    ward = Ward(guarded, settings, guarded.client(Role.OPERATOR))
    ledger = ward.ledger
    ledger.certify()
    ledger.publish_account(equity=10_000)
    ledger.lease(300)
    admin.config_set("appendonly", "yes")
    admin.config_set("appendfsync", "always")
    yield ward
    for name, value in saved.items():
        admin.config_set(name, value)
    for library in admin.function_list():
        name = library[1] if isinstance(library, list) else library[b"library_name"]
        if name.startswith(b"stealer_test"):
            admin.function_delete(name)


#: Settings of the server that tests change, and that are put back.
CHANGED = (
    "appendfsync", "maxmemory", "maxmemory-policy", "min-replicas-to-write", "protected-mode",
)  # fmt: skip
