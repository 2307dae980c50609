"""kill -9 at the worst moments: who takes over, how fast, and what is left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.processes.conftest import SHORT
from tests.watchers.test_fleet_end_to_end import AT_LIMIT, AWAY, KEEPER, World

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

#: The lease of a keeper that polls every 0.3 s, in seconds (keeper.main).
LEASE = 3.0

#: What the polls of keeper and watchers, and a busy machine, may add.
SLACK = 4.0

#: An attempt that is killed at the moment named by its argument.
THIEF = """
import os, signal, sys
from stealer.connect import connect, connect_broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Entries
from stealer.model import OrderIntent
from stealer.settings import Settings

settings, moment = Settings.from_env(), sys.argv[1]
coordinator = WorkStealingCoordinator(connect(settings), settings, owner="thief")
broker = connect_broker(settings)
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if moment == "canceled":
    cancel = broker.cancel
    broker.cancel = lambda order_id: (cancel(order_id), die())
elif moment == "launched":
    broker.submit = die
elif moment == "posted":
    confirm = coordinator.confirm
    coordinator.confirm = lambda claim, o: die() if o.symbol == "MSFT" else confirm(claim, o)
print(Entries(coordinator, broker).open(
    OrderIntent("MSFT", "buy", 100, 100, "maxdiff", 5), market_open=True))
"""


def leader(world: World) -> str:
    return str(world.client.get(world.ledger.keys.keeper) or "")


def nothing_is_left(world: World) -> None:
    """As the broker saw it, and as the ledger has it."""
    report = world.report()
    assert report["live_orders"] == []
    assert report["cap_violations"] == 0
    assert report["duplicate_client_ids"] == 0
    assert world.ledger.claim_ids() == []
    figures = world.client.hgetall(world.ledger.keys.ledger)
    assert (figures["charged_total"], figures["charged_crypto"]) == ("0", "0")


def test_a_standby_keeps_the_account_within_the_lease_and_watchers_go_on(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    world.until(lambda: leader(world), "the first keeper leads")
    first = leader(world)
    world.run("standby", "-c", KEEPER)
    world.until(lambda: "standing by" in (world.directory / "standby.err").read_text(), "standby")
    world.plan("alpha", {"symbol": "AAPL", "target_qty": 150, "forecast_pnl": 1})
    world.price("AAPL", AT_LIMIT)
    world.price("MSFT", AWAY)
    world.fleet("alpha")
    world.until(lambda: world.state("AAPL") == "open", "alpha opens")

    killed = time.monotonic()
    world.stop("keeper", signal.SIGKILL)
    world.until(lambda: leader(world) not in ("", first), "the standby leads")
    took = time.monotonic() - killed
    assert took < LEASE + SLACK, took

    # A steal needs everything a keeper does: quotes of both, a fresh account, the session.
    world.price("AAPL", AWAY)
    world.plan("beta", {"symbol": "MSFT", "target_qty": 100, "forecast_pnl": 5})
    world.price("MSFT", AT_LIMIT)
    world.fleet("beta")
    world.until(lambda: world.state("MSFT") == "open", "beta steals under the new keeper")
    record_property("takeover_seconds", round(took, 1))

    assert world.stop("alpha") == world.stop("beta") == 0
    assert [s["victims"] for s in world.steals()] == ["AAPL"]
    nothing_is_left(world)


@pytest.mark.parametrize(
    ("moment", "bound"),
    [
        ("canceled", float(SHORT["STEALER_RESERVE_SECONDS"])),
        (
            "launched",
            float(SHORT["STEALER_TRUST_SECONDS"]) + float(SHORT["STEALER_QUARANTINE_SECONDS"]),
        ),
        ("posted", float(SHORT["STEALER_ORPHAN_SECONDS"])),
    ],
)
def test_the_capacity_a_killed_thief_held_is_usable_again_in_bounded_time(
    world: World, record_property: Callable[[str, object], None], moment: str, bound: float
) -> None:
    world.plan("alpha", {"symbol": "AAPL", "target_qty": 150, "forecast_pnl": 1})
    world.price("AAPL", AT_LIMIT)
    world.price("MSFT", AT_LIMIT)
    world.fleet("alpha")
    world.until(lambda: world.state("AAPL") == "open", "alpha opens")
    world.price("AAPL", AWAY)
    world.ledger.watch(["MSFT"], 60)
    world.until(lambda: (world.ledger.standing("AAPL", "maxdiff").ask or 0) >= AWAY, "the quote")
    world.until(lambda: world.ledger.standing("MSFT", "maxdiff").ask, "the thief's quote")

    thief = world.run("thief", "-c", THIEF, moment)
    assert thief.wait(30) == -signal.SIGKILL
    killed = time.monotonic()
    assert len(world.steals()) == 1
    assert world.state("MSFT") != "none"

    # The victim comes back as soon as the price and the capacity allow it.
    world.price("AAPL", AT_LIMIT)
    world.until(lambda: world.state("AAPL") == "open" and world.orders("AAPL"), "alpha again")
    took = time.monotonic() - killed
    record_property("recovery_seconds", round(took, 1))
    assert took < bound + SLACK, took
    assert len(world.orders("MSFT", "all")) == (1 if moment == "posted" else 0)

    world.until(lambda: world.state("MSFT") == "none", "the thief's claim is gone")
    assert world.stop("alpha") == 0
    nothing_is_left(world)
