"""What wakes an exit: new fills of its ticket, and news of its own orders. Nothing else does."""

from __future__ import annotations

import pytest

from stealer.exit_ids import exit_id
from stealer.exit_records import ExitRecords
from stealer.model import Claim
from tests.coordination.desk import Desk
from tests.coordination.test_clamp_snapshot_and_key_order import (
    Trace,
    cluster_server,
    forget_records,
    trace,
)

__all__ = ["cluster_server", "trace"]

TICKET = "morning/apple"

#: Real seconds; a wait that is not woken lasts as long.
MOMENT = 0.01

ORDER = exit_id("paper", TICKET, 0)
SECONDS = 30.0


@pytest.fixture
def records(desk: Desk) -> ExitRecords:
    return ExitRecords(desk.coordinator)


def an_entry(desk: Desk, ticket: str = TICKET) -> Claim:
    """An open order of the ticket."""
    claim = desk.open("AAPL", usd=50)
    if ticket:
        desk.client.hset(desk.keys.of("claim", claim.id), "ticket", ticket)
    return claim


def test_a_fill_of_its_ticket_wakes_it_once(desk: Desk, records: ExitRecords) -> None:
    claim = an_entry(desk)
    assert not records.wait(TICKET, MOMENT)

    desk.fill(claim, 0.2)
    desk.fill(claim, 0.2)  # told again

    assert records.wait(TICKET, SECONDS)
    assert not records.wait(TICKET, MOMENT)
    desk.fill(claim, 0.2)
    assert not records.wait(TICKET, MOMENT)


@pytest.mark.parametrize(("filled", "woken"), [(0.2, True), (0.1, False)])
def test_an_end_wakes_it_if_more_was_filled_than_was_known(
    desk: Desk, records: ExitRecords, filled: float, woken: bool
) -> None:
    claim = an_entry(desk)
    desk.fill(claim, 0.1)
    assert records.wait(TICKET, SECONDS)

    desk.cancel(claim, filled=filled)

    assert records.wait(TICKET, MOMENT) is woken


def test_without_a_ticket_or_a_fill_nobody_is_woken(desk: Desk) -> None:
    desk.cancel(an_entry(desk))
    desk.fill(an_entry(desk, ticket=""))

    assert not [*desk.client.scan_iter(desk.keys.of("wake", "exit*"))]


def test_news_of_its_order_wakes_it_and_a_repetition_does_not(
    desk: Desk, records: ExitRecords
) -> None:
    desk.coordinator.publish_exits([ORDER, "new 0"], SECONDS)
    assert records.wait(TICKET, SECONDS)

    desk.coordinator.publish_exits([ORDER, "new 0"], SECONDS, term=0)
    desk.coordinator.publish_exits([exit_id("paper", "another", 0), "new 0"], SECONDS)
    assert not records.wait(TICKET, MOMENT)

    desk.coordinator.publish_exits([ORDER, "partially_filled 2"], SECONDS, term=0)
    assert records.wait(TICKET, SECONDS)


@pytest.mark.real_server
@pytest.mark.parametrize("ends", [False, True])
def test_a_fill_reads_the_list_that_it_may_create_before_its_first_write(
    trace: Trace, ends: bool
) -> None:
    desk = trace.desk
    claim = an_entry(desk)
    forget_records(desk)

    deed = (lambda: desk.cancel(claim, 0.2)) if ends else (lambda: desk.fill(claim, 0.2))

    assert trace.unread(deed) == set()
    assert desk.client.exists(desk.keys.of("wake", f"exit|{TICKET}"))


@pytest.mark.real_server
def test_news_read_the_lists_that_they_may_create_before_the_first_write(trace: Trace) -> None:
    desk = trace.desk
    rows = [ORDER, "new 0", exit_id("paper", "another", 0), "new 0"]

    calls = trace.calls(lambda: desk.coordinator.publish_exits(rows, SECONDS, term=0))

    first = next(i for i, (name, _) in enumerate(calls) if name == "DEL")
    pushed = [key for name, keys in calls if name == "LPUSH" for key in keys]
    assert len(pushed) == 2
    assert set(pushed) <= {key for _, keys in calls[:first] for key in keys}
