"""An order the broker would never take, as a user meets it: one entry, and one of a plan."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.watchers.test_fleet_end_to_end import AT_LIMIT, DEADLINE, World

pytestmark = [pytest.mark.processes, pytest.mark.real_server]


def nothing_charged(world: World) -> None:
    figures = world.client.hgetall(world.ledger.keys.ledger)
    assert (figures.get("charged_total", "0"), world.ledger.claim_ids()) == ("0", [])


def test_a_price_off_the_tick_ends_with_a_sentence_and_code_2(world: World) -> None:
    world.price("AAPL", AT_LIMIT)
    options = ["--limit-price", "100.001", "--target-qty", "10", "--poll-seconds", "0.2"]

    ended = subprocess.run(
        [sys.executable, "-m", "watchers", "open-position", "AAPL", *options],
        env=world.env,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert ended.returncode == 2, ended
    said = [line for line in ended.stderr.splitlines() if line.startswith("watchers: ")]
    assert said == [
        "watchers: limit price 100.001 of AAPL is not a multiple of 0.01 dollars; "
        "the nearest allowed: 100 and 100.01"
    ]
    assert "Traceback" not in ended.stderr
    assert world.orders(status="all") == []
    nothing_charged(world)


def test_an_impossible_entry_of_a_plan_gives_up_and_the_others_go_on(world: World) -> None:
    world.plan(
        "mixed",
        {"symbol": "AAPL", "target_qty": 10, "forecast_pnl": 9, "limit_price": 100.001},
        {"symbol": "MSFT", "target_qty": 10, "forecast_pnl": 1, "time_in_force": "gtc"},
    )
    for symbol in ("AAPL", "MSFT"):
        world.price(symbol, AT_LIMIT)
    fleet = world.fleet("mixed")

    world.until(lambda: world.state("MSFT") == "open", "the possible entry opens")
    log = world.directory / "mixed.err"
    world.until(lambda: "AAPL-buy-maxdiff: gave up" in log.read_text() or
                "1 gave up" in log.read_text(), "the fleet says which gave up")  # fmt: skip

    assert fleet.poll() is None
    assert log.read_text().count("the nearest allowed: 100 and 100.01 (said once") == 1
    (order,) = world.orders(status="all")
    assert (order["symbol"], order["time_in_force"]) == ("MSFT", "gtc")
    assert world.stop("mixed") == 1
    nothing_charged(world)
