"""Certifying: after the quarantine, with a readable broker, and for this very server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis

from stealer.broker.interface import BrokerUnavailable
from stealer.embedded import EmbeddedServer
from stealer.keeper.certification import Certifier
from stealer.keeper.keeper import Keeper
from stealer.settings import Settings
from tests.conftest import FAST
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.keeper.conftest import desk_on, keeper_of
from tests.support import ManualClock

QUARANTINE = Settings().quarantine_seconds


@pytest.fixture
def new(redis_client: redis.Redis) -> Desk:
    """A ledger that nobody has certified yet."""
    return desk_on(redis_client)


def certifier(desk: Desk, broker: AccountBroker, clock: ManualClock) -> Certifier:
    return Certifier(desk.coordinator, broker, clock.time)


def test_a_new_ledger_waits_the_quarantine_and_denies_until_then(
    new: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    keeper = keeper_of(new, broker, manual_clock, "a")

    assert keeper.run_once()
    assert new.acquire("AAPL").reason == "uncertified"
    manual_clock.advance(QUARANTINE - 0.001)
    keeper.run_once()
    assert new.acquire("AAPL").reason == "uncertified"
    manual_clock.advance(0.001)
    keeper.run_once()

    assert new.acquire("AAPL").claim
    assert new.figure("limit_total") == 20_000


def test_a_certified_ledger_stays_as_it_is(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    epoch = desk.client.hget(desk.keys.ledger, "epoch")

    assert certifier(desk, broker, manual_clock).certified(0)

    assert desk.client.hget(desk.keys.ledger, "epoch") == epoch


def test_another_server_during_the_wait_begins_the_wait_anew(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = certifier(desk, broker, manual_clock)
    here = replace(desk.coordinator.server(), certified=False)
    servers = [*(replace(here, identity="b"),) * 2, here, here, here]
    monkeypatch.setattr(desk.coordinator, "server", lambda: servers.pop(0))

    assert not waits.certified(0)
    manual_clock.advance(QUARANTINE * 0.9)
    assert not waits.certified(0)
    assert not waits.certified(0)  # on c since now
    manual_clock.advance(QUARANTINE * 0.9)
    assert not waits.certified(0)
    manual_clock.advance(QUARANTINE * 0.1)
    assert waits.certified(0)


def test_a_broker_that_cannot_be_read_certifies_nothing(
    new: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    waits = certifier(new, broker, manual_clock)
    assert not waits.certified(0)
    manual_clock.advance(QUARANTINE)
    broker.is_down = True

    with pytest.raises(BrokerUnavailable):
        waits.certified(0)
    assert new.acquire("AAPL").reason == "uncertified"

    broker.is_down = False
    assert waits.certified(0)
    assert new.coordinator.server().certified


def test_after_a_failover_claims_are_kept_and_everything_is_denied_until_certified_again(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = desk.open("AAPL", usd=1_000)
    broker.match(claim)
    assert keeper.run_once()

    desk.another_server()
    keeper.run_once()
    assert desk.acquire("MSFT").reason == "uncertified"
    manual_clock.advance(QUARANTINE)
    keeper.run_once()

    assert desk.state(claim) == "open"
    assert broker.cancels == []
    assert desk.charged() == 1_000


@pytest.mark.real_server
def test_a_restarted_server_denies_until_certified_again_and_keeps_its_orders(
    tmp_path: Path, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    # The append-only file is on, as in our redis.conf: memory survives, the identity does not.
    with EmbeddedServer.start(tmp_path, extra=FAST) as server:
        client = redis.Redis.from_url(server.url, decode_responses=True)
        desk = desk_on(client)
        keeper = keeper_of(desk, broker, manual_clock, "a")
        keeper.run_once()
        manual_clock.advance(QUARANTINE)
        keeper.run_once()
        claim = desk.open("AAPL", usd=1_000)
        broker.match(claim)
        keeper.run_once()
        epoch = int(client.hget(desk.keys.ledger, "epoch") or 0)

        server.restart()

        assert desk.acquire("MSFT").reason == "uncertified"
        assert keeper.run_once()
        assert desk.acquire("MSFT").reason == "uncertified"
        manual_clock.advance(QUARANTINE)
        assert keeper.run_once()
        assert int(client.hget(desk.keys.ledger, "epoch") or 0) == epoch + 1
        assert desk.state(claim) == "open"
        assert broker.cancels == []
        assert desk.acquire("MSFT").claim
        client.close()


def test_the_term_is_never_lowered_by_a_certificate(desk: Desk) -> None:
    desk.client.hset(desk.keys.ledger, "term", "garbage")
    desk.coordinator.certify(8)
    assert desk.client.hget(desk.keys.ledger, "term") == "8"


@pytest.mark.parametrize("who", ["the leader", "a standby"])
def test_a_kill_switch_outlives_redis_memory(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock, who: str
) -> None:
    keeper = keeper_of(desk, broker, manual_clock, "a")
    leader = keeper if who == "the leader" else keeper_of(desk, broker, manual_clock, "b")
    desk.coordinator.halt("a drill", "ann")
    leader.run_once()
    keeper.run_once()
    desk.client.flushall()

    keeper.run_once()
    manual_clock.advance(QUARANTINE)
    keeper.run_once()

    assert desk.coordinator.server().certified
    assert desk.acquire("AAPL").reason == "halted"
    halts = [fields for _, fields in desk.client.xrange(desk.keys.audit)]
    assert [(e["what"], e["why"]) for e in halts if e["what"] == "halt"] == [("halt", "a drill")]


def test_who_resumes_while_nothing_is_certified_is_heard(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    keeper = keeper_of(desk, broker, manual_clock, "a")
    desk.coordinator.halt("a drill", "ann")
    keeper.run_once()
    desk.client.flushall()

    keeper.run_once()
    desk.coordinator.halt("", "ann")
    manual_clock.advance(QUARANTINE)
    keeper.run_once()

    assert desk.coordinator.server().halted == ""
    assert desk.acquire("AAPL").reason != "halted"
