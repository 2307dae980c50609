"""The whole as an operator runs it, for a short time; and bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def chaos(tmp_path: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    summary = tmp_path / "summary.json"
    command = [sys.executable, "-m", "scripts.chaos_run", "--json", str(summary), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=390, check=False
    )
    return done, summary


@pytest.mark.processes
@pytest.mark.real_server
@pytest.mark.timeout(400)
def test_half_a_minute_of_faults_breaks_nothing(tmp_path: Path) -> None:
    done, file = chaos(
        tmp_path,
        *("--minutes", "0.5", "--watchers", "10", "--every", "1.5"),
        *("--topology", "single", "--seed", "11"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(file.read_text())
    assert summary["ok"] is True
    (run,) = summary["runs"]
    assert sum(run["actions"].values()) >= 10
    assert run["orders"] > 10
    assert (run["cap_violations"], run["leaked_micro"], run["duplicate_orders"]) == (0, 0, 0)
    assert run["cancels_judged"] > 0
    assert run["cancels_judged"] + run["cancels_excused"] <= run["cancels"]
    assert run["tracebacks"] == {}
    assert run["flush_drill"]["live_before"] == 10
    assert (run["flush_drill"]["lost"], run["flush_drill"]["doubled"]) == (0, 0)
    assert run["recoveries"]["keeper killed -> another leads"]["count"] >= 1
    assert sum(run["watchers_by_state"].values()) == 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--only", "earthquake"), "earthquake"),
        (("--only", "failover", "--topology", "single"), "topology"),
        (("--minutes", "nan"), "minutes"),
        (("--watchers", "3"), "watchers"),
        (("--every", "0"), "every"),
    ],
)
def test_bad_input_is_said_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done, file = chaos(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not file.exists()
