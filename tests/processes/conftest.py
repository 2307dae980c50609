"""A world of processes whose protocol times are short, so that recoveries can be waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stealer.embedded import EmbeddedServer
from tests.watchers.test_fleet_end_to_end import World

#: Seconds. The quarantine stays longer than trust and account staleness together.
SHORT = {
    "STEALER_RESERVE_SECONDS": "3",
    "STEALER_TRUST_SECONDS": "1",
    "STEALER_POSITION_LAG_SECONDS": "0.2",
    "STEALER_ACCOUNT_STALE_SECONDS": "3",
    "STEALER_QUARANTINE_SECONDS": "5",
    "STEALER_ORPHAN_SECONDS": "4",
}


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process started from here on has them."""
    for name, value in SHORT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def world(redis_server: EmbeddedServer, tmp_path: Path, short_times: None) -> Iterator[World]:
    world = World(redis_server, tmp_path)
    yield world
    world.close()
