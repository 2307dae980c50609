"""Keys of another type in the place of ours: mended by rule, or named for a person."""

from __future__ import annotations

import pytest

from stealer.errors import LedgerSpoiled
from stealer.keeper.keeper import Keeper
from stealer.keyspace import FIXED
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

#: What only a person can know.
A_PERSONS = ("ledger", "keeper")

INDEXES = ("claims", "open", "heirless", "deadlines", "beats", "unabsorbed", "slots", "policy")


def usurp(desk: Desk, name: str) -> None:
    key = getattr(desk.keys, name)
    desk.client.delete(key)
    if FIXED[name][1].startswith("String"):
        desk.client.rpush(key, "somebody's own")
    else:
        desk.client.set(key, "somebody's own")


def passes(desk: Desk, keeper: Keeper, clock: ManualClock) -> None:
    """Two passes, the quarantine, two more."""
    for seconds in (0, desk.settings.quarantine_seconds, 2):
        clock.advance(seconds)
        keeper.run_once()


@pytest.mark.parametrize("certified", [True, False])
@pytest.mark.parametrize("name", sorted(FIXED.keys() - set(A_PERSONS)))
def test_a_key_of_another_type_is_deleted_and_what_it_held_made_again(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    manual_clock: ManualClock,
    name: str,
    certified: bool,
) -> None:
    opened = desk.open("AAPL", 2.0, usd=2_000)
    evicting = desk.open("TSLA", 2.0, usd=1_000)
    launching = desk.reserve("MSFT", 2.0, usd=500)
    for claim in (opened, evicting):
        broker.match(claim)
    keeper.run_once()
    desk.coordinator.launch(launching)
    desk.coordinator.evict(evicting, "owner")
    broker.on_cancel = "nothing"
    if not certified:
        desk.another_server()
    usurp(desk, name)

    passes(desk, keeper, manual_clock)

    assert desk.coordinator.server().certified
    assert desk.coordinator.recount(1) == ""
    assert [desk.state(c) for c in (opened, evicting)] == ["open", "evicting"]
    assert desk.state(launching) == "launching"
    assert desk.charged() == 3_500
    assert desk.acquire("AAPL", usd=100).reason == "duplicate"
    said = [f for _, f in desk.client.xrange(desk.keys.audit) if f["what"] == "oust"]
    assert [f["claim"] for f in said] == [getattr(desk.keys, name)]


def test_with_every_index_gone_the_claims_come_back_from_the_broker(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = desk.open("AAPL", 2.0, usd=2_000)
    broker.match(claim)
    keeper.run_once()
    for name in INDEXES:
        usurp(desk, name)

    passes(desk, keeper, manual_clock)

    assert (desk.state(claim), desk.charged()) == ("open", 2_000)
    assert broker.cancels == []
    assert desk.acquire("AAPL", usd=100).reason == "duplicate"


def test_a_key_whose_type_nobody_has_said_is_not_called_wrong(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, _ = FIXED["ledger"]
    monkeypatch.setitem(FIXED, "ledger", (suffix, "What the account knows of itself."))
    usurp(desk, "slots")
    with pytest.raises(LedgerSpoiled) as said:
        desk.acquire("AAPL", usd=100)
    assert desk.keys.slots in str(said.value)
    assert desk.keys.ledger not in str(said.value)


@pytest.mark.parametrize("name", A_PERSONS)
def test_what_only_a_person_can_know_is_named_and_left_alone(
    desk: Desk, keeper: Keeper, name: str
) -> None:
    held = dict(desk.client.hgetall(desk.keys.ledger))
    usurp(desk, name)
    key = getattr(desk.keys, name)

    with pytest.raises(LedgerSpoiled) as said:
        keeper.run_once()

    assert f"{key} holds a " in str(said.value)
    assert "DEL" in str(said.value)
    assert desk.client.exists(key)
    desk.client.delete(key)
    desk.client.hset(desk.keys.ledger, mapping=held)
