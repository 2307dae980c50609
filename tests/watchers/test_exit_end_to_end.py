"""An entry and its exit as real processes, on Redis, the simulated Alpaca and a keeper."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stealer.embedded import EmbeddedServer
from stealer.exit_ids import is_exit
from tests.watchers.test_fleet_end_to_end import AT_LIMIT, DEADLINE, World

pytestmark = [pytest.mark.processes, pytest.mark.real_server]


class SlowFills(World):
    """Every order fills in parts, half a second apart, so that a test can look in between."""

    simulator_options = ("--partial-probability", "1")

    def exits(self) -> list[dict[str, Any]]:
        """Live orders of exits, as the broker has them."""
        return [o for o in self.orders("AAPL") if is_exit(o["client_order_id"], "paper")]

    def filled(self, side: str) -> Decimal:
        rows = self.orders("AAPL", "all")
        return sum((Decimal(o["filled_qty"]) for o in rows if o["side"] == side), Decimal(0))

    def offers(self) -> Decimal:
        return sum((Decimal(o["qty"]) - Decimal(o["filled_qty"]) for o in self.exits()), Decimal(0))


@pytest.fixture
def world(redis_server: EmbeddedServer, tmp_path: Path) -> Iterator[SlowFills]:
    world = SlowFills(redis_server, tmp_path)
    yield world
    world.close()


APPLE = {"name": "apple", "symbol": "AAPL", "target_qty": 150, "exit_limit_price": 104}


def test_an_exit_follows_its_entrys_fills_and_ends_when_all_is_sold(world: SlowFills) -> None:
    world.plan("alpha", APPLE)
    world.price("AAPL", AT_LIMIT)
    fleet = world.fleet("alpha")
    world.until(lambda: world.state("AAPL") == "open", "the entry opens")

    # the entry fills in part, and the exit follows
    world.price("AAPL", 99.9)
    world.until(lambda: world.filled("buy") > 0, "a first fill")
    world.price("AAPL", AT_LIMIT)
    part = world.filled("buy")
    assert 0 < part < 150
    world.until(lambda: world.offers() == part, "the exit covers the part")
    assert world.exits()[0]["limit_price"] == "104"

    # it fills the rest, and the exit grows
    world.price("AAPL", 99.9)
    world.until(lambda: world.filled("buy") == 150, "the entry is filled")
    world.until(lambda: world.offers() == 150, "the exit covers all")
    world.until(lambda: "apple: done" in (world.directory / "alpha.err").read_text(), "entry ends")
    assert fleet.poll() is None, "the exit lives on"

    # the price reaches the exit
    world.price("AAPL", 104.2)
    assert fleet.wait(DEADLINE) == 0

    assert "alpha: ended: 2 done" in (world.directory / "alpha.err").read_text()
    assert (world.orders(), world.filled("sell")) == ([], 150)
    report = world.report()
    assert (report["cap_violations"], report["duplicate_client_ids"]) == (0, 0)
    # What filled last stays charged until the keeper has seen it as position.
    world.until(lambda: world.ledger.claim_ids() == [], "nothing is charged")


def test_a_killed_exit_comes_back_and_a_stopped_fleet_leaves_its_order(world: SlowFills) -> None:
    world.plan("alpha", APPLE)
    world.price("AAPL", 99.9)
    world.fleet("alpha")
    world.until(lambda: world.filled("buy") > 0, "a first fill")
    world.price("AAPL", AT_LIMIT)
    part = world.filled("buy")
    world.until(lambda: world.offers() == part, "the exit covers the part")
    before = [o["id"] for o in world.exits()]

    world.stop("alpha", signal.SIGKILL)
    world.run("second", "-m", "watchers", "run", world.directory / "alpha.toml")
    log = world.directory / "second.err"
    world.until(lambda: "adopts its order" in log.read_text(), "the next fleet adopts it")
    world.until(lambda: world.state("AAPL") == "open", "the entry is open again")
    assert world.stop("second") == 0

    assert [o["id"] for o in world.orders()] == before, (
        "the entry's is taken back, the exit's stays"
    )
    assert world.state("AAPL") == "none"
