"""The command: started as a process, stopped by a signal, and its refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from stealer.simulated_alpaca.cli import main

ROOT = Path(__file__).resolve().parents[2]


def run_to_report(*options: str) -> tuple[dict[str, object], int, str]:
    """Start the command, fetch its report, send SIGTERM: report, exit code, standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stealer.simulated_alpaca", *options],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("simulated Alpaca on http://127.0.0.1:"), line
        report = requests.get(line.split()[-1] + "/sim/report", timeout=10).json()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        return report, process.returncode, errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.processes
def test_it_announces_its_address_and_ends_cleanly() -> None:
    report, code, errors = run_to_report(
        "--cash", "5000", "--seed", "7", "--speed", "60", "--start", "2024-01-06T20:00:00Z"
    )
    assert (code, errors) == (0, "")
    assert report["account"]["cash"] == "5000"  # type: ignore[index]
    assert str(report["market_time"]).startswith("2024-01-06T2")


@pytest.mark.processes
def test_bars_give_the_default_start(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text("timestamp,symbol,high,low,close\n2024-02-03T00:00:00Z,ETHUSD,11,9,10\n")
    report, code, errors = run_to_report("--bars", str(bars))
    assert (code, errors) == (0, "")
    assert str(report["market_time"]).startswith("2024-02-03T00:00:0")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--clock", "nonsense"], "market clock 'nonsense'"),
        (["--clock", "system", "--start", "2024-01-01"], "--clock: replaces"),
        (["--start", "someday"], "someday"),
        (["--symbols", "BTCUSD,NOPE"], "no generated market for NOPE"),
        (["--cash", "much"], "not a number"),
        (["--cash", "-1"], "0 or more"),
        (["--speed", "0"], "speed"),
        (["--bars", "absent.csv"], "absent.csv: cannot be read"),
    ],
)
def test_bad_options_are_refused_with_exit_code_2(options: list[str], words: str) -> None:
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 2
    assert words in result.output


def test_a_malformed_file_is_refused_with_its_line(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text("timestamp,symbol,high,low,close\n2024-02-03,ETHUSD,1,9,10\n")
    result = CliRunner().invoke(main, ["--bars", str(bars)])
    assert result.exit_code == 2
    assert "bars.csv, line 2: high 1.0 is below low 9.0" in " ".join(result.output.split())
