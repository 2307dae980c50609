"""Force-release: evict or abort, never a bare free; only what was shown; always a trace."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from stealer.cli.operator import Operator
from stealer.errors import Fenced
from stealer.evidence import BrokerOrder
from stealer.model import Claim
from tests.cli.conftest import Desk


def charged(desk: Desk) -> int:
    return int(desk.client.hget(desk.key("ledger"), "charged_total") or 0)


def test_it_shows_owner_fence_state_and_the_brokers_order_before_it_asks(busy: Desk) -> None:
    result = busy.run("release", "AAPL", input="n\n")
    shown, _, question = result.stderr.partition("Release mx_")
    for word in ("host-a:1", "fence", "open", "new, 0 of 30 filled"):
        assert word in shown
    assert question
    assert result.exit_code == 1
    assert busy.coordinator.claim_in_slot("AAPL", "buy", "maxdiff").state == "open"
    assert busy.broker.canceled == []
    assert busy.json("audit")["audit"] == []


def test_an_open_claim_is_evicted_canceled_and_freed_on_the_brokers_word(busy: Desk) -> None:
    result = busy.run("release", "aapl", "--yes", "--why", "wrong price")
    assert result.exit_code == 0, result.output
    assert len(busy.broker.canceled) == 1
    assert charged(busy) == 6_000_000_000
    first, second = busy.json("audit")["audit"]
    assert (first["what"], first["why"]) == ("release", "wrong price")
    assert "@" in first["who"]
    assert (second["what"], second["who"]) == ("evict", "operator")


@pytest.mark.parametrize(("filled", "freed"), [(0, 3_000), (10, 2_000), (30, 0)])
@pytest.mark.parametrize("first", ["this command", "the keeper"])
def test_what_is_free_again_is_said_whoever_was_first_to_hear_of_the_end(
    busy: Desk, monkeypatch: pytest.MonkeyPatch, filled: int, freed: int, first: str
) -> None:
    look_up = busy.broker.order_by_id

    def ended(order_id: str) -> BrokerOrder | None:
        order = look_up(order_id)
        assert order is not None
        order = replace(order, filled_qty=Decimal(filled))
        if first == "the keeper":
            busy.coordinator.close(order.client_order_id, order)
        return order

    monkeypatch.setattr(busy.broker, "order_by_id", ended)
    result = busy.run("release", "AAPL", "--yes")
    assert f"has ended (canceled); ${freed:,}.00 are free again" in result.stdout
    assert charged(busy) == 9_000_000_000 - freed * 1_000_000


def test_what_is_free_again_is_said_of_an_order_that_had_ended_before(
    busy: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = busy.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    assert claim is not None
    order = busy.broker.orders[claim.id] = replace(busy.broker.orders[claim.id], status="canceled")
    evict = Operator.force_evict

    def then_closed(ledger: Operator, shown: Claim) -> str:
        order_id = evict(ledger, shown)
        busy.coordinator.close(claim.id, order)
        return order_id

    monkeypatch.setattr(Operator, "force_evict", then_closed)
    done = busy.json("release", "AAPL", "--yes")
    assert (done["cancel"], done["freed_micro"]) == ("it had ended already", 3_000_000_000)


def test_a_cancel_that_is_only_requested_frees_nothing_yet(
    busy: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stealer.cli.commands.release.WAIT_SECONDS", 0.0)
    busy.broker.cancels_end = False
    done = busy.json("release", "AAPL", "--yes")
    assert (done["now"], done["cancel"], done["freed_micro"]) == ("evicting", "requested", None)
    assert charged(busy) == 9_000_000_000


def test_without_cancel_it_says_that_the_keeper_will(busy: Desk) -> None:
    result = busy.run("release", "AAPL", "--yes", "--no-cancel")
    assert result.exit_code == 0
    assert "keeper cancels" in result.stdout
    assert busy.broker.canceled == []
    claim = busy.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    assert claim is not None
    assert claim.state == "evicting"
    assert charged(busy) == 9_000_000_000


def test_the_owners_fence_is_raised(busy: Desk) -> None:
    claim = busy.coordinator.claim_in_slot("AAPL", "buy", "maxdiff")
    assert claim is not None
    busy.run("release", "AAPL", "--yes", "--no-cancel")
    assert busy.coordinator.heartbeat(claim).state == "fenced"


def test_a_reservation_is_aborted_and_its_fund_is_free(busy: Desk) -> None:
    busy.reserve("F", 2.0, dollars=500)
    assert charged(busy) == 9_500_000_000
    result = busy.run("release", "F", "--yes")
    assert result.exit_code == 0, result.output
    assert charged(busy) == 9_000_000_000
    assert busy.coordinator.claim_in_slot("F", "buy", "maxdiff") is None


def test_a_launching_claim_is_never_freed(desk: Desk) -> None:
    desk.ready()
    claim = desk.reserve("AAPL", 5.0)
    desk.coordinator.launch(claim)
    result = desk.run("release", "AAPL", "--yes")
    assert result.exit_code == 1
    assert "quarantine" in result.stderr
    assert charged(desk) == 3_000_000_000


def test_an_evicting_claim_is_explained(busy: Desk) -> None:
    busy.ask_for("NVDA", 5.0)
    result = busy.run("release", "TSLA", "--yes")
    assert result.exit_code == 1
    assert "stolen by NVDA" in result.stderr


@pytest.mark.parametrize("verb", ["force_evict", "force_abort"])
def test_a_claim_whose_fence_changed_since_it_was_shown_is_left_alone(
    busy: Desk, verb: str
) -> None:
    claim = busy.open("F", 2.0, 500) if verb == "force_evict" else busy.reserve("F", 2.0, 500)
    shown = busy.coordinator.claim(claim.id)
    assert shown is not None
    busy.client.hset(busy.key(f"claim:{claim.id}"), "fence", "9.9")
    before = charged(busy)
    with pytest.raises(Fenced):
        getattr(Operator(busy.client, busy.settings), verb)(shown)
    assert charged(busy) == before
    assert busy.coordinator.claim(claim.id).state == shown.state


def test_a_claim_stolen_while_the_operator_thought_is_not_called_released(
    busy: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steal_then_say_yes(*_: Any, **__: Any) -> bool:
        assert busy.ask_for("NVDA", 5.0).outcome == "steal"
        return True

    monkeypatch.setattr("click.confirm", steal_then_say_yes)
    result = busy.run("release", "TSLA")
    assert result.exit_code == 1
    assert "evicting" in result.stderr
    assert busy.broker.canceled == []
    assert [r["what"] for r in busy.json("audit")["audit"]] == ["release", "release-refused"]


def test_a_broker_that_is_down_stops_it_unless_the_cancel_is_left_to_the_keeper(
    busy: Desk,
) -> None:
    busy.broker.down = True
    result = busy.run("release", "AAPL", "--yes")
    assert result.exit_code == 4
    assert "no connection" in result.stderr
    assert busy.json("orders")["open"][0]["symbol"] == "AAPL"
    assert busy.run("release", "AAPL", input="n\n").exit_code == 4
    assert busy.run("release", "AAPL", "--yes", "--no-cancel").exit_code == 0


def test_a_reservation_whose_order_the_broker_shows_is_not_freed(desk: Desk) -> None:
    desk.ready()
    other = desk.open("MSFT", 1.0)
    claim = desk.reserve("AAPL", 5.0)
    desk.broker.orders[claim.id] = replace(
        desk.broker.orders[other.id], client_order_id=claim.id, symbol="AAPL"
    )
    result = desk.run("release", "AAPL", "--yes")
    assert result.exit_code == 1
    assert "count it nowhere" in result.stderr
    assert charged(desk) == 6_000_000_000


def test_several_claims_of_a_symbol_are_listed_for_the_operator_to_choose(desk: Desk) -> None:
    desk.ready()
    claims: list[Claim] = [desk.open("AAPL", 1.0), desk.open("AAPL", 2.0, strategy="other")]
    result = desk.run("release", "AAPL", "--yes")
    assert result.exit_code == 2
    assert all(c.id in result.stdout for c in claims)
    assert desk.run("release", claims[1].id, "--yes").exit_code == 0
    assert desk.coordinator.claim(claims[0].id) is not None


@pytest.mark.parametrize(("target", "code"), [("AAPL", 1), ("mx_paper_no_such", 1), ("?!", 2)])
def test_nothing_to_release_is_said(desk: Desk, target: str, code: int) -> None:
    desk.ready()
    assert desk.run("release", target, "--yes").exit_code == code
