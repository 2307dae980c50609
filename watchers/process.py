"""Watchers as processes: one entry, or the fleet of a plan; each stops cleanly on SIGTERM."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

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
from watchers.rehearsal import rehearse
from watchers.shared_rules import keep_rules
from watchers.status import Phase
from watchers.status_file import StatusFile
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
    status_file: StatusFile | None = None,
) -> Phase:
    """Pursue *task* until it ends or SIGTERM comes; the phase it ended in.

    :param name: for CLIENT LIST and at the end of the owner's name; the symbol if empty.
    :param stop: set by SIGTERM; may be set already: then only what is out is taken back.
    :param on_move: told each phase and its reason.
    :param status_file: where task and status are kept besides Redis.
    :raises InvalidIntent: the task cannot be for this account, or the broker would never take its
        order (``stealer.order_rules``); nothing is held.
    :raises LedgerMisconfigured, BrokerMisconfigured: it cannot work as set up.
    :raises LedgerUnavailable: Redis cannot be reached at the start.
    """
    stop = stop or StopFlag()
    name = name or task.intent.symbol
    with on_stop(stop.set):
        coordinator, broker = _connected(settings, name, broker)
        watcher = EntryWatcher(
            task,
            coordinator,
            Entries(coordinator, broker, should_stop=stop.is_set),
            should_stop=stop.is_set,
            sleep=stop.wait,
            on_move=on_move,
            name=name,
            status_file=status_file,
        )
        return _run(watcher)


def run_exit(
    task: ExitTask,
    settings: Settings,
    *,
    name: str = "",
    broker: Broker | None = None,
    stop: StopFlag | None = None,
    on_move: Callable[[Phase, str], object] = lambda phase, reason: None,
    status_file: StatusFile | None = None,
) -> Phase:
    """Keep *task*'s take-profit order until it ends or SIGTERM comes; the phase it ended in.

    Parameters and errors are those of :func:`run_entry`.
    """
    stop = stop or StopFlag()
    name = name or f"{task.symbol}.exit"
    with on_stop(stop.set):
        coordinator, broker = _connected(settings, name, broker)
        watcher = ExitWatcher(
            task,
            coordinator,
            broker,
            should_stop=stop.is_set,
            sleep=stop.wait,
            on_move=on_move,
            name=name,
            status_file=status_file,
        )
        return _run(watcher)


def _connected(
    settings: Settings, name: str, broker: Broker | None
) -> tuple[WorkStealingCoordinator, Broker]:
    """What a watcher of that *name* works with; what of its settings differs is said."""
    client = connect(settings, name=f"watcher-{name}")
    coordinator = WorkStealingCoordinator(client, settings, owner=f"{default_owner()}:{name}")
    coordinator.require_rights()
    if broker is None:
        broker = connect_broker(settings, connect_budget(settings, who=f"watcher-{name}"))
        broker.prepare()
    for setting, (here, there) in coordinator.policy_drift().items():
        log.warning("policy: %s is %s here but %s for this account", setting, here, there)
    return coordinator, broker


def _run(watcher: EntryWatcher | ExitWatcher) -> Phase:
    try:
        phase = watcher.run()
    except Exception as error:
        watcher.reporter.ended_badly(f"crashed: {type(error).__name__}")
        raise
    if phase is Phase.IMPOSSIBLE:
        raise InvalidIntent(watcher.status.detail)
    return phase


def run_plan(
    path: Path,
    settings: Settings,
    *,
    label: Callable[[str], None] = lambda name: None,
    stop_seconds: float = STOP_SECONDS,
    status_dir: Path | None = None,
) -> int:
    """Run the plan in *path* as a fleet until it ends or SIGTERM comes; the exit status.

    :param label: called in each child with FLEET/ENTRY, to mark its log lines.
    :param stop_seconds: how long a stop may take before processes are killed.
    :param status_dir: each entry's task and status are kept there, in a file NAME.json.
    :raises PlanError: the plan cannot be used; nothing was started.
    :raises StatusFileError: a file cannot be written there; nothing was started.
    :raises LedgerMisconfigured, BrokerMisconfigured: no child could work as set up.
    """
    file = PlanFile(path, settings.crypto_symbols)
    plan = file.load()
    connect(settings).close()  # sends nothing: only to find a bad address or missing keys once,
    connect_broker(settings)  # and not in every child

    def status_file(member: PlanProcess) -> StatusFile | None:
        if status_dir is None:
            return None
        record = {"name": f"{plan.fleet}/{member.name}", **member.task.record()}
        return StatusFile(status_dir / f"{member.name}.json", record)

    # Looked at here, once: a child that comes back after a crash goes on without its file.
    for file_of_member in filter(None, [status_file(member) for member in plan.processes]):
        file_of_member.begin()

    def work(member: PlanProcess, line: Lifeline) -> Ending:
        name = f"{plan.fleet}/{member.name}"
        label(name)
        return pursue(member, settings, line, name, status_file(member))

    def prepare() -> None:
        preload()
        if plan.entries:
            rehearse(plan.entries[0].task.intent, settings)
            keep_rules((entry.task.intent.symbol for entry in plan.entries), settings)

    return Fleet(plan, work, file, prepare=prepare, stop_seconds=stop_seconds).run()


def pursue(
    member: PlanProcess,
    settings: Settings,
    line: Lifeline,
    name: str,
    status_file: StatusFile | None = None,
) -> Ending:
    """One entry or exit of a plan in its own process; how it ended, as its parent is to know it."""
    common: dict[str, Any] = {
        "name": name,
        "stop": line,
        "on_move": line.tell_phase,
        "status_file": status_file,
    }
    try:
        if isinstance(member, PlanExit):
            phase = run_exit(member.task, settings, **common)
        else:
            phase = run_entry(member.task, settings, **common)
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
    from stealer.broker import rehearsal
    from stealer.scripts import function_library

    rehearsal.rehearse()
    function_library()
    needs(Role.WATCHER)
