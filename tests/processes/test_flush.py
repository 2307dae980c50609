"""Redis loses all its memory under a running account: nothing is lost, and nothing doubled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stealer.connect import connect, connect_broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.entry import Ending, Entries
from stealer.model import OrderIntent, State
from stealer.settings import Settings
from tests.processes.conftest import SHORT
from tests.watchers.test_fleet_end_to_end import AT_LIMIT, AWAY, World

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

QUARANTINE = float(SHORT["STEALER_QUARANTINE_SECONDS"])

#: Orders of watchers that run, and of ones that are gone.
WATCHED, UNWATCHED = 5, 45

#: What the passes of the keeper, and a busy machine, may add to the quarantine.
SLACK = 10.0


@pytest.fixture
def world(
    redis_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name, value in (SHORT | {"STEALER_ORPHAN_SECONDS": "120"}).items():
        monkeypatch.setenv(name, value)
    world = World(redis_server, tmp_path)
    yield world
    world.close()


def slots(world: World) -> dict[str, str]:
    """Claim -> owner, of the open ones."""
    claims = world.ledger.claims().values()
    return {c.id: c.owner for c in claims if c.state is State.OPEN}


def test_after_a_flush_with_fifty_live_orders_none_is_lost_and_none_doubled(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    world.price("AAPL", AT_LIMIT)
    world.ledger.watch(["AAPL"], 120)
    world.until(lambda: world.ledger.standing("AAPL", "maxdiff").ask, "a quote")
    plan = [
        {"symbol": "AAPL", "target_qty": 1, "forecast_pnl": 1, "strategy": f"w{n}", "name": f"w{n}"}
        for n in range(WATCHED)
    ]
    world.plan("alpha", *plan)
    world.fleet("alpha")
    settings = Settings.from_env(world.env)
    mine = WorkStealingCoordinator(connect(settings), settings, owner="gone")
    entries = Entries(mine, connect_broker(settings))
    for n in range(UNWATCHED):
        intent = OrderIntent("AAPL", "buy", 1, 100, f"s{n}", 1.0)
        assert entries.open(intent, market_open=True).ending is Ending.OPEN
    world.until(lambda: len(slots(world)) == WATCHED + UNWATCHED, "all are open")
    world.price("AAPL", AWAY)
    before = {order["client_order_id"]: order["id"] for order in world.orders()}
    assert len(before) == WATCHED + UNWATCHED
    charged = world.client.hget(world.ledger.keys.ledger, "charged_total")

    world.client.flushall()
    flushed = time.monotonic()
    assert not world.ledger.server().certified
    world.until(lambda: world.ledger.server().certified, "certified again")
    took = time.monotonic() - flushed
    record_property("certified_again_seconds", round(took, 2))

    # At the first sight of the certificate everything is there.
    assert slots(world).keys() == before.keys()
    assert world.client.hget(world.ledger.keys.ledger, "charged_total") == charged
    assert QUARANTINE <= took < QUARANTINE + SLACK, took
    world.until(
        lambda: sum(bool(owner) for owner in slots(world).values()) == WATCHED,
        "the watchers have taken their orders up",
    )
    # ... and every pass and step since has left them alone.
    account_ms = world.client.hget(world.ledger.keys.ledger, "account_ms")
    world.until(
        lambda: world.client.hget(world.ledger.keys.ledger, "account_ms") != account_ms, "a pass"
    )
    assert {o["client_order_id"]: o["id"] for o in world.orders(status="all")} == before
    assert {o["client_order_id"]: o["id"] for o in world.orders()} == before
    report = world.report()
    assert (report["cap_violations"], report["duplicate_client_ids"]) == (0, 0)
    assert world.stop("alpha") == 0
    assert len(world.orders()) == UNWATCHED
