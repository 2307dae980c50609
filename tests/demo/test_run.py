"""The demo as a stranger runs it: real processes, judged by the simulated broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BARS = ROOT.parent / "shared" / "data" / "crypto_5m_2024-01_2024-04.csv.gz"


def run_demo(tmp_path: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run without an outside Redis; its outcome and the summary's path."""
    summary = tmp_path / "summary.json"
    command = [sys.executable, "-m", "scripts.demonstration", "--json", str(summary), *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "REDIS_URL"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    return done, summary


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_the_demo_ends_well_and_says_what_happened(tmp_path: Path) -> None:
    done, file = run_demo(tmp_path, "--seconds", "12", "--watchers", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(file.read_text())
    assert summary["watchers"] == 8
    assert summary["orders_opened"] > 0
    assert (summary["cap_violations"], summary["leaked_micro"]) == (0, 0)
    assert set(summary["max_exposure_ratio"]) == {"total", "crypto"}
    wanted = {"fills", "steals", "steals_failed", "fights", "denied"}
    assert wanted <= set(summary)
    assert "cap violations 0" in done.stdout


@pytest.mark.processes
@pytest.mark.timeout(180)
@pytest.mark.skipif(not BARS.exists(), reason="the market bars are not beside this checkout")
def test_the_demo_plays_real_bars(tmp_path: Path) -> None:
    done, file = run_demo(tmp_path, "--seconds", "8", "--watchers", "8", "--bars", str(BARS))
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(file.read_text())
    assert summary["source"] == BARS.name
    assert summary["orders_opened"] > 0
    assert summary["cap_violations"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--bars", "README.md"), "README.md"),
        (("--start", "yesterday"), "yesterday"),
        (("--seconds", "nan"), "seconds"),
    ],
)
def test_bad_input_is_said_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done, file = run_demo(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not file.exists()
