"""Whoever opens the broker for work shares the account's budget."""

from __future__ import annotations

from typing import Any

import pytest

from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.calls import Call
from stealer.budget import ApiBudget
from stealer.cli import context
from stealer.embedded import EmbeddedServer
from stealer.keeper import main
from stealer.model import OrderIntent
from stealer.settings import Settings
from tests.keeper.account import AccountBroker
from watchers import process
from watchers.task import EntryTask


class Opened(Exception):
    """The broker was about to be opened, with these."""


@pytest.mark.real_server
def test_the_keeper_waits_for_nothing_and_its_look_ups_come_after_the_snapshot(
    redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def opened(settings: Settings, budget: ApiBudget, *, patience: float) -> AccountBroker:
        given.extend((budget, patience))
        return AccountBroker()

    monkeypatch.setattr(main, "connect_broker", opened)
    main.run(Settings(redis_url=redis_server.url, account="wired"), once=True)
    budget, patience = given
    assert patience == 0
    assert budget._role[Call.LOOK_UP] is Call.SWEEP
    assert budget.take(Call.LOOK_UP) == 0
    assert budget.window().room.keys() == {Call.SWEEP}


@pytest.mark.real_server
def test_a_watcher_shares_it(redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(settings: Settings, budget: ApiBudget) -> None:
        assert budget.take(Call.READ) == 0
        assert budget.window().wanted == 1
        raise Opened

    monkeypatch.setattr(process, "connect_broker", opened)
    task = EntryTask(OrderIntent("AAPL", "buy", 1, 100), None, 60.0, 1.0, "a ticket", True, 1.0)
    with pytest.raises(Opened):
        process.run_entry(task, Settings(redis_url=redis_server.url, account="wired"))


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+sentinel://host:1"])
def test_a_command_opens_the_broker_with_it_and_also_without_redis(url: str) -> None:
    settings = Settings(redis_url=url, alpaca_key_id="k", alpaca_secret_key="s")
    broker = context.connect_broker(settings)
    assert isinstance(broker, AlpacaBroker)
    shared = broker._client.admission.budget
    if url.startswith("redis+sentinel"):  # an address that cannot be: Redis' own checks say so
        assert shared is None
    else:
        assert isinstance(shared, ApiBudget)
        assert shared._role[Call.ACCOUNT] is Call.OTHER
