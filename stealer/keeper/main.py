"""The keeper as a process: connect, keep, stop cleanly on SIGTERM."""

from __future__ import annotations

import logging
from functools import partial

from stealer.access import Role
from stealer.budget import AS_KEEPER
from stealer.connect import (
    connect,
    connect_broker,
    connect_budget,
    connect_streams,
    keeper_name,
)
from stealer.coordinator import WorkStealingCoordinator
from stealer.keeper.keeper import Keeper
from stealer.keeper.pace import Pace, slowest
from stealer.ledger import default_owner
from stealer.settings import Settings
from stealer.signals import StopFlag, on_stop

log = logging.getLogger(__name__)

#: Seconds between passes, if the account's API budget allows it (see ``pace``).
POLL_SECONDS = 2.0


def run(settings: Settings, *, poll_seconds: float = POLL_SECONDS, once: bool = False) -> int:
    """Keep the account until SIGTERM or SIGINT. Returns the exit status.

    :param once: a single pass, for scripts and checks; 1 when another keeper leads.
    :raises LedgerMisconfigured, BrokerMisconfigured: it cannot work as set up.
    """
    owner = default_owner()
    client = connect(settings, name=keeper_name(settings.account, owner))
    coordinator = WorkStealingCoordinator(client, settings, owner=owner)
    coordinator.require_rights(Role.KEEPER)
    for name, (here, there) in coordinator.policy_drift().items():
        log.warning("policy: %s is %s here but %s for this account", name, here, there)
    stop = StopFlag()
    budget = connect_budget(settings, who=f"keeper-{coordinator.owner}", role=AS_KEEPER)
    lease_seconds = max(4 * poll_seconds, 3.0, 2 * settings.position_lag_seconds)
    keeper = Keeper(
        coordinator,
        connect_broker(settings, budget, patience=0.0),
        lease_seconds=lease_seconds,
        sleep=stop.wait,
        open_streams=partial(connect_streams, settings) if settings.streams and not once else None,
        pace=Pace(budget, slowest(settings.account_stale_seconds, lease_seconds)),
    )
    if once:
        try:
            return 0 if keeper.run_once() else 1
        finally:
            keeper.leadership.release()
    with on_stop(stop.set):
        keeper.keep(poll_seconds, stop.is_set)
    return 0
