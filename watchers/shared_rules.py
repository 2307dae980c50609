"""The asset rules of a plan's symbols, read once by the parent that forks.

Otherwise the first watcher of each symbol reads them for all, and the request costs it a megabyte
of memory of its own. Whatever fails here, or takes long, stops nothing: the watchers read what is
not kept then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import closing

from stealer.asset_rules import AssetRules
from stealer.broker.interface import BrokerError
from stealer.budget import ApiBudget
from stealer.connect import connect, connect_broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.settings import Settings

log = logging.getLogger(__name__)

#: Seconds for one answer of Redis or the broker, and for all symbols together: the watchers read
#: the rest.
ANSWER_SECONDS = 0.5
PATIENCE_SECONDS = 1.0


def keep_rules(symbols: Iterable[str], settings: Settings) -> None:
    """See that the rules of these canonical *symbols* are kept in Redis for everybody."""
    until = time.monotonic() + PATIENCE_SECONDS
    try:
        client = connect(
            settings,
            name="rules",
            answer_seconds=ANSWER_SECONDS,
            connect_seconds=ANSWER_SECONDS,
            repeats=0,
        )
        budget = ApiBudget(client, settings.account, who="rules")
        broker = connect_broker(settings, budget, patience=0.0, answer_seconds=ANSWER_SECONDS)
        with closing(client), closing(broker):  # a child must not inherit a connection
            ledger = WorkStealingCoordinator(client, settings)
            rules = AssetRules(ledger, broker, sleep=_leave)
            for symbol in dict.fromkeys(symbols):
                if time.monotonic() > until:
                    break
                try:
                    rules.of(symbol)
                except _ReadByAnother:
                    continue
                except BrokerError as error:
                    log.debug("rules: %r", error)
                    ledger.forget_asset(symbol)  # nobody reads it now: a watcher need not wait
    except Exception as error:
        log.debug("rules: %r", error)


class _ReadByAnother(Exception):
    pass


def _leave(seconds: float) -> None:
    raise _ReadByAnother
