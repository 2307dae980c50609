"""The keeper as a command runs it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from stealer.connect import connect, keeper_name
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


@pytest.mark.real_server
def test_its_connections_say_whose_keeper_it_is(
    redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[redis.Redis] = []

    def remember(*arguments: Any, **options: Any) -> redis.Redis:
        made.append(connect(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(main, "connect_broker", lambda *_, **__: AccountBroker())
    monkeypatch.setattr(main, "connect", remember)
    monkeypatch.setattr(main, "default_owner", lambda: "host:1:abc")
    assert main.run(Settings(redis_url=redis_server.url, account="named"), once=True) == 0
    assert made[0].client_getname() == keeper_name("named", "host:1:abc")
    made[0].close()
