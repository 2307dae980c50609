"""`stealer status`: is all well?"""

from __future__ import annotations

from typing import Any

from stealer.broker.calls import Call
from stealer.budget import ApiBudget
from stealer.replies import StreamHealth
from tests.cli.conftest import Desk


def test_an_untouched_account_is_shown_as_uncertified_and_empty(desk: Desk) -> None:
    result = desk.run("status")
    assert result.exit_code == 0
    assert "NOT CERTIFIED" in result.stdout
    assert "no account snapshot yet" in result.stdout
    assert "no keeper" in result.stdout


def test_free_is_the_limit_less_positions_foreign_and_charges(desk: Desk) -> None:
    desk.ready()
    desk.coordinator.publish_account(equity=5_000, buying_power=10_000, positions=1_500)
    desk.open("AAPL", 9.0)
    pool = desk.json("status")["pools"][0]
    assert (pool["limit"], pool["positions"], pool["charged"]) == ("10000", "1500", "3000")
    assert pool["free"] == "5500"
    assert pool["free_micro"] == 5_500_000_000


def test_the_brokers_own_room_is_what_was_not_charged_since(busy: Desk) -> None:
    margin, cash = busy.json("status")["broker"]
    assert (margin["figure"], margin["charged_since"], margin["room"]) == ("10000", "9000", "1000")
    assert cash["room"] == "5000"


def test_a_snapshot_older_than_the_policy_allows_is_stale(busy: Desk) -> None:
    assert busy.json("status")["fresh"] is True
    ledger = busy.key("ledger")
    then = int(busy.client.hget(ledger, "account_ms") or 0) - 60_000
    busy.client.hset(ledger, "account_ms", str(then))
    assert busy.json("status")["fresh"] is False
    assert "account STALE" in busy.run("status").stdout


def test_the_streams_that_the_keeper_hears_by_are_shown(busy: Desk) -> None:
    term = int(busy.coordinator.lease(30)[1])
    assert "the keeper polls" in busy.run("status").stdout
    said = [StreamHealth("trade updates", 90, 5, 1), StreamHealth("stock quotes", None, None, 3)]

    busy.coordinator.publish_streams(said, 30, term)

    stock, trades = busy.json("status")["streams"]
    assert stock["name"] == "stock quotes"
    assert (stock["connected_seconds"], stock["connects"]) == (None, 3)
    assert 90 <= trades["connected_seconds"] < 100
    assert 5 <= trades["heard_seconds"] < 15
    shown = busy.run("status").stdout
    assert "stock quotes DOWN" in shown
    assert "trade updates up 1m" in shown


def test_keeper_halt_states_waiters_and_denials_are_counted(busy: Desk) -> None:
    busy.coordinator.lease(30)
    busy.ask_for("NVDA", 0.5)
    busy.reserve("F", 2.0, dollars=500)
    busy.run("halt", "--why", "drill")
    view = busy.json("status")
    assert view["keeper"] == "host-a:1"
    assert 25 < view["keeper_seconds_left"] <= 30
    assert view["halted"] == "drill"
    assert view["claims"]["open"] == 3
    assert view["claims"]["reserved"] == 1
    assert view["waiters"][0]["slot"] == "NVDA|buy|maxdiff"
    assert view["waiters"][0]["need"] == "3000"
    assert view["denied"] == {"pnl_not_better": 1}
    assert view["counters"]["work_steal_attempts_total"] == 1


def test_the_api_budget_is_shown_and_who_waits_for_it(busy: Desk) -> None:
    assert "the broker has not said yet how much it takes" in busy.run("status").stdout
    budget = ApiBudget(busy.client, "paper", who="watcher AAPL")
    now = busy.coordinator.now_ms()
    window: Any = {"known": 1, "limit": 40, "used": 33, "ends": now + 25_000}
    busy.client.hset(busy.key("budget"), mapping=window)
    assert budget.take(Call.READ) > 0
    view = busy.json("status")
    trading, data = view["api"]
    assert (trading["interface"], trading["left"], trading["limit"]) == ("trading", 7, 40)
    assert 20 < trading["reset_seconds"] <= 25
    assert (data["interface"], data["known"]) == ("market data", False)
    (waiter,) = view["api_waiting"]
    assert (waiter["who"], waiter["call"]) == ("watcher-AAPL", "read")
    assert view["counters"]["api_refused_total"] == 1
    shown = busy.run("status").stdout
    assert "trading: 7 of 40 requests left, reset in 2" in shown
    assert "watcher-AAPL read" in shown

    busy.client.hset(busy.key("budget"), "held", str(now + 20_000))
    assert "trading: REFUSED (429), nothing is sent for" in busy.run("status").stdout
    busy.client.hset(busy.key("budget"), mapping={"ends": now - 1, "held": 0})
    assert "trading: 40 of 40 requests left" in busy.run("status").stdout


def test_a_host_configured_differently_sees_its_drift(busy: Desk) -> None:
    busy.client.hset(busy.key("policy"), "cooldown_seconds", "60")
    assert busy.json("status")["drift"] == {"cooldown_seconds": {"here": "300", "account": "60"}}
    assert "cooldown_seconds is 300 here, 60 for the account" in busy.run("status").stdout


def test_a_pipe_gets_no_colour_no_lines_and_nothing_cut_off(busy: Desk) -> None:
    text = busy.run("orders").stdout
    assert "\x1b" not in text
    assert not set(text) & set("│─┃━…")
    assert busy.coordinator.claim_ids()[0] in text
    assert all(line == line.rstrip() for line in text.splitlines())
