"""What every watcher asks of the ledger at its start, asked once by a parent before it forks.

The answers are of no use: what a first call loads and builds is then memory that all share, and a
watcher reacts sooner when its price comes. Nothing is written, and no connection is left.
"""

from __future__ import annotations

import logging

from stealer.connect import connect
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import StealerError
from stealer.model import OrderIntent
from stealer.settings import Settings

log = logging.getLogger(__name__)

#: A slot that nobody wakes, and the seconds for which it is waited for.
NOBODY, MOMENT_SECONDS = "nobody|buy|rehearsal", 0.01


def rehearse(intent: OrderIntent, settings: Settings) -> None:
    """Ask as a watcher of *intent* does. What cannot be asked is for the children to say."""
    client = connect(settings, name="rehearsal")
    try:
        coordinator = WorkStealingCoordinator(client, settings)
        coordinator.require_rights()
        coordinator.policy_drift()
        coordinator.standing(intent.symbol, intent.strategy, intent.side)
        coordinator.placed(intent.symbol)
        coordinator.claim_in_slot(intent.symbol, intent.side, intent.strategy)
        coordinator.wait(NOBODY, MOMENT_SECONDS)
    except StealerError as error:
        log.debug("rehearsal: %s", error)
    finally:
        client.connection_pool.disconnect()  # a child must not inherit one
        client.close()
