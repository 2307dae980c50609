"""Exit orders and the ledger: no claim, no capacity, nobody's victim, left alone by the keeper."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
import redis

from stealer.errors import Deposed
from stealer.exit_ids import exit_id, is_exit
from stealer.exit_records import ExitRecords, exit_rows
from stealer.keeper.keeper import Keeper
from stealer.model import Verdict
from stealer.order_ids import is_ours
from stealer.settings import Settings
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.keeper.conftest import keeper_of
from tests.keeper.streams_stage import CountingBroker, Stage
from tests.support import ManualClock

NAME = exit_id("paper", "morning/apple", 3)


def with_exit(broker: AccountBroker, qty: int = 10, held: int = 10) -> None:
    """A position and the exit order that closes it."""
    broker.held["AAPL"] = Decimal(held)
    broker.put(NAME, side="sell", qty=Decimal(qty), limit_price=Decimal(110))


def figures(desk: Desk) -> dict[str, str]:
    found = desk.client.hgetall(desk.keys.ledger)
    return {_text(key): _text(value) for key, value in found.items()}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_an_exits_id_is_no_claims_and_tells_its_account() -> None:
    assert is_exit(NAME, "paper")
    assert not is_exit(NAME, "live")
    assert not is_ours(NAME, "paper")
    assert not is_exit("mx_paper_1a204f072530000058e7e5a_nn_p8.00_maxdiff", "paper")
    assert len(exit_id("a" * 40, "t" * 120, 999_999_999)) <= 128


def test_an_exit_takes_no_capacity_and_one_beyond_the_position_counts_for_the_rest(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    with_exit(broker)
    keeper.run_once()
    assert (figures(desk)["foreign_total"], figures(desk)["charged_total"]) == ("0", "0")
    assert figures(desk)["positions_total"] == str(1_000 * 1_000_000)

    with_exit(broker, qty=12)
    keeper.run_once()

    assert int(figures(desk)["foreign_total"]) >= 2 * 110 * 1_000_000


def test_an_exit_is_no_victim_even_of_an_entry_that_needs_all(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    with_exit(broker, qty=150, held=150)
    keeper.run_once()

    decision = desk.acquire("MSFT", 1e6, usd=6_000)

    assert (decision.outcome, decision.victims) == (Verdict.DENIED, ())
    assert desk.coordinator.get_steal_candidates() == []
    assert desk.coordinator.is_protected(broker.orders[NAME])
    assert not broker.cancels


def test_the_keeper_condemns_and_cancels_no_exit(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    with_exit(broker)

    for _ in range(5):
        keeper.run_once()
        manual_clock.advance(Settings().orphan_seconds)

    assert desk.coordinator.claim_ids() == []
    assert (broker.cancels, broker.orders[NAME].status) == ([], "new")


def test_a_rebuild_makes_no_claim_of_an_exit_and_cancels_none(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    with_exit(broker)
    keeper.run_once()
    desk.client.flushall()

    keeper.run_once()
    manual_clock.advance(Settings().quarantine_seconds)
    keeper.run_once()
    keeper.run_once()

    assert desk.coordinator.server().certified
    assert desk.coordinator.claim_ids() == []
    assert (broker.cancels, broker.orders[NAME].status) == ([], "new")


def test_exits_alone_are_no_memory_of_steals_that_was_lost(
    redis_client: redis.Redis, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    from tests.keeper.conftest import desk_on

    desk = desk_on(redis_client)
    with_exit(broker)
    keeper = keeper_of(desk, broker, manual_clock, "first")
    keeper.run_once()
    manual_clock.advance(Settings().quarantine_seconds)
    keeper.run_once()

    assert desk.coordinator.server().certified
    assert float(figures(desk).get("no_steal_until", "0") or 0) <= desk.coordinator.now_ms()


def test_the_keeper_tells_what_it_lists_of_exits_and_of_nothing_else(
    desk: Desk, keeper: Keeper, broker: AccountBroker
) -> None:
    with_exit(broker)
    broker.put("person", symbol="MSFT")
    broker.execute(NAME, 4)
    keeper.run_once()
    records = ExitRecords(desk.coordinator)

    heard = records.heard(NAME)

    assert heard
    assert (heard.status, heard.filled_qty) == ("partially_filled", 4)
    assert desk.client.hlen(desk.keys.placed_exits) == 1
    broker.execute(NAME)
    keeper.run_once()
    assert records.heard(NAME) is None


def test_what_was_heard_after_a_listing_began_outlives_it(desk: Desk) -> None:
    order = AccountBroker().put(NAME, side="sell")
    records = ExitRecords(desk.coordinator)
    desk.coordinator.publish_exits(exit_rows([replace(order, status="canceled")]), 30)

    desk.coordinator.publish_exits(exit_rows([order]), 30, age_seconds=2, term=0)

    heard = records.heard(NAME)
    assert heard
    assert heard.status == "canceled"


def test_an_old_word_counts_for_nothing(desk: Desk) -> None:
    order = AccountBroker().put(NAME, side="sell")
    desk.coordinator.publish_exits(exit_rows([order]), 300, age_seconds=31, term=0)

    assert ExitRecords(desk.coordinator).heard(NAME) is None


def test_a_deposed_keepers_listing_is_refused(desk: Desk) -> None:
    desk.client.hset(desk.keys.ledger, "term", 5)

    with pytest.raises(Deposed):
        desk.coordinator.publish_exits([], 30, term=4)


def test_a_stream_tells_of_an_exit_at_once_and_only_its_fills_are_news(
    desk: Desk, manual_clock: ManualClock
) -> None:
    broker = CountingBroker()
    stage = Stage(desk, broker, manual_clock)
    with_exit(broker)
    stage.keeper.run_once()
    streams = stage.opened[-1]
    streams.connect()
    stage.keeper.run_once()
    broker.reads.clear()

    streams.order("new", broker.orders[NAME])
    stage.keeper.run_once()
    assert broker.reads == []
    streams.order("fill", broker.execute(NAME))

    heard = ExitRecords(desk.coordinator).heard(NAME)
    assert heard
    assert (heard.status, heard.filled_qty) == ("filled", 10)
    stage.keeper.run_once()
    assert "positions" in broker.reads
