"""An exit looks when it is told of something, not only when its poll is over.

Its clock stands still while it blocks: a rest that nobody ends would never be over.
"""

from __future__ import annotations

import pytest

from stealer.errors import LedgerUnavailable
from stealer.exit_records import exit_rows
from tests.watchers.exit_bench import TICKET, ExitBench
from watchers.status import Phase

HOUR = 3600.0


def test_fills_of_its_ticket_end_its_rest(exits: ExitBench) -> None:
    exits.entry_runs()
    watcher = exits.watcher(blocks=True)
    claim = exits.desk.open("AAPL", usd=500)
    exits.desk.client.hset(exits.desk.keys.of("claim", claim.id), "ticket", TICKET)
    watcher.step()
    assert watcher.status.phase is Phase.WAITING_FOR_ENTRY
    exits.broker.buy(4)
    exits.desk.fill(claim, 4)

    watcher._rest(HOUR)
    watcher.step()

    assert exits.broker.only().qty == 4


def test_news_of_its_order_end_its_rest(exits: ExitBench) -> None:
    exits.entry_runs()
    exits.entry_filled(4)
    watcher = exits.watcher(blocks=True)
    watcher.step()
    exits.clock.advance(20)
    exits.broker.fill()
    exits.desk.coordinator.publish_exits(exit_rows(exits.broker.orders.values()), 30.0)

    watcher._rest(HOUR)
    watcher.step()

    assert watcher.status.filled_qty == "4"


def test_without_redis_it_rests_for_its_poll(
    exits: ExitBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> bool:
        raise LedgerUnavailable("gone")

    watcher = exits.watcher(blocks=True)
    monkeypatch.setattr(watcher.coordinator, "wait", gone)
    began = exits.clock.time()

    watcher._rest(20.0)

    assert exits.clock.time() - began == 20.0
