"""Watchers as processes: one entry, or the fleet of a plan; each stops cleanly on SIGTERM."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from stealer.broker.interface import Broker, BrokerMisconfigured
from stealer.connect import connect, connect_broker, connect_budget
from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Entries
from stealer.errors import LedgerMisconfigured, LedgerUnavailable
from stealer.ledger import default_owner
from stealer.model import InvalidIntent
from stealer.settings import Settings, SettingsError
from stealer.signals import StopFlag, on_stop
from watchers.children import Ending, Lifeline
from watchers.entry_watcher import EntryWatcher
from watchers.exit_task import ExitTask
from watchers.exit_watcher import ExitWatcher
from watchers.fleet import STOP_SECONDS, Fleet
from watchers.plan import PlanProcess
from watchers.plan_exit import PlanExit
from watchers.plan_file import PlanFile
from watchers.status import Phase
from watchers.task import EntryTask

log = logging.getLogger(__name__)

_ENDINGS = {
    Phase.DONE: Ending.DONE,
    Phase.EXPIRED: Ending.EXPIRED,
    Phase.STOPPED: Ending.STOPPED,
}


def run_entry(
    task: EntryTask,
    settings: Settings,
    *,
    name: str = "",
    broker: Broker | None = None,
    stop: StopFlag | None = None,
    on_move: Callable[[Phase, str], object] = lambda phase, reason: None,
) -> Phase:
    """Pursue *task* until it ends or SIGTERM comes; the phase it ended in.

    :param name: for CLIENT LIST and at the end of the owner's name; the symbol if empty.
    :param stop: set by SIGTERM; may be set already: then only what is out is taken back.
    :param on_move: told each phase and its reason.
    :raises InvalidIntent: the task cannot be for this account, or the broker would never take its
        order (``stealer.order_rules``); nothing is held.
    :raises LedgerMisconfigured, BrokerMisconfigured: it cannot work as set up.
    :raises LedgerUnavailable: Redis cannot be reached at the start.
    """
    stop = stop or StopFlag()
    with on_stop(stop.set):
        name = name or task.intent.symbol
        client = connect(settings, name=f"watcher-{name}")
        coordinator = WorkStealingCoordinator(client, settings, owner=f"{default_owner()}:{name}")
        coordinator.require_rights()
        broker = broker or connect_broker(settings, connect_budget(settings, who=f"watcher-{name}"))
        entries = Entries(coordinator, broker, should_stop=stop.is_set)
        for setting, (here, there) in coordinator.policy_drift().items():
            log.warning("policy: %s is %s here but %s for this account", setting, here, there)
        watcher = EntryWatcher(
            task, coordinator, entries, should_stop=stop.is_set, sleep=stop.wait, on_move=on_move
        )
        phase = watcher.run()
        if phase is Phase.IMPOSSIBLE:
            raise InvalidIntent(watcher.status.detail)
        return phase


def run_exit(
    task: ExitTask,
    settings: Settings,
    *,
    name: str = "",
    broker: Broker | None = None,
    stop: StopFlag | None = None,
    on_move: Callable[[Phase, str], object] = lambda phase, reason: None,
) -> Phase:
    """Keep *task*'s take-profit order until it ends or SIGTERM comes; the phase it ended in.

    Parameters and errors are those of :func:`run_entry`.
    """
    stop = stop or StopFlag()
    with on_stop(stop.set):
        name = name or f"{task.symbol}.exit"
        client = connect(settings, name=f"watcher-{name}")
        coordinator = WorkStealingCoordinator(client, settings, owner=f"{default_owner()}:{name}")
        coordinator.require_rights()
        broker = broker or connect_broker(settings, connect_budget(settings, who=f"watcher-{name}"))
        watcher = ExitWatcher(
            task, coordinator, broker, should_stop=stop.is_set, sleep=stop.wait, on_move=on_move
        )
        phase = watcher.run()
        if phase is Phase.IMPOSSIBLE:
            raise InvalidIntent(watcher.status.detail)
        return phase


def run_plan(
    path: Path,
    settings: Settings,
    *,
    label: Callable[[str], None] = lambda name: None,
    stop_seconds: float = STOP_SECONDS,
) -> int:
    """Run the plan in *path* as a fleet until it ends or SIGTERM comes; the exit status.

    :param label: called in each child with the entry's name, to mark its log lines.
    :param stop_seconds: how long a stop may take before processes are killed.
    :raises PlanError: the plan cannot be used; nothing was started.
    :raises LedgerMisconfigured, BrokerMisconfigured: no child could work as set up.
    """
    file = PlanFile(path, settings.crypto_symbols)
    plan = file.load()
    connect(settings).close()  # sends nothing: only to find a bad address or missing keys once,
    connect_broker(settings)  # and not in every child

    def work(entry: PlanProcess, line: Lifeline) -> Ending:
        label(entry.name)
        return pursue(entry, settings, line, f"{plan.fleet}/{entry.name}")

    return Fleet(plan, work, file, prepare=preload, stop_seconds=stop_seconds).run()


def pursue(entry: PlanProcess, settings: Settings, line: Lifeline, name: str) -> Ending:
    """One entry or exit of a plan in its own process; how it ended, as its parent is to know it."""
    told = line.tell_phase
    try:
        if isinstance(entry, PlanExit):
            phase = run_exit(entry.task, settings, name=name, stop=line, on_move=told)
        else:
            phase = run_entry(entry.task, settings, name=name, stop=line, on_move=told)
    except (BrokerMisconfigured, SettingsError, InvalidIntent) as error:
        line.tell_words(str(error))
        return Ending.IMPOSSIBLE
    except LedgerMisconfigured as error:
        line.tell_words(str(error))
        return Ending.MISCONFIGURED
    except LedgerUnavailable as error:
        line.tell_words(str(error))
        return Ending.UNAVAILABLE
    return _ENDINGS[phase]


@cache
def preload() -> None:
    """Load in the fleet's parent what every child needs, so that they share the memory.

    The exchange calendar is not among it: watchers read the session from the ledger.
    """
    # numpy's OpenBLAS starts a thread for each core when it is loaded, and a process with threads
    # must not be forked. No watcher multiplies matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import stealer.broker.alpaca  # noqa: F401
    from stealer.access import Role, needs
    from stealer.broker import client
    from stealer.scripts import function_library

    client.preload()
    function_library()
    needs(Role.WATCHER)
