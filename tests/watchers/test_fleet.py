"""The fleet as a real process with real children that only pretend to watch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from watchers.children import Ending, Lifeline, ThreadsAlive, ended, fork_child
from watchers.member import Backoff

pytestmark = pytest.mark.processes

#: Real seconds after which something that must happen has not happened.
DEADLINE = 20.0


def until(what: Callable[[], object], why: str) -> None:
    """Poll until *what* is true."""
    give_up = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < give_up, f"not within {DEADLINE:g} s: {why}"
        time.sleep(0.02)


class FleetProcess:
    """A stand-in fleet under test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan = directory / "plan.toml"
        self.err = directory / "stderr"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, *names: str, limit: int = 100) -> None:
        """Write the plan: one entry for each name, each with a strategy of its own."""
        self.write_text("".join(self.entry(name, limit) for name in names))

    def write_text(self, text: str) -> None:
        """As careful editors do: all at once."""
        new = self.plan.with_suffix(".new")
        new.write_text(text)
        new.replace(self.plan)

    @staticmethod
    def entry(name: str, limit: int = 100) -> str:
        strategy = name.replace("-", "_")
        return (
            f'[[entry]]\nname = "{name}"\nsymbol = "AAPL"\nstrategy = "{strategy}"\n'
            f"limit_price = {limit}\ntarget_qty = 1\n"
        )

    def start(self) -> FleetProcess:
        with self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.watchers.stand_in", self.plan, self.directory],
                stderr=err,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def said(self) -> str:
        return self.err.read_text()

    def log(self, name: str) -> list[str]:
        path = self.directory / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    def starts(self, name: str) -> list[str]:
        return [line for line in self.log(name) if line.startswith("start")]

    def child(self, name: str) -> int:
        """The process id of the entry's last child."""
        until(lambda: self.starts(name), f"{name} starts")
        return int(self.starts(name)[-1].split()[1])

    def wait(self) -> int:
        assert self.process
        return self.process.wait(DEADLINE)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetProcess]:
    fleet = FleetProcess(tmp_path)
    yield fleet
    if fleet.process and fleet.process.poll() is None:
        children = psutil.Process(fleet.pid).children()
        fleet.process.kill()
        fleet.process.wait()
        for child in children:
            if child.is_running():
                child.kill()


# ---- starting, restarting, ending


def test_what_crashed_starts_again_later_each_time(fleet: FleetProcess) -> None:
    fleet.write("crash", "raise", "runs")
    fleet.start()

    until(lambda: len(fleet.starts("crash")) >= 4, "it starts again")
    until(lambda: len(fleet.starts("raise")) >= 3, "it starts again")

    assert len(fleet.starts("runs")) == 1
    said = fleet.said()
    assert "crash: was killed by SIGKILL; starts again in" in said
    assert "raise: crashed; starts again in" in said
    assert "RuntimeError: the test wants it so" in said


def test_a_child_that_the_fence_ended_is_a_crash_and_starts_again(fleet: FleetProcess) -> None:
    fleet.write("fenced")
    fleet.start()

    until(lambda: len(fleet.starts("fenced")) >= 2, "it starts again")

    assert "fenced: was killed by SIGALRM; starts again in" in fleet.said()


def test_backoff_doubles_up_to_its_cap_and_is_spread() -> None:
    whole = Backoff(first=1, cap=60, misconfigured=60, misconfigured_cap=600, spread=lambda: 1.0)
    least = Backoff(first=1, cap=60, spread=lambda: 0.0)

    assert [whole.pause(n, misconfigured=False) for n in (1, 2, 3, 7, 5000)] == [1, 2, 4, 60, 60]
    assert [whole.pause(n, misconfigured=True) for n in (1, 2, 9)] == [60, 120, 600]
    assert least.pause(3, misconfigured=False) == 2


def test_what_ended_by_itself_is_not_started_again(fleet: FleetProcess) -> None:
    fleet.write("done-a", "done-b")

    assert fleet.start().wait() == 0
    assert len(fleet.starts("done-a")) == len(fleet.starts("done-b")) == 1


def test_an_expired_entry_makes_the_fleet_end_with_one(fleet: FleetProcess) -> None:
    fleet.write("done", "expired")

    assert fleet.start().wait() == 1


def test_a_bad_plan_starts_nothing(fleet: FleetProcess) -> None:
    fleet.write_text('[[entry]]\nsymbol = "AAPL"\n')

    assert fleet.start().wait() == 2
    assert "limit_price is missing" in fleet.said()


def test_what_cannot_work_is_said_once_and_given_up(fleet: FleetProcess) -> None:
    fleet.write("impossible-a", "impossible-b")

    assert fleet.start().wait() == 1
    assert fleet.said().count("the keys are missing (said once") == 1
    assert len(fleet.starts("impossible-a")) == 1


def test_what_only_a_person_can_mend_is_tried_again_slowly_and_said_once(
    fleet: FleetProcess,
) -> None:
    fleet.write("misconfigured-a", "misconfigured-b")
    fleet.start()

    until(lambda: len(fleet.starts("misconfigured-a")) >= 3, "it starts again")

    assert fleet.said().count("Redis refused the password (said once") == 1
    fleet.send(signal.SIGTERM)
    assert fleet.wait() == 0


# ---- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_stops_all_at_once(fleet: FleetProcess, number: signal.Signals) -> None:
    names = [f"runs-{letter}" for letter in "abcdefgh"]
    fleet.write(*names)
    fleet.start()
    children = [fleet.child(name) for name in names]

    fleet.send(number)

    assert fleet.wait() == 0
    assert all(fleet.log(name)[-1] == "end" for name in names)
    assert not any(psutil.pid_exists(child) for child in children)


def test_a_child_that_does_not_stop_is_killed_and_that_is_said(fleet: FleetProcess) -> None:
    fleet.write("stuck", "runs")
    fleet.start()
    child = fleet.child("stuck")
    fleet.child("runs")

    fleet.send(signal.SIGTERM)

    assert fleet.wait() == 1
    assert "stuck: has not stopped within 1.5 s: killed" in fleet.said()
    assert fleet.log("runs")[-1] == "end"
    assert not psutil.pid_exists(child)


def test_a_stop_while_a_crashed_one_waits_takes_back_what_that_left(fleet: FleetProcess) -> None:
    fleet.write("runs")
    fleet.start()
    os.kill(fleet.child("runs"), signal.SIGKILL)
    until(lambda: "runs: was killed by SIGKILL" in fleet.said(), "the crash is seen")

    fleet.send(signal.SIGTERM)

    assert fleet.wait() == 0
    assert fleet.log("runs")[-1] == "end"


def test_children_stop_cleanly_when_their_parent_is_killed(fleet: FleetProcess) -> None:
    fleet.write("runs", "also")
    fleet.start()
    children = [fleet.child("runs"), fleet.child("also")]

    fleet.send(signal.SIGKILL)

    fleet.wait()
    until(lambda: not any(map(psutil.pid_exists, children)), "the children end")
    assert fleet.log("runs")[-1] == fleet.log("also")[-1] == "end"


# ---- an edited plan


def test_an_edited_plan_is_followed_and_what_is_unchanged_untouched(fleet: FleetProcess) -> None:
    fleet.write("keep", "drop", "change")
    fleet.start()
    kept, dropped = fleet.child("keep"), fleet.child("drop")
    fleet.child("change")

    fleet.write_text(fleet.entry("keep") + fleet.entry("change", 90) + fleet.entry("fresh"))

    until(lambda: len(fleet.starts("change")) == 2 and fleet.starts("fresh"), "it is followed")
    until(lambda: not psutil.pid_exists(dropped), "the removed entry stops")
    assert fleet.log("drop")[-1] == "end"
    assert fleet.log("change")[1:] == ["end", fleet.starts("change")[1]]
    assert fleet.starts("change")[1].split()[2] == "90"
    assert fleet.child("keep") == kept
    assert len(fleet.starts("keep")) == 1
    assert "added fresh; removed drop; changed change" in fleet.said()


def test_a_broken_edit_is_said_once_and_changes_nothing(fleet: FleetProcess) -> None:
    fleet.write("keep")
    fleet.start()
    kept = fleet.child("keep")

    fleet.write_text("[[entry]\nsymbol = ")
    until(lambda: "the new plan is not used" in fleet.said(), "the mistake is said")
    fleet.plan.unlink()
    until(lambda: "cannot be read" in fleet.said(), "the missing file is said")
    fleet.write_text(fleet.entry("keep") + fleet.entry("fresh"))
    until(lambda: fleet.starts("fresh"), "the mended plan is followed")

    assert fleet.said().count("the new plan is not used") == 2
    assert fleet.child("keep") == kept
    assert fleet.log("keep") == fleet.starts("keep")


def test_a_renamed_entry_waits_until_the_old_one_has_left_its_slot(fleet: FleetProcess) -> None:
    fleet.write("stuck")
    fleet.start()
    fleet.child("stuck")

    fleet.write_text(fleet.entry("stuck").replace('"stuck"', '"renamed"', 1))

    until(lambda: fleet.starts("renamed"), "the new one starts")
    assert "stuck: has not stopped" in fleet.said()


def test_sighup_reads_the_plan_at_once_and_ends_nobody(fleet: FleetProcess) -> None:
    fleet.write("keep")
    fleet.start()
    kept = fleet.child("keep")
    fleet.write("keep", "fresh")

    fleet.send(signal.SIGHUP)

    until(lambda: fleet.starts("fresh"), "the new entry starts")
    assert psutil.pid_exists(kept)
    assert len(fleet.starts("keep")) == 1


# ---- the fork itself


def test_a_process_with_threads_is_not_forked() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="a-thread")
    thread.start()
    try:
        with pytest.raises(ThreadsAlive, match="a-thread"):
            fork_child(lambda line: Ending.DONE)
    finally:
        release.set()
        thread.join()


def test_a_stop_right_after_the_fork_is_not_lost() -> None:
    def body(line: Lifeline) -> Ending:
        give_up = time.monotonic() + DEADLINE
        while time.monotonic() < give_up:
            if line.wait(0.5):
                return Ending.STOPPED
        return Ending.CRASHED

    for _ in range(20):
        pid, pipe = fork_child(body)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == Ending.STOPPED
        os.close(pipe)


def test_a_stop_never_hangs_on_a_lock_that_the_interrupted_wait_holds() -> None:
    def body(line: Lifeline) -> Ending:
        os.write(told, b"!")
        while not line.wait(0):
            pass
        return Ending.STOPPED

    hear, told = os.pipe()
    for trial in range(30):
        pid, pipe = fork_child(body)
        os.read(hear, 1)
        time.sleep(trial * 0.0001)  # at another moment of the loop each time
        os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + DEADLINE
        while (status := ended(pid)) is None and time.monotonic() < give_up:
            time.sleep(0.001)
        if status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert status == Ending.STOPPED
        os.close(pipe)
    os.close(hear)
    os.close(told)
