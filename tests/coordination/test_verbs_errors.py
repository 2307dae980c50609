"""Redis that is not there, does not let us in, or does not let us work: our errors, no charge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.errors import LedgerMisconfigured, LedgerUnavailable, Uncertified
from stealer.model import OrderIntent
from stealer.settings import Settings
from tests.conftest import FAST
from tests.coordination.desk import Desk

pytestmark = pytest.mark.real_server

#: redis-py repeats lost calls for seconds by itself; here the first answer is enough.
ONCE = Retry(NoBackoff(), 0)

INTENT = OrderIntent("AAPL", "buy", 1, 100)


@pytest.fixture
def server(redis_server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The session's server, emptied, with the users of these tests taken away afterwards."""
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.flushall()
        yield redis_server
        for user in ("reader", "guarded", "elsewhere"):
            admin.acl_deluser(user)


def coordinator_as(server: EmbeddedServer, user: str, *rules: str) -> WorkStealingCoordinator:
    """A coordinator that logs in as *user*, who may do what *rules* say."""
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", user, "reset", "on", ">secret", *rules)
    client = redis.Redis(port=server.port, username=user, password="secret", decode_responses=True)
    return WorkStealingCoordinator(client, Settings())


def test_no_redis_is_unavailable() -> None:
    client = redis.Redis(port=1, socket_connect_timeout=1, retry=ONCE)
    coordinator = WorkStealingCoordinator(client)
    with pytest.raises(LedgerUnavailable, match="Redis cannot be reached"):
        coordinator.acquire(INTENT)
    with pytest.raises(LedgerUnavailable, match="Redis cannot be reached"):
        coordinator.claim_ids()
    client.close()


def test_a_wrong_password_is_misconfigured_and_not_shown(server: EmbeddedServer) -> None:
    coordinator = coordinator_as(server, "guarded", "~*", "+@all")
    wrong = redis.Redis(port=server.port, username="guarded", password="hunter2", retry=ONCE)
    with pytest.raises(LedgerMisconfigured, match="REDIS_URL") as refused:
        WorkStealingCoordinator(wrong).acquire(INTENT)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(LedgerMisconfigured):
        WorkStealingCoordinator(wrong).claim_ids()
    assert coordinator.acquire(INTENT).reason == "uncertified"


def test_no_password_where_one_is_needed_is_misconfigured(tmp_path: Path) -> None:
    with (
        EmbeddedServer.start(tmp_path, extra=(*FAST, "--requirepass", "secret")) as server,
        redis.Redis(port=server.port, retry=ONCE) as client,
        pytest.raises(LedgerMisconfigured, match="password"),
    ):
        WorkStealingCoordinator(client).acquire(INTENT)


def test_a_user_without_scripting_rights_is_misconfigured(server: EmbeddedServer) -> None:
    coordinator = coordinator_as(server, "reader", "~*", "+@read", "+@connection")
    with pytest.raises(LedgerMisconfigured, match=r"stealer acl"):
        coordinator.acquire(INTENT)
    assert coordinator.claim_ids() == []


@pytest.mark.parametrize(
    ("rules", "missing"),
    [(("~other*", "+@all"), "the keys"), (("~*", "+@all", "-info"), "INFO inside a script")],
)
def test_a_user_without_the_keys_or_info_charges_nothing(
    server: EmbeddedServer, rules: tuple[str, ...], missing: str
) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as admin:
        desk = Desk(admin).open_shop()
        desk.market("AAPL")
        before = desk.everything()
        coordinator = coordinator_as(server, "elsewhere", *rules)
        with pytest.raises(LedgerMisconfigured, match="lacks a right"):
            coordinator.acquire(INTENT)
        assert desk.everything() == before, missing


def test_after_a_restart_of_the_server_all_is_denied_until_certified(tmp_path: Path) -> None:
    with (
        EmbeddedServer.start(tmp_path, extra=("--appendfsync", "always")) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        desk = Desk(client).open_shop()
        claim = desk.reserve("AAPL")
        server.restart()
        assert desk.charged() == 1_000, "what the server remembers"
        with pytest.raises(Uncertified):
            desk.coordinator.launch(claim)
        assert desk.acquire("MSFT").reason == "uncertified"
        desk.coordinator.certify()
        server.restart()
        with pytest.raises(Uncertified):
            desk.coordinator.abort(claim)
        desk.coordinator.certify()
        desk.coordinator.abort(claim)
        assert desk.charged() == 0


def test_a_server_that_is_full_says_so_and_charges_nothing(tmp_path: Path) -> None:
    with (
        EmbeddedServer.start(tmp_path, extra=FAST) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        desk = Desk(client).open_shop()
        desk.market("AAPL")
        before = desk.everything()
        client.config_set("maxmemory", "1")
        with pytest.raises(LedgerUnavailable, match=r"(?i)memory"):
            desk.coordinator.acquire(INTENT)
        client.config_set("maxmemory", "0")
        assert desk.everything() == before


def test_a_replica_answers_nothing(tmp_path: Path) -> None:
    with (
        EmbeddedServer.start(tmp_path / "a", extra=FAST) as primary,
        EmbeddedServer.start(
            tmp_path / "b",
            extra=(*FAST, "--replicaof", f"127.0.0.1 {primary.port}", "--replica-read-only", "no"),
        ) as replica,
        redis.Redis.from_url(replica.url, decode_responses=True) as client,
    ):
        assert WorkStealingCoordinator(client).acquire(INTENT).reason == "uncertified"
