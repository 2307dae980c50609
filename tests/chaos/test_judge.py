"""Each verdict can fail: a log with the violation gives the finding, one without gives none."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.chaos_run import judge
from scripts.chaos_run.judge import Finding, LedgerEnd, Seat
from scripts.chaos_run.witness import Happening, Witness, happening

ID = "mx_paper_1a204f072530000058e7e5a_nn_p8.00_d1"


def event(
    order: str, status: str, at: float = 0.0, *, claim: str = "", slot: str = "AAPL|buy|d1"
) -> Happening:
    return Happening(at, status, order, claim or f"id of {order}", slot, status, "10", "0")


def report(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "cap_violations": 0,
        "cap_violation_details": [],
        "duplicate_client_ids": 0,
        "positions": {},
    }
    return base | more


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


ORDINARY = [event("1", "new"), event("1", "canceled", 5), event("2", "new", 5)]


def test_an_ordinary_log_has_no_findings() -> None:
    assert judge.broken_caps(report()) == []
    assert judge.reused_ids(ORDINARY, report()) == []
    assert judge.doubled_slots(ORDINARY) == []
    assert judge.judged_cancels(ORDINARY, {"id of 1": "stolen BTCUSD"}, []).findings == []
    assert judge.crashed({}) == []


def test_every_cap_violation_counts_also_those_the_broker_did_not_list() -> None:
    detail = {
        "pool": "total",
        "exposure": "3",
        "limit": "2",
        "order": {"client_order_id": ID},
    }
    found = judge.broken_caps(report(cap_violations=3, cap_violation_details=[detail]))
    assert kinds(found) == ["cap"] * 3
    assert ID in found[0].text


def test_an_id_on_two_orders_and_an_id_sent_again_are_duplicates() -> None:
    twice = [event("1", "new", claim=ID), event("2", "new", claim=ID, slot="MSFT|buy|d1")]
    assert kinds(judge.reused_ids(twice, report())) == ["duplicate"]
    assert kinds(judge.reused_ids(ORDINARY, report(duplicate_client_ids=2))) == ["duplicate"] * 2


def test_two_live_orders_of_one_slot_are_a_duplicate_until_the_first_is_over() -> None:
    begun = [event("1", "new"), event("1", "pending_cancel", 4), event("2", "new", 5)]
    assert kinds(judge.doubled_slots(begun)) == ["duplicate"]
    other_slot = [event("1", "new"), event("2", "new", slot="AAPL|buy|d2")]
    assert judge.doubled_slots(other_slot) == []
    # an event that comes again, or late, opens nothing
    late = [event("1", "new"), event("1", "canceled"), event("1", "new"), event("2", "new")]
    assert judge.doubled_slots(late) == []


def test_a_cancel_needs_a_reason_unless_the_memory_of_it_was_lost() -> None:
    log = [event("1", "new", 10), event("1", "canceled", 20)]
    assert kinds(judge.judged_cancels(log, {}, []).findings) == ["cancel without cause"]
    assert judge.judged_cancels(log, {"id of 1": "stop"}, []).findings == []
    assert judge.judged_cancels(log, {}, [(15, 16)]).findings == []
    assert judge.judged_cancels(log, {}, [(15, float("inf"))]).findings == []
    assert len(judge.judged_cancels(log, {}, [(0, 9), (21, 30)]).findings) == 1


def test_it_is_told_how_many_cancels_were_judged_and_how_many_excused() -> None:
    log = [
        *(event("1", "new", 10), event("1", "canceled", 20)),  # lived in the blind time
        *(event("2", "new", 10), event("2", "canceled", 20)),  # the same, with a reason
        *(event("3", "new", 30), event("3", "canceled", 40)),  # without a reason
        *(event("4", "new", 30), event("4", "filled", 40)),
    ]
    seen = judge.judged_cancels(log, {"id of 2": "stop"}, [(15, 16)])
    assert (seen.judged, seen.excused, len(seen.findings)) == (2, 1, 1)


def test_that_the_ledger_was_mended_afterwards_is_no_reason_for_a_cancel() -> None:
    nothing: Any = None
    witness = Witness(nothing, nothing, "paper")
    witness._note("audit", "1-0", {"what": "close", "claim": ID})
    witness._note("audit", "2-0", {"what": "condemn", "claim": "another"})
    assert witness.causes == {"another": "condemn"}


def test_a_traceback_in_any_log_is_a_finding() -> None:
    found = judge.crashed({"keeper-1": 2, "fleet-2": 1})
    assert kinds(found) == ["traceback"] * 2
    assert "keeper-1" in found[0].text
    assert "2" in found[0].text


def test_nothing_may_be_left_when_all_has_ended() -> None:
    empty = LedgerEnd({"total": 0, "crypto": 0}, {"total": 0, "crypto": 0}, [])
    assert judge.leaks(empty, report(), []) == []
    charged = LedgerEnd({"total": 1, "crypto": 0}, {"total": 0, "crypto": 0}, [])
    assert kinds(judge.leaks(charged, report(), [])) == ["leak"]
    claimed = LedgerEnd({"total": 0, "crypto": 0}, {"total": 0, "crypto": 0}, [ID])
    assert kinds(judge.leaks(claimed, report(), [])) == ["leak"]
    assert kinds(judge.leaks(empty, report(), [ID])) == ["leak"]


@pytest.mark.parametrize(("total", "crypto", "wrong"), [(150, 50, 0), (151, 50, 1), (150, 40, 1)])
def test_positions_must_be_those_of_the_broker(total: int, crypto: int, wrong: int) -> None:
    positions = {"BTC/USD": {"market_value": "50"}, "AAPL": {"market_value": "-100"}}
    held = {"total": total * 1_000_000, "crypto": crypto * 1_000_000}
    end = LedgerEnd({"total": 0, "crypto": 0}, held, [])
    assert len(judge.leaks(end, report(positions=positions), [])) == wrong


@pytest.mark.parametrize(
    ("phase", "reason", "well"),
    [
        ("done", "", True),
        ("open", "", True),
        ("waiting_for_capacity", "pnl_not_better", True),
        ("waiting_for_capacity", "", False),
        ("blocked", "", False),
        ("starting", "soon", False),
        ("", "", False),
    ],
)
def test_a_watcher_is_done_open_or_waits_with_a_reason(phase: str, reason: str, well: bool) -> None:
    assert (judge.idle([Seat("AAPL-d1", phase, reason)]) == []) is well


def test_a_flush_loses_what_ends_unfilled_and_doubles_what_stands_twice() -> None:
    before = [event("1", "new"), event("2", "new", slot="MSFT|buy|d1")]
    kept = [*before, event("2", "filled", 30, slot="MSFT|buy|d1")]
    assert judge.lost_orders(kept, {"1", "2"}, 20) == (0, 0)
    canceled = [*before, event("1", "canceled", 30), event("3", "new", 31)]
    assert judge.lost_orders(canceled, {"1", "2"}, 20) == (1, 0)
    doubled = [*before, event("3", "new", 30)]
    assert judge.lost_orders(doubled, {"1", "2"}, 20) == (0, 1)


def test_findings_are_all_counted_and_the_first_are_shown() -> None:
    found = judge.counted([Finding("cap", str(n)) for n in range(100)])
    assert found["counts"] == {"cap": 100}
    assert len(found["listed"]["cap"]) == judge.LISTED


def test_only_orders_of_this_account_are_judged() -> None:
    order = {
        "id": "1",
        "client_order_id": ID,
        "symbol": "BTC/USD",
        "side": "buy",
        "status": "new",
        "qty": "1",
        "filled_qty": "0",
    }
    row = {"real_time": 1.5, "event": "new", "order": order}
    found = happening(row, "paper")
    assert found is not None
    assert (found.slot, found.at) == ("BTCUSD|buy|d1", 1.5)
    assert happening(row, "other") is None
    assert happening(row | {"order": order | {"client_order_id": "exit-1"}}, "paper") is None
