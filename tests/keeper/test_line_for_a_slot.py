"""Two orders of one slot, which only a loss of memory makes: nobody else enters before both end."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stealer.errors import Refused
from stealer.keeper.keeper import Keeper
from stealer.model import Claim, State
from stealer.replies import Task
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
    for first, behind in ((2, 0), (0, 1)):  # as another line was before
        desk.client.hset(desk.keys.of("claim", strays[first]), "behind", strays[behind])
    keeper.run_once()
    assert desk.acquire("AAPL").reason == "uncertified"
    keeper.run_once()
    manual_clock.advance(QUARANTINE)
    keeper.run_once()

    for stray in strays:
        assert desk.acquire("AAPL").reason == "duplicate"
        end(desk, keeper, broker, stray)
    assert desk.acquire("AAPL")


def test_a_line_that_somebody_closed_to_a_circle_hangs_nothing_and_loses_nobody(
    desk: Desk, keeper: Keeper, broker: AccountBroker, strays: list[str]
) -> None:
    desk.client.hset(desk.keys.of("claim", strays[2]), "behind", strays[0])

    late = broker.put(STRAYS[0].replace("abc121", "abc129")).client_order_id
    keeper.run_once()

    for stray in (*strays, late):
        assert desk.acquire("AAPL").reason == "duplicate"
        end(desk, keeper, broker, stray)
    assert desk.acquire("AAPL")


def test_nothing_is_sent_beside_an_order_that_shows_after_the_reservation(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    reserved = desk.reserve("AAPL")
    broker.on_cancel = "nothing"
    broker.put(STRAYS[0])
    keeper.run_once()

    with pytest.raises(Refused) as refusal:
        desk.coordinator.launch(reserved)

    assert refusal.value.code == "duplicate"
    desk.coordinator.abort(reserved, refusal.value.code)
    assert desk.acquire("AAPL").reason == "duplicate"
    end(desk, keeper, broker, STRAYS[0])
    assert desk.acquire("AAPL")


@pytest.mark.parametrize("found", [False, True])
def test_nobody_more_is_stolen_from_for_what_may_not_be_sent(
    desk: Desk, keeper: Keeper, broker: AccountBroker, found: bool
) -> None:
    for symbol in ("MSFT", "NVDA"):
        opened(desk, broker, symbol, usd=10_000)
    thief = desk.acquire("AAPL", pnl=9.0, usd=10_000)
    (victim,) = thief.victims
    broker.on_cancel = "nothing"
    if found:
        broker.put(STRAYS[0], qty=Decimal("0.1"))
        keeper.run_once()
    desk.cancel(victim.id, filled=50)

    assert thief.claim
    answer = desk.coordinator.topup(thief.claim)

    assert answer.reason == ("duplicate" if found else "")
    assert len(answer.victims) == (0 if found else 1)


def test_an_order_that_was_closed_by_mistake_counts_once_for_its_task() -> None:
    """What it had filled then is told with the task, and again with its claim."""
    task = Task(0.0, {"x": Decimal(6), "y": Decimal(1)})

    assert task.filled_with("x", Decimal(6)) == 7
    assert task.filled_with("x", Decimal(8)) == 9
    assert task.filled_with("z", Decimal(2)) == 9
    assert task.filled_with("", Decimal(0)) == 7
