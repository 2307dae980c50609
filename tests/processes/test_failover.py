"""A master with a replica and a sentinel: waiting for the replica, and failing over to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from scripts.chaos_run.sentinel import Sentinel, wait_in_sync
from stealer.connect import connect
from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.entry import Ending, Entries
from stealer.errors import LedgerMisconfigured, LedgerUnavailable
from stealer.keeper.certification import Certifier
from stealer.model import Claim, OrderIntent
from stealer.settings import Settings, SettingsError
from tests.conftest import FAST
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

pytestmark = pytest.mark.real_server


def until(what: Callable[[], object], why: str) -> None:
    give_up = time.monotonic() + 30
    while not what():
        assert time.monotonic() < give_up, why
        time.sleep(0.05)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A master, and a replica that follows it; each has a configuration that may be rewritten."""
    with EmbeddedServer.start(tmp_path / "a", extra=FAST) as master:
        follow = ("--replicaof", f"127.0.0.1 {master.port}")
        with EmbeddedServer.start(tmp_path / "b", extra=(*FAST, *follow)) as replica:
            wait_in_sync(replica.port)
            yield master, replica


@pytest.fixture
def sentinel(tmp_path: Path, pair: tuple[EmbeddedServer, EmbeddedServer]) -> Iterator[int]:
    """The port of a sentinel that fails over by itself, soon."""
    started = Sentinel(
        tmp_path / "sentinel",
        ("127.0.0.1", pair[0].port),
        "mx",
        down_seconds=0.5,
        failover_seconds=5,
    )
    yield started.port
    started.close()


def test_after_a_failover_pooled_clients_are_denied_until_certified_and_orders_kept(
    pair: tuple[EmbeddedServer, EmbeddedServer], sentinel: int, manual_clock: ManualClock
) -> None:
    settings = Settings(redis_url=f"redis+sentinel://127.0.0.1:{sentinel}/mx/0")
    client = connect(settings)
    desk = Desk(client, settings).open_shop(equity=10_000)
    broker = AccountBroker()
    claim = desk.open("AAPL", usd=1_000)
    broker.match(claim)
    desk.client.wait(1, 5_000)

    pair[0].kill()

    def denied() -> bool:
        try:
            return desk.acquire("MSFT", away=None).reason == "uncertified"
        except LedgerUnavailable:  # no master yet
            return False

    until(denied, "the client reaches the new master")
    certifier = Certifier(desk.coordinator, broker, manual_clock.time)
    assert not certifier.certified(0)
    manual_clock.advance(settings.quarantine_seconds)
    assert certifier.certified(0)
    assert desk.state(claim) == "open"
    assert desk.charged() == 1_000
    desk.account(10_000)
    assert desk.acquire("MSFT").claim
    client.close()


def test_a_client_left_with_the_former_master_is_denied(
    pair: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    """It comes back as a replica, and then as a master again: neither is what was certified."""
    old, new = (redis.Redis(port=server.port, decode_responses=True) for server in pair)
    desk = Desk(old).open_shop(equity=10_000)
    desk.client.wait(1, 5_000)
    new.replicaof("NO", "ONE")
    there = Desk(new)
    assert there.acquire("AAPL", away=None).reason == "uncertified"
    there.coordinator.certify()
    old.replicaof("127.0.0.1", str(pair[1].port))
    until(lambda: old.info("replication")["master_link_status"] == "up", "the old one follows")
    with pytest.raises(LedgerUnavailable, match="read only replica"):
        desk.acquire("AAPL", away=None)
    old.replicaof("NO", "ONE")
    assert desk.acquire("AAPL", away=None).reason == "uncertified"  # its run id is back, only that
    old.close()
    new.close()


def test_a_launch_waits_for_its_replicas_and_without_them_nothing_is_sent(
    pair: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    settings = Settings(wait_replicas=1)
    client = redis.Redis(port=pair[0].port, decode_responses=True)
    desk = Desk(client, settings).open_shop(equity=10_000)
    broker = AccountBroker()
    entries = Entries(desk.coordinator, broker)
    desk.market("AAPL")
    first = entries.open(OrderIntent("AAPL", "buy", 10, 100, "a"), market_open=True)
    assert first.ending is Ending.OPEN

    pair[1].stop()
    second = entries.open(OrderIntent("AAPL", "buy", 10, 100, "b"), market_open=True)

    assert (second.ending, second.reason) == (Ending.DENIED, "replicas")
    assert "STEALER_WAIT_REPLICAS" in second.detail
    assert len(broker.posted) == 1
    assert desk.charged() == 1_000
    client.close()


def test_replicas_of_the_new_master_do_not_vouch_for_a_launch_that_a_failover_forgot(
    pair: tuple[EmbeddedServer, EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launch goes to the old master, the WAIT to its successor, whose own replica answers."""
    settings = Settings(wait_replicas=1)
    old, new = (redis.Redis(port=server.port, decode_responses=True) for server in pair)
    desk = Desk(old, settings).open_shop(equity=10_000)
    coordinator, broker = desk.coordinator, AccountBroker()
    desk.market("AAPL")
    launch = coordinator.launch

    def launched_then_failed_over(claim: Claim) -> float:
        old.wait(1, 5_000)
        new.replicaof("NO", "ONE")
        trusted = launch(claim)
        old.replicaof("127.0.0.1", str(pair[1].port))
        until(lambda: old.info("replication")["master_link_status"] == "up", "the old one follows")
        assert desk.state(claim) == "reserved"  # the launch is lost
        new.set("anything", "written")
        assert new.wait(1, 5_000) == 1  # and yet WAIT is content there
        monkeypatch.setattr(coordinator, "client", new)
        return trusted

    monkeypatch.setattr(coordinator, "launch", launched_then_failed_over)
    with contextlib.suppress(LedgerUnavailable):  # nor can it be given back on a replica
        entry = Entries(coordinator, broker).open(
            OrderIntent("AAPL", "buy", 10, 100, "a"), market_open=True
        )
        assert (entry.ending, entry.reason) == (Ending.DENIED, "replicas")
    assert coordinator.client is new
    assert broker.posted == []
    assert not coordinator.replicated()
    old.close()
    new.close()


def test_without_the_setting_nobody_waits(redis_server: EmbeddedServer) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    coordinator = WorkStealingCoordinator(client, Settings())
    assert coordinator.replicated()
    assert not client.exists(coordinator.keys.replicated)
    client.close()


@pytest.mark.parametrize(
    "url",
    ["redis://a:1,b:2/0", "redis+sentinel://a:1,b:0/mx", "redis+sentinel://a:x/mx"],
)
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        Settings(redis_url=url)


@pytest.mark.parametrize("url", ["redis+sentinel://a:1,b:2", "redis+sentinel://a/mx/zero"])
def test_a_sentinel_address_without_service_or_with_a_wrong_database(url: str) -> None:
    with pytest.raises(LedgerMisconfigured, match="redis\\+sentinel"):
        connect(Settings(redis_url=url))


def test_a_sentinel_address_with_a_password_hides_it() -> None:
    settings = Settings(redis_url="redis+sentinel://me:secret@a:1,b:2/mx/3")
    assert settings.redis_url_shown == "redis+sentinel://me:***@a:1,b:2/mx/3"
    pool = connect(settings).connection_pool.connection_kwargs
    assert (pool["username"], pool["password"], pool["db"]) == ("me", "secret", 3)
