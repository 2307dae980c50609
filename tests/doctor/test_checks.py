"""Each check seen well and unwell, on a real server and the simulated Alpaca."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stealer.access import Role
from stealer.broker.interface import BrokerMalformed, BrokerUnauthorized, MarketClock
from stealer.connect import connect, keeper_name
from stealer.coordinator import WorkStealingCoordinator
from stealer.doctor import Level
from stealer.model import OrderIntent
from stealer.replies import StreamHealth
from stealer.settings import Settings
from tests.doctor.conftest import Ward
from tests.keeper.account import AccountBroker
from tests.security.conftest import Guarded

pytestmark = pytest.mark.real_server

OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE


def test_a_deployment_in_good_health_has_no_failure(ward: Ward) -> None:
    found = ward.look()
    assert [f for f in found if f.level is FAILURE] == []
    assert {f.check for f in found} == {
        "trading", "secrets", "wire", "redis", "door", "rights", "roles", "eviction", "memory",
        "persistence", "replication", "clock", "functions", "certificate", "keeper", "account",
        "quotes", "halt", "policy", "hosts", "claims", "broker", "broker clock", "types",
    }  # fmt: skip


# ---- the server


@pytest.mark.parametrize(
    ("check", "setting", "value", "level", "word"),
    [
        ("eviction", "maxmemory-policy", "allkeys-lru", FAILURE, "allkeys-lru"),
        ("memory", "maxmemory", "0", WARNING, "not set"),
        ("persistence", "appendfsync", "everysec", WARNING, "two seconds"),
        ("persistence", "appendfsync", "no", FAILURE, "half a minute"),
        ("replication", "min-replicas-to-write", "1", FAILURE, "0 replicas of 1"),
    ],
)
def test_settings_of_the_server(
    ward: Ward, check: str, setting: str, value: str, level: Level, word: str
) -> None:
    ward.good(check)
    ward.guarded.admin.config_set(setting, value)
    if setting == "min-replicas-to-write":
        # Writes are refused by then, so the checks that only read must still speak.
        assert ward.look("redis")[0].level is OK
    ward.bad(check, level, word)


def test_memory_that_fills(ward: Ward) -> None:
    used = int(ward.guarded.admin.info("memory")["used_memory"])
    ward.guarded.admin.config_set("maxmemory", str(int(used / 0.85)))
    ward.bad("memory", WARNING, "MB used")


def test_no_append_only_file(ward: Ward) -> None:
    ward.guarded.admin.config_set("appendonly", "no")
    try:
        ward.bad("persistence", FAILURE, "append-only file is off")
    finally:
        ward.guarded.admin.config_set("appendonly", "yes")


@pytest.mark.parametrize(("skew", "level"), [(10.0, WARNING), (-10.0, WARNING), (100.0, FAILURE)])
def test_a_clock_that_is_wrong(ward: Ward, skew: float, level: Level) -> None:
    ward.good("clock")
    ward.now = lambda: time.time() + skew
    ward.bad("clock", level, "ahead of" if skew > 0 else "behind")


def test_a_server_that_is_down_is_one_finding(ward: Ward) -> None:
    ward.client = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    found = ward.look()
    assert [f.level for f in found if f.check == "redis"] == [FAILURE]
    assert "cannot be reached" in ward.one("redis").finding
    assert {f.check for f in found} >= {"trading", "broker"}


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.KEEPER, Role.WATCHER])
def test_on_an_emptied_server_it_loads_nothing_and_says_what_is_missing(
    ward: Ward, role: Role
) -> None:
    admin = ward.guarded.admin
    admin.flushall()
    admin.function_flush()
    ward.client = ward.guarded.client(role)

    found = ward.look()

    assert admin.function_list() == []
    assert admin.dbsize() == 0
    assert not any("the check itself failed" in f.finding for f in found)
    if role is Role.OPERATOR:
        ward.bad("functions", WARNING, "is not on the server")
        ward.good("rights")
        ward.bad("certificate", FAILURE, "it never was")
    else:
        ward.bad("rights", FAILURE, "a look loads none: start a keeper")


def test_a_replica_is_a_failure(ward: Ward) -> None:
    ward.guarded.admin.replicaof("127.0.0.1", 1)
    try:
        ward.bad("redis", FAILURE, "replica")
    finally:
        ward.guarded.admin.replicaof("NO", "ONE")


# ---- the entrance


@pytest.mark.parametrize(
    ("url", "level", "word"),
    [
        ("rediss://10.1.2.3:6379/0", OK, "verified"),
        ("unix:///run/redis.sock", OK, "this host"),
        ("redis://10.1.2.3:6379/0", FAILURE, "not encrypted"),
    ],
)
def test_the_wire(ward: Ward, url: str, level: Level, word: str) -> None:
    ward.set(redis_url=url)
    assert ward.one("wire").level is level
    assert word in ward.one("wire").finding


def test_the_door(ward: Ward) -> None:
    ward.bad("door", WARNING, "every process on the server's host")
    admin = ward.guarded.admin
    # Loopback is still all it listens on; a server that listens everywhere is told by `bind`.
    admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">a-password-of-default")
    try:
        ward.bad("door", WARNING, "has a password")
        admin.execute_command("ACL", "SETUSER", "default", "off")
        ward.good("door")
    finally:
        admin.execute_command("ACL", "SETUSER", "default", "on", "nopass")


def test_an_open_door_to_the_network(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = ward.guarded.admin
    admin.config_set("protected-mode", "no")
    ward.bad("door", WARNING, "every process")
    bound = admin.config_get("bind")["bind"]
    admin.config_set("bind", "* -::*")
    try:
        ward.bad("door", FAILURE, "any network")
    finally:
        admin.config_set("bind", bound)


def test_rights(ward: Ward) -> None:
    ward.good("rights")
    ward.client = ward.guarded.client(Role.WATCHER)
    assert ward.one("rights").finding.endswith("may do the work of a watcher")
    ward.guarded.make(Role.WATCHER, "-xadd")
    ward.client = ward.guarded.client(Role.WATCHER)
    ward.bad("rights", FAILURE, "XADD stealer:{paper}:audit")


def test_roles(ward: Ward, guarded: Guarded) -> None:
    ward.good("roles")
    guarded.make(Role.WATCHER, "-xadd")
    guarded.make(Role.KEEPER, "+flushall")
    guarded.make(Role.VIEWER, "+keys", "allkeys")
    ward.bad("roles", FAILURE, "paper-watcher may not do all a watcher does; missing: XADD")
    ward.bad("roles", FAILURE, "paper-keeper may do what only an operator should: FLUSHALL")
    ward.bad("roles", FAILURE, "paper-viewer may do what only an operator should: KEYS")
    for role in (Role.WATCHER, Role.KEEPER, Role.VIEWER):
        guarded.admin.acl_deluser(f"paper-{role}")
    ward.set(account="other")
    ward.client = guarded.admin
    ward.bad("roles", WARNING, "no users for the roles of other")


@pytest.mark.parametrize("role", [Role.WATCHER, Role.KEEPER])
def test_others_see_what_they_may_and_say_what_they_may_not(ward: Ward, role: Role) -> None:
    ward.client = ward.guarded.client(role)
    found = ward.look()
    assert [f for f in found if f.level is FAILURE] == []
    unseen = {f.check for f in found if f.level is WARNING and "unknown" in f.finding}
    types = {"types"} if role is Role.WATCHER else set()  # only the keeper may ask for types
    assert unseen == {"door", "roles", "persistence", "functions"} | types


def test_files_with_secrets(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("abcdefghij")
    file.chmod(0o600)
    ward.settings.pop("alpaca_key_id")
    ward.environ = {"APCA_API_KEY_ID_FILE": str(file)}
    ward.good("secrets")
    file.chmod(0o644)
    ward.bad("secrets", WARNING, "APCA_API_KEY_ID_FILE")


# ---- the account


def test_the_certificate(ward: Ward) -> None:
    ward.good("certificate")
    ward.client.hset(ward.ledger.keys.ledger, "run", "0" * 40)
    ward.bad("certificate", FAILURE, "it was for 0000")
    ward.client.delete(ward.ledger.keys.ledger)
    ward.bad("certificate", FAILURE, "it never was")
    ward.bad("account", FAILURE, "no account snapshot was ever published")


def test_the_keeper(ward: Ward) -> None:
    assert "the keeper, lease 300 s" in ward.one("keeper").finding.replace("299", "300")
    ward.client.delete(ward.ledger.keys.keeper)
    ward.bad("keeper", FAILURE, "no keeper")


@pytest.mark.parametrize(
    ("running", "standing_by"),
    [
        ([("paper", "the-keeper"), ("paper", "the-keeper")], 0),
        ([("paper", "the-keeper"), ("other", "b"), ("paper2", "c"), ("other", "b")], 0),
        ([("paper", "the-keeper"), ("paper", "b"), ("paper", "b"), ("paper", "c")], 2),
    ],
)
def test_who_stands_by_is_another_keeper_of_this_account(
    ward: Ward, running: list[tuple[str, str]], standing_by: int
) -> None:
    """Each keeper has several connections, and others keep other accounts on this server."""
    ward.ledger.release_lease()
    WorkStealingCoordinator(ward.client, Settings(**ward.settings), owner="the-keeper").lease(300)
    with ExitStack() as stack:
        for account, owner in running:
            name = keeper_name(account, owner)
            client = stack.enter_context(connect(Settings(**ward.settings), name=name))
            client.ping()
        found = ward.one("keeper")
    assert found.level is OK
    assert ("standing by" in found.finding) == bool(standing_by)
    assert f"; {standing_by} standing by" in found.finding or not standing_by
    assert bool(found.advice) != bool(standing_by)


def test_stale_feeds(ward: Ward) -> None:
    ledger = ward.ledger
    ledger.watch(["AAPL", "MSFT"], 60)
    ledger.publish_quote("AAPL", 1, 2)
    ward.bad("quotes", WARNING, "1 of 2 symbols: MSFT")
    ledger.publish_quote("MSFT", 1, 2)
    ward.good("quotes")
    ledger.publish_quote("AAPL", 1, 2, age_seconds=20)
    ward.bad("quotes", WARNING, "AAPL")
    ward.good("account")
    old = ledger.now_ms() - 20_000
    ward.client.hset(ledger.keys.ledger, "account_ms", old)
    ward.bad("account", FAILURE, "20 s old, 15 are allowed")


def test_the_switches(ward: Ward) -> None:
    ward.good("halt")
    ward.ledger.halt("lunch", "me")
    ward.bad("halt", WARNING, "halted: lunch")
    ward.set(dry_run=True)
    ward.bad("halt", WARNING, "runs dry")
    ward.client.hset(ward.ledger.keys.policy, "enabled", "0")
    ward.bad("halt", WARNING, "switched off")


def test_drift_of_this_host_and_of_others(ward: Ward) -> None:
    ward.good("policy")
    ward.ledger.report({"symbol": "AAPL", "host": "alpha", "seen": time.time()})
    ward.good("hosts")
    ward.set(leverage=1.5)
    ward.bad("policy", WARNING, "leverage is 1.5 here, 2 for the account")
    ward.good("hosts")
    other = ward.ledger
    other.owner = "another"
    other.report({"symbol": "MSFT", "host": "beta", "seen": time.time()})
    ward.bad("hosts", WARNING, "beta have other settings")
    assert not [f for f in ward.look("hosts") if "alpha" in f.finding]


def test_streams_that_are_down(ward: Ward) -> None:
    said = [StreamHealth("trade updates", 60, 1, 1), StreamHealth("stock quotes", None, None, 2)]
    ward.ledger.publish_streams(said, 30, term=1)
    ward.bad("streams", WARNING, "not connected: stock quotes")
    ward.ledger.publish_streams(said[:1], 30, term=1)
    ward.good("streams")


def test_a_hosts_clock(ward: Ward) -> None:
    ward.ledger.report({"symbol": "AAPL", "host": "gamma", "seen": time.time() + 35})
    ward.bad("hosts", WARNING, "clock of gamma is 3")


def test_stuck_claims(ward: Ward) -> None:
    ledger, keys = ward.ledger, ward.ledger.keys
    ledger.publish_session(True, 3600, term=1)
    ledger.publish_quote("AAPL", 102, 102)
    claim = ledger.acquire(OrderIntent("AAPL", "buy", 1, 100)).claim
    assert claim
    ward.good("claims")
    hour = ledger.now_ms() - 3_600_000
    key = keys.of("claim", claim.id)
    for fields in (
        {"state": "reserved", "deadline_ms": hour},
        {"state": "launching", "deadline_ms": hour},
        {"state": "evicting", "evicted_ms": hour},
    ):
        ward.client.hset(key, mapping=fields)
        ward.bad("claims", WARNING, f"AAPL {fields['state']}")
    ward.client.hset(key, mapping={"state": "open"})
    ward.good("claims")


def test_libraries_of_other_versions(ward: Ward) -> None:
    ward.good("functions")
    ward.guarded.admin.function_load(
        "#!lua name=stealer_test_old\nredis.register_function('x', function() return 1 end)"
    )
    ward.bad("functions", WARNING, "stealer_test_old")
    assert "FUNCTION DELETE stealer_test_old" in ward.one("functions").advice


@pytest.mark.parametrize("key", ["ledger", "policy", "watchers", "claims", "quotes", "keeper"])
def test_spoiled_keys_are_findings(ward: Ward, key: str) -> None:
    name = getattr(ward.ledger.keys, key)
    ward.client.delete(name)
    ward.client.lpush(name, "nonsense")
    assert any(f.level is FAILURE for f in ward.look())
    ward.client.delete(name)
    ward.client.hset(name, mapping={"account_ms": "soon", "epoch": "x", "AAPL": "1 2 soon"})
    assert ward.look()


# ---- the broker


class Account(AccountBroker):
    """An account whose flags a test sets."""

    def __init__(self, **flags: Any) -> None:
        super().__init__()
        self.flags = flags

    def clock(self) -> MarketClock:
        return MarketClock(True, time.time(), 0, 0)

    def account(self) -> Any:
        plain = replace(super().account(), buying_power=Decimal(20_000))
        return replace(plain, **self.flags)


@pytest.mark.parametrize(
    ("flags", "level", "word"),
    [
        ({}, OK, "buying power 20,000.00"),
        ({"trading_blocked": True}, FAILURE, "trading is blocked"),
        ({"status": "ACCOUNT_CLOSED"}, FAILURE, "ACCOUNT_CLOSED"),
        ({"multiplier": Decimal(1)}, WARNING, "lends 1 times"),
        ({"buying_power": Decimal(0)}, WARNING, "no buying power"),
    ],
)
def test_the_brokers_account(ward: Ward, flags: dict[str, Any], level: Level, word: str) -> None:
    ward.broker = Account(**flags)
    found = ward.look("broker")
    assert any(f.level is level and word in f.finding for f in found), found


def test_the_simulated_alpaca_answers_and_a_broker_that_is_down_is_a_finding(ward: Ward) -> None:
    assert ward.one("broker").finding.startswith("answers; equity")
    ward.set(alpaca_url="http://127.0.0.1:1")
    ward.bad("broker", FAILURE, "refused")
    ward.set(alpaca_key_id="")
    ward.bad("broker", FAILURE, "key")


def test_keys_that_are_refused(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    broker: Any = AccountBroker()

    def refuse() -> None:
        raise BrokerUnauthorized("read account: the keys were refused")

    monkeypatch.setattr(broker, "account", refuse)
    ward.broker = broker
    ward.bad("broker", FAILURE, "keys were refused")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (BrokerMalformed("read account: 'equity' is missing"), "'equity' is missing"),
        (ValueError("x" * 9000), "answer is not one that can be used"),
        (RuntimeError("no idea"), "the check itself failed: RuntimeError('no idea')"),
        (None, "the check itself failed: AttributeError"),
    ],
)
def test_a_broker_that_misbehaves_is_a_finding_among_the_others(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, answer: Exception | None, word: str
) -> None:
    broker: Any = Account()

    def answered() -> None:
        if answer:
            raise answer

    monkeypatch.setattr(broker, "account", answered)
    ward.broker = broker
    ward.bad("broker", FAILURE, word)
    assert len(ward.one("broker").finding) < 300
    ward.good("redis")
    monkeypatch.setattr(broker, "account", Account().account)
    monkeypatch.setattr(broker, "clock", answered)
    ward.good("broker")
    ward.bad("broker clock", FAILURE, word)


def test_figures_that_are_no_numbers_are_a_finding(ward: Ward) -> None:
    ward.broker = Account(multiplier=Decimal("nan"))
    assert ward.look("broker")[-1].level is FAILURE
    ward.bad("broker", FAILURE, "answer is not one that can be used")


def test_the_brokers_clock(ward: Ward) -> None:
    # The simulator's market stands on a Friday in 2024.
    ward.bad("broker clock", WARNING, "ahead of the broker's")
    ward.broker = Account()
    ward.good("broker clock")
    ward.broker = None
    ward.set(market_clock="2024-01-05T15:00:00Z@1795373549.5*1")
    ward.good("broker clock")


def test_paper_and_live_are_said_loudly(ward: Ward) -> None:
    assert "paper" in ward.one("trading").finding
    ward.set(trading="live", account="mine", alpaca_url="")
    ward.broker = Account()
    assert "LIVE" in ward.one("trading").finding
    assert "REAL MONEY" in ward.one("trading").finding


def test_findings_are_json(ward: Ward) -> None:
    assert json.dumps([f.finding for f in ward.look()])
