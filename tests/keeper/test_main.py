"""The keeper as a command runs it."""

from __future__ import annotations

import pytest

from stealer.embedded import EmbeddedServer
from stealer.keeper import main
from stealer.settings import Settings
from tests.keeper.account import AccountBroker


@pytest.mark.real_server
def test_a_single_pass_gives_the_lease_up_for_the_next(
    redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "connect_broker", lambda *_, **__: AccountBroker())
    settings = Settings(redis_url=redis_server.url, account="once")

    assert main.run(settings, once=True) == 0
    assert main.run(settings, once=True) == 0
