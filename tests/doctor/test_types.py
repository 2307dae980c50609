"""Keys that hold something else than they should."""

from __future__ import annotations

import pytest

from stealer.doctor import Level
from stealer.keyspace import FIXED
from tests.doctor.conftest import Ward

pytestmark = pytest.mark.real_server


@pytest.mark.parametrize(
    ("name", "advice"),
    [("slots", "a running keeper deletes it"), ("ledger", "then DEL 'stealer:{paper}:ledger'")],
)
def test_a_key_of_another_type_is_named(ward: Ward, name: str, advice: str) -> None:
    key = getattr(ward.ledger.keys, name)
    ward.client.delete(key)
    ward.client.set(key, "somebody's own")
    (found,) = [f for f in ward.look("types") if f.level is Level.FAILURE]
    assert f"{key} holds a string instead of a hash" in found.finding
    assert advice in found.advice


def test_every_key_of_an_account_at_work_is_of_its_type(ward: Ward) -> None:
    """A crypto forecast makes a key that an account with stocks only has not."""
    ward.ledger.publish_forecast("BTCUSD", "maxdiff", 12.0)
    ward.ledger.publish_forecast("AAPL", "maxdiff", 3.0)
    ward.good("types")


def test_a_key_whose_type_nobody_has_said_is_not_called_wrong(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, _ = FIXED["ledger"]
    monkeypatch.setitem(FIXED, "ledger", (suffix, "What the account knows of itself."))
    ward.good("types")
