"""A broker that was not asked, because the account's requests are used up."""

from __future__ import annotations

from typing import Any

import pytest

from stealer.broker.interface import BrokerBudgetSpent, BrokerRateLimited
from stealer.doctor import Level
from tests.doctor.conftest import Ward
from tests.keeper.account import AccountBroker

pytestmark = pytest.mark.real_server

#: 2027-01-15 08:00:00 UTC.
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("error", "when"),
    [
        (BrokerBudgetSpent("read account", 23.0), "until 08:00:23 UTC (23 s)"),
        (BrokerBudgetSpent("read account", 0.4), "until 08:00:01 UTC (1 s)"),
        (BrokerRateLimited("read account", NOW + 40), "until 08:00:40 UTC (40 s)"),
        (BrokerRateLimited("read account", NOW - 5), "for a while"),
        (BrokerRateLimited("read account", 1e300), "for a while"),
        (BrokerRateLimited("read account"), "for a while"),
    ],
)
def test_a_spent_api_budget_is_not_blamed_on_the_keys(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, error: Exception, when: str
) -> None:
    broker: Any = AccountBroker()

    def refuse() -> None:
        raise error

    monkeypatch.setattr(broker, "account", refuse)
    ward.broker, ward.now = broker, lambda: NOW
    found = ward.one("broker")
    assert found.level is Level.FAILURE
    assert f"API budget is spent {when}" in found.finding
    assert "APCA_API_KEY_ID" not in found.advice
    assert "`stealer status`" in found.advice
