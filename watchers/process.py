"""An entry watcher as a process: connect, run, stop cleanly on SIGTERM."""

from __future__ import annotations

import logging
import threading

from stealer.broker.interface import Broker
from stealer.connect import connect, connect_broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Entries
from stealer.settings import Settings
from stealer.signals import on_stop
from watchers.entry_watcher import EntryWatcher
from watchers.status import Phase
from watchers.task import EntryTask

log = logging.getLogger(__name__)


def run_entry(
    task: EntryTask, settings: Settings, *, name: str = "", broker: Broker | None = None
) -> Phase:
    """Pursue *task* until it ends or SIGTERM comes; the phase it ended in.

    :param name: for CLIENT LIST and as owner; the symbol if empty.
    :raises InvalidIntent: the task cannot be for this account.
    :raises LedgerMisconfigured, BrokerMisconfigured: it cannot work as set up.
    """
    stop = threading.Event()
    client = connect(settings, name=f"watcher-{name or task.intent.symbol}")
    coordinator = WorkStealingCoordinator(client, settings)
    for setting, (here, there) in coordinator.policy_drift().items():
        log.warning("policy: %s is %s here but %s for this account", setting, here, there)
    entries = Entries(coordinator, broker or connect_broker(settings))
    with on_stop(stop.set):
        watcher = EntryWatcher(task, coordinator, entries, should_stop=stop.is_set, sleep=stop.wait)
        return watcher.run()
