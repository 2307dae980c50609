"""`stealer orders` and `stealer candidates`."""

from __future__ import annotations

from tests.cli.conftest import Desk


def test_open_orders_are_ranked_best_forecast_first(busy: Desk) -> None:
    rows = busy.json("orders")["open"]
    assert [(r["rank"], r["symbol"]) for r in rows] == [(1, "AAPL"), (2, "MSFT"), (3, "TSLA")]
    assert rows[0]["limit_price"] == "100"
    assert rows[0]["need_micro"] == 3_000_000_000


def test_a_new_forecast_moves_an_order_and_its_tier(busy: Desk) -> None:
    assert busy.run("forecasts", "set", "tsla", "12").exit_code == 0
    best = busy.json("orders")["open"][0]
    assert (best["symbol"], best["pnl"], best["tier"]) == ("TSLA", 12.0, "tight_tolerance")


def test_candidates_come_worst_first_with_their_protection(busy: Desk) -> None:
    busy.quote("TSLA", ask=100.2)
    found = busy.json("candidates")["candidates"]
    assert [(c["symbol"], c["protection"]) for c in found] == [
        ("TSLA", "near_fill"),
        ("MSFT", ""),
        ("AAPL", ""),
    ]
    text = busy.run("candidates").stdout
    assert "about to fill" in text
    assert "2 of 3 open orders could be stolen now" in text


def test_for_a_thief_its_own_symbol_and_its_fights_protect_too(busy: Desk) -> None:
    busy.client.set(busy.key("fight:MSFT:TSLA"), "a fight", px=60_000)
    found = busy.json("candidates", "msft")["candidates"]
    assert [c["protection"] for c in found] == ["fight", "own_symbol", ""]


def test_claims_that_are_not_open_are_listed_with_their_reason(busy: Desk) -> None:
    assert busy.ask_for("NVDA", 5.0).outcome == "steal"
    others = {o["symbol"]: o for o in busy.json("orders")["others"]}
    assert others["TSLA"]["state"] == "evicting"
    assert (others["TSLA"]["cause"], others["TSLA"]["by"]) == ("stolen", "NVDA")
    assert others["NVDA"]["state"] == "reserved"
    assert 0 < others["NVDA"]["deadline_seconds"] <= 30
    assert "stolen by NVDA" in busy.run("orders").stdout


def test_a_symbol_that_cannot_be_is_bad_input(desk: Desk) -> None:
    result = desk.run("candidates", "NOT-A-SYMBOL")
    assert result.exit_code == 2
    assert "symbol" in result.stderr
