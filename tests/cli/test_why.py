"""`stealer why`: the last decision, and what would change it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stealer.cli.views.why_words import ENDED as PHASES_OF_THE_END
from tests.cli.conftest import Desk
from watchers.status import ENDED, Phase


def said(desk: Desk, symbol: str = "NVDA") -> str:
    result = desk.run("why", symbol)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_says_what_pnl_would_beat_the_worst_unprotected_order(busy: Desk) -> None:
    busy.ask_for("NVDA", 1.05)
    text = said(busy, "nvda")
    assert "denied (pnl not better)" in text
    assert "take TSLA (1.00)" in text
    assert "above 1.10; its PnL is 1.05" in text
    (answer,) = busy.json("why", "NVDA")["watchers"]
    assert round(answer["pnl_needed"], 6) == 1.1
    assert answer["short_micro"]["total"] == 2_000_000_000


def test_a_need_of_several_victims_must_beat_their_sum(busy: Desk) -> None:
    busy.ask_for("NVDA", 4.1, dollars=6_500)
    (answer,) = busy.json("why", "NVDA")["watchers"]
    assert round(answer["pnl_needed"], 6) == 4.4  # (1 + 3) and a tenth


@pytest.mark.parametrize("victim", [-2.0, 0.0, 3.0])
def test_the_pnl_it_names_is_where_the_scripts_begin_to_steal(desk: Desk, victim: float) -> None:
    desk.ready(equity=1_500)
    desk.open("TSLA", victim)
    desk.ask_for("NVDA", victim)
    (answer,) = desk.json("why", "NVDA")["watchers"]
    needed = answer["pnl_needed"]
    assert desk.ask_for("NVDA", needed - 0.01).reason == "pnl_not_better"
    assert desk.ask_for("NVDA", needed + 0.01).outcome == "steal"


def test_it_says_how_far_the_price_must_come(busy: Desk) -> None:
    busy.ask_for("NVDA", 5.0, ask=101.0)
    assert "the ask must fall by 0.700% of the limit" in said(busy)


def test_with_the_watchers_own_limit_it_names_the_price(busy: Desk) -> None:
    busy.ask_for("NVDA", 5.0, ask=101.0)
    status = {"symbol": "NVDA", "side": "buy", "strategy": "maxdiff", "limit_price": "100"}
    busy.client.hset(busy.key("watchers"), "host-a:1", json.dumps(status))
    assert "the ask must fall from 101 to 100.3" in said(busy)


def test_an_exit_in_the_symbol_is_not_taken_for_a_watcher_of_an_entry(busy: Desk) -> None:
    busy.ask_for("NVDA", 5.0, ask=101.0)
    status = {"symbol": "NVDA", "side": "sell", "strategy": "maxdiff", "limit_price": "120"}
    busy.client.hset(busy.key("watchers"), "host-a:1", json.dumps(status | {"kind": "exit"}))
    (answer,) = busy.json("why", "NVDA")["watchers"]
    assert (answer["side"], answer["watcher"]) == ("buy", {})


def test_it_says_when_a_cooldown_ends(busy: Desk) -> None:
    busy.client.set(busy.key("cooldown:TSLA"), "stolen", px=120_000)
    busy.client.set(busy.key("cooldown:NVDA"), "NVDA stolen by MSFT (2.00 over 1.00)", px=90_000)
    busy.ask_for("NVDA", 5.0)
    text = said(busy)
    assert "NVDA may not steal back from MSFT for another 1m30s" in text
    assert "TSLA (1.00): cooldown for 2m00s" in text


def test_it_says_what_halts_everybody(busy: Desk) -> None:
    busy.run("halt", "--why", "drill")
    busy.ask_for("NVDA", 5.0)
    assert "halted (drill). To allow it: stealer resume" in said(busy)
    busy.run("resume")
    assert "That is over" in said(busy)


def test_an_open_order_has_nothing_to_change(busy: Desk) -> None:
    assert "open: there is nothing to change" in said(busy, "AAPL")


def test_tier_and_tolerance_are_of_now(desk: Desk) -> None:
    desk.ready()
    desk.run("forecasts", "set", "btc/usd", "3")
    assert desk.json("why", "BTC/USD")["watchers"][0]["tolerance_pct"] == 0.0066
    desk.coordinator.publish_session(False, 3600)
    (answer,) = desk.json("why", "btc-usd")["watchers"]
    assert (answer["tier"], answer["tolerance_pct"]) == ("force_immediate", None)


def test_a_symbol_nothing_is_known_about_cannot_be_explained(desk: Desk) -> None:
    result = desk.run("why", "AAPL")
    assert result.exit_code == 1
    assert "nothing is known about AAPL" in result.stderr


def test_a_watcher_that_asked_for_nothing_says_why_itself(desk: Desk) -> None:
    desk.ready()
    status = {"symbol": "NVDA", "side": "buy", "strategy": "maxdiff", "phase": "blocked"}
    status |= {"reason": "wash_trade", "detail": "the account's own sell order is open"}
    desk.client.hset(desk.key("watchers"), "host-a:1", json.dumps(status))

    assert "blocked (wash trade): the account's own sell order is open" in said(desk)


def reports(desk: Desk, phase: str, reason: str = "", owner: str = "host-a:1", **more: Any) -> None:
    status = {"symbol": "NVDA", "side": "buy", "strategy": "maxdiff", "phase": phase}
    desk.client.hset(desk.key("watchers"), owner, json.dumps(status | {"reason": reason} | more))


@pytest.mark.parametrize(
    ("phase", "reason", "words"),
    [
        ("waiting_for_price", "", "its watcher is waiting for price."),
        ("blocked", "broker", "its watcher is blocked (broker), and asks once that is over."),
        ("starting", "", "its watcher is starting."),
    ],
)
def test_a_watcher_that_never_asked_is_described_by_its_own_report(
    desk: Desk, phase: str, reason: str, words: str
) -> None:
    desk.ready()
    reports(desk, phase, reason)
    assert desk.json("why", "NVDA")["watchers"][0]["changes"] == [
        f"It has not asked for capacity yet: {words}"
    ]


def test_a_symbol_that_has_a_forecast_and_no_watcher_is_told_so(desk: Desk) -> None:
    desk.ready()
    desk.coordinator.publish_forecast("NVDA", "maxdiff", 3.0)
    assert "It has not asked for capacity yet: no watcher of it reports." in said(desk)


@pytest.mark.parametrize(
    ("phase", "reason", "words"),
    [
        ("waiting_for_price", "", "its watcher is waiting for price, and asks again by itself."),
        ("blocked", "broker", "its watcher is blocked (broker), and asks again once that is over."),
    ],
)
def test_after_a_claim_that_has_ended_the_watcher_says_what_it_does(
    desk: Desk, phase: str, reason: str, words: str
) -> None:
    desk.ready()
    desk.coordinator.abort(desk.reserve("NVDA", 3.0))
    reports(desk, phase, reason)
    (answer,) = desk.json("why", "NVDA")["watchers"]
    assert answer["changes"] == [f"It held a claim that has ended since; {words}"]


def test_after_a_claim_that_has_ended_and_its_watcher_with_it_nobody_asks_again(
    desk: Desk,
) -> None:
    desk.ready()
    desk.coordinator.abort(desk.reserve("NVDA", 3.0))
    (answer,) = desk.json("why", "NVDA")["watchers"]
    assert answer["changes"] == [
        "It held a claim that has ended since, and no watcher of it reports now: nobody asks "
        "again before one runs. How the last one ended: watchers logs NVDA"
    ]


@pytest.mark.parametrize("phase", sorted(ENDED))
def test_a_watcher_that_has_ended_changes_nothing_whatever_was_decided_last(
    busy: Desk, phase: Phase
) -> None:
    busy.ask_for("NVDA", 1.05)
    reports(busy, phase, "price_tick")
    (answer,) = busy.json("why", "NVDA")["watchers"]
    shown = phase.replace("_", " ")
    assert answer["changes"] == [f"Its watcher has ended: {shown} (price tick). It asks no more."]


def test_of_two_reports_of_a_slot_the_later_counts(desk: Desk) -> None:
    desk.ready()
    reports(desk, "blocked", "broker", owner="host-b:2", seen=200.0)
    reports(desk, "impossible", "price_tick", owner="host-a:1", seen=100.0)
    assert desk.json("why", "NVDA")["watchers"][0]["watcher"]["phase"] == "blocked"


def test_every_phase_in_which_a_watcher_has_ended_is_known() -> None:
    assert {phase.value for phase in ENDED} == PHASES_OF_THE_END
