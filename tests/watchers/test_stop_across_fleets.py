"""`watchers stop` reaches processes of two fleets, and only those that are meant."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.watchers.test_fleet_end_to_end import AT_LIMIT, DEADLINE, World, world

__all__ = ["world"]

pytestmark = [pytest.mark.processes, pytest.mark.real_server]


def watchers(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "watchers", *arguments]
    return subprocess.run(
        command, env=world.env, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def listed(world: World) -> dict[str, dict[str, Any]]:
    rows = json.loads(watchers(world, "list", "--json").stdout)["watchers"]
    return {row["name"]: row for row in rows}


def test_a_stop_takes_back_the_orders_of_two_fleets_and_none_comes_back(world: World) -> None:
    world.plan(
        "alpha",
        {"name": "apple", "symbol": "AAPL", "target_qty": 50},
        {"name": "soft", "symbol": "MSFT", "target_qty": 50},
    )
    world.plan("beta", {"name": "apple", "symbol": "AAPL", "target_qty": 5, "strategy": "other"})
    world.price("AAPL", AT_LIMIT)
    world.price("MSFT", AT_LIMIT)
    alpha = world.run(
        "alpha", "-m", "watchers", "run", world.directory / "alpha.toml",
        "--status-dir", world.directory, "--log-format", "json",
    )  # fmt: skip
    beta = world.fleet("beta")
    world.until(lambda: len(world.orders()) == 3, "all three open")
    before = listed(world)
    assert set(before) == {"alpha/apple", "alpha/soft", "beta/apple"}

    result = watchers(world, "stop", "AAPL", "--yes")

    assert result.returncode == 0, result.stderr
    assert "2 of 2 watchers stopped." in result.stdout
    assert [order["symbol"] for order in world.orders()] == ["MSFT"]
    assert beta.wait(DEADLINE) == 0, "a fleet whose entries were all stopped has ended"
    file = json.loads((world.directory / "apple.json").read_text())
    assert (file["task"]["name"], file["ended"]) == ("alpha/apple", "stopped")
    logged = (world.directory / "alpha.err").read_text().splitlines()
    lines = [json.loads(line) for line in logged]
    assert [
        line["detail"].startswith("stopped by ") for line in lines if line.get("phase") == "stopped"
    ] == [True]

    # Its fleet reads its plan again, which says nothing new: what was stopped stays so.
    alpha.send_signal(signal.SIGHUP)
    world.until(
        lambda: "SIGHUP: reading the plan" in (world.directory / "alpha.err").read_text(),
        "it reads",
    )
    after = listed(world)
    assert set(after) == {"alpha/soft"}
    assert after["alpha/soft"]["owner"] == before["alpha/soft"]["owner"]

    assert watchers(world, "stop", "--all", "--yes").returncode == 0
    assert alpha.wait(DEADLINE) == 0
    assert world.orders() == []
    assert world.ledger.claim_ids() == []
