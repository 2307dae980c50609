"""Cooldowns, fights, steals, audit and the kill switch."""

from __future__ import annotations

from tests.cli.conftest import Desk


def test_a_steal_shows_as_cooldown_bar_pair_and_entry(busy: Desk) -> None:
    busy.ask_for("NVDA", 5.0)
    found = {(t["kind"], *t["who"]): t for t in busy.json("cooldowns")["cooldowns"]}
    assert set(found) == {("cooldown", "TSLA"), ("steal_back", "TSLA", "NVDA")}
    assert 290 < found["cooldown", "TSLA"]["seconds_left"] <= 300
    assert "TSLA may not steal back from NVDA" in busy.run("cooldowns").stdout
    assert busy.json("fights")["pairs"][0]["steals"] == 1
    (steal,) = busy.json("steals")["steals"]
    assert (steal["thief"], steal["victims"], steal["fight"]) == ("NVDA", ["TSLA"], False)


def test_another_accounts_cooldowns_are_not_ours(desk: Desk) -> None:
    desk.client.set("stealer:{other}:cooldown:AAPL", "x", px=60_000)
    desk.client.set("stealer:{paper}:cooldown:MSFT", "y", px=60_000)
    assert [t["who"] for t in desk.json("cooldowns")["cooldowns"]] == [["MSFT"]]
    assert [t["who"] for t in desk.json("cooldowns", "--account", "other")["cooldowns"]] == [
        ["AAPL"]
    ]


def test_a_fight_says_who_and_how_long(desk: Desk) -> None:
    desk.coordinator.certify()
    for _ in range(4):
        desk.coordinator.record_steal("AAPL", "MSFT")
    (fight,) = desk.json("fights")["fights"]
    assert fight["who"] == ["AAPL", "MSFT"]
    assert 1790 < fight["seconds_left"] <= 1800
    assert "AAPL and MSFT may not steal from each other" in desk.run("fights").stdout
    assert "FIGHT" in desk.run("steals").stdout


def test_steals_shows_the_latest_with_the_last_one_last(desk: Desk) -> None:
    desk.coordinator.certify()
    for thief in ("AAPL", "MSFT", "TSLA"):
        desk.coordinator.record_steal("F", thief)
    rows = desk.json("steals", "--count", "2")["steals"]
    assert [r["thief"] for r in rows] == ["MSFT", "TSLA"]


def test_halt_stops_new_orders_until_resume_and_both_are_audited(busy: Desk) -> None:
    assert busy.run("halt", "--why", "broker outage").exit_code == 0
    assert busy.ask_for("NVDA", 50.0).reason == "halted"
    assert "broker outage" in busy.run("resume").stdout
    assert busy.ask_for("NVDA", 50.0).outcome == "steal"
    rows = busy.json("audit")["audit"]
    assert [(r["what"], r["why"]) for r in rows] == [("halt", "broker outage"), ("resume", "-")]
    assert "@" in rows[0]["who"]


def test_following_steals_prints_new_ones_once(desk: Desk) -> None:
    from stealer.cli.operator import Operator
    from stealer.cli.views.records import next_steals, steals

    ledger = Operator(desk.client, desk.settings)
    ledger.certify()
    ledger.record_steal("F", "AAPL")
    (first,) = steals(ledger, 10)
    ledger.record_steal("F", "MSFT")
    (second,) = next_steals(ledger, first.id, 10)
    assert second.thief == "MSFT"
    assert next_steals(ledger, second.id, 10) == []
