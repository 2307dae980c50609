"""Two orders of one slot, which only a loss of memory makes: nobody else enters before both end."""

from __future__ import annotations

import pytest

from stealer.keeper.keeper import Keeper
from stealer.model import Claim, State
from stealer.settings import Settings
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker, opened
from tests.support import ManualClock

QUARANTINE = Settings().quarantine_seconds

STRAYS = [f"mx_paper_18d0000000{n}000001abc12{n}_nn_p1.00_maxdiff" for n in (1, 2, 3)]


def end(desk: Desk, keeper: Keeper, broker: AccountBroker, client_order_id: str) -> None:
    """The broker reports one order as canceled, and the keeper hears of it."""
    broker.on_cancel = "ends"
    broker.cancel(broker.orders[client_order_id].id)
    broker.on_cancel = "nothing"
    keeper.run_once()
    assert desk.state(client_order_id) == "gone"


@pytest.fixture
def strays(desk: Desk, keeper: Keeper, broker: AccountBroker) -> list[str]:
    """Three orders of one slot that the ledger does not know, condemned in turn."""
    broker.on_cancel = "nothing"
    for stray in STRAYS:
        broker.put(stray)
        keeper.run_once()
        assert desk.state(stray) == "evicting"
    return STRAYS


def test_a_condemned_order_keeps_its_slot_until_it_is_over(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    broker.put(STRAYS[0])
    broker.on_cancel = "nothing"
    keeper.run_once()

    assert desk.acquire("AAPL").reason == "duplicate"
    end(desk, keeper, broker, STRAYS[0])
    assert desk.acquire("AAPL")


def test_a_condemned_order_gets_the_slot_when_the_claim_before_it_ends(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    claim = opened(desk, broker)
    broker.put(STRAYS[0])
    broker.on_cancel = "nothing"
    keeper.run_once()
    assert desk.coordinator.claim_in_slot("AAPL", "buy", "maxdiff") == desk.now(claim)

    end(desk, keeper, broker, claim.id)

    assert desk.acquire("AAPL").reason == "duplicate"
    end(desk, keeper, broker, STRAYS[0])
    assert desk.acquire("AAPL")


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (0, 2, 1), (2, 0, 1)]
)
def test_in_whatever_order_they_end_the_last_one_frees_the_slot(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    strays: list[str],
    order: tuple[int, ...],
) -> None:
    for number in order:
        assert desk.acquire("AAPL").reason == "duplicate"
        end(desk, keeper, broker, strays[number])
    assert desk.acquire("AAPL")


def test_its_watcher_takes_a_condemned_order_up_and_hears_of_its_end(
    desk: Desk, keeper: Keeper, broker: AccountBroker, strays: list[str]
) -> None:
    claim = desk.coordinator.adopt("AAPL|buy|maxdiff", 60.0, known=strays[0], ticket="")

    assert isinstance(claim, Claim)
    assert (claim.id, claim.state) == (strays[0], State.EVICTING)
    assert desk.coordinator.heartbeat(claim).state == State.EVICTING


def test_a_ledger_that_is_counted_anew_lets_nobody_in_either(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    manual_clock: ManualClock,
    strays: list[str],
) -> None:
    desk.client.delete(desk.keys.slots)
    desk.client.zrem(desk.keys.heirless, strays[1])  # which is noticed
    keeper.run_once()
    assert desk.acquire("AAPL").reason == "uncertified"
    keeper.run_once()
    manual_clock.advance(QUARANTINE)
    keeper.run_once()

    for stray in strays:
        assert desk.acquire("AAPL").reason == "duplicate"
        end(desk, keeper, broker, stray)
    assert desk.acquire("AAPL")


def test_a_line_that_somebody_closed_to_a_circle_hangs_nothing(
    desk: Desk, keeper: Keeper, broker: AccountBroker, strays: list[str]
) -> None:
    desk.client.hset(desk.keys.of("claim", strays[2]), "behind", strays[0])

    broker.put(STRAYS[0].replace("abc121", "abc129"))
    keeper.run_once()

    assert desk.acquire("AAPL").reason == "duplicate"
