"""What every watcher asks of the ledger at its start, asked once by a parent that forks.

The answers are of no use: what a first call loads and builds is then memory that all share, and a
watcher reacts sooner when its price comes. Nothing is written and no connection is left. It only
saves time, so whatever fails here stops nothing: the children meet the same, and say it.
"""

from __future__ import annotations

import logging

from stealer.connect import connect
from stealer.coordinator import WorkStealingCoordinator
from stealer.model import OrderIntent
from stealer.settings import Settings

log = logging.getLogger(__name__)

#: A slot that nobody wakes, and the seconds for which it is waited for.
NOBODY, MOMENT_SECONDS = "nobody|buy|rehearsal", 0.01

#: A ledger that is slower than this is not waited for, once.
PATIENCE_SECONDS = 1.0


def rehearse(intent: OrderIntent, settings: Settings) -> None:
    """Ask the ledger as a watcher of *intent* does."""
    client = connect(
        settings,
        name="rehearsal",
        answer_seconds=PATIENCE_SECONDS,
        connect_seconds=PATIENCE_SECONDS,
        repeats=0,
    )
    try:
        coordinator = WorkStealingCoordinator(client, settings)
        coordinator.require_rights()
        coordinator.policy_drift()
        coordinator.standing(intent.symbol, intent.strategy, intent.side)
        coordinator.claim_in_slot(intent.symbol, intent.side, intent.strategy)
        coordinator.wait(NOBODY, MOMENT_SECONDS)
    except Exception as error:
        log.debug("rehearsal: %r", error)
    finally:
        client.close()  # a child must not inherit a connection
