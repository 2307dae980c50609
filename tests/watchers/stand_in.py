"""A fleet whose children do what their entry's name says, as a process: the tests of ``Fleet``.

``python -m tests.watchers.stand_in PLAN DIRECTORY``. Each child appends what it does to
``DIRECTORY/NAME.log``: ``start PID LIMIT``, then ``end``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

import click

from stealer.fence import armed
from watchers.children import Ending, Lifeline
from watchers.exit_task import ExitTask
from watchers.fleet import Fleet
from watchers.member import Backoff
from watchers.plan import PlanError, PlanProcess
from watchers.plan_file import PlanFile
from watchers.status import Phase

CRYPTO = frozenset({"BTCUSD"})


def work(directory: Path, entry: PlanProcess, line: Lifeline) -> Ending:
    """What the entry's name says: crash, fenced, raise, misconfigured, impossible, done, expired,
    stuck; anything else runs until it is stopped.
    """

    def note(text: str) -> None:
        with (directory / f"{entry.name}.log").open("a") as file:
            file.write(text + "\n")

    task = entry.task
    limit = task.limit_price if isinstance(task, ExitTask) else task.intent.limit_price
    note(f"start {os.getpid()} {limit} {line.is_set():d}")
    kind = entry.name.partition("-")[0]
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "fenced":
        with armed(0.05):
            time.sleep(10)
    if kind == "raise":
        raise RuntimeError("the test wants it so")
    if kind == "misconfigured":
        line.tell_words("Redis refused the password")
        return Ending.MISCONFIGURED
    if kind == "impossible":
        line.tell_words("the keys are missing")
        return Ending.IMPOSSIBLE
    if kind in ("done", "expired"):
        return Ending[kind.upper()]
    line.tell_phase(Phase.OPEN, "")
    while not line.wait(0.2) or kind == "stuck":
        time.sleep(0.01)
    note("end")
    return Ending.STOPPED


def main(plan: str, directory: str) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(message)s")
    file = PlanFile(Path(plan), CRYPTO)
    backoff = Backoff(first=0.1, cap=1.0, well=5.0, misconfigured=0.5, misconfigured_cap=1.0)
    try:
        fleet = Fleet(
            file.load(),
            lambda entry, line: work(Path(directory), entry, line),
            file,
            stop_seconds=1.5,
            plan_seconds=0.1,
            backoff=backoff,
        )
    except PlanError as error:
        click.echo(str(error), err=True)
        return 2
    return fleet.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
