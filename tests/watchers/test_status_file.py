"""The JSON file of one watcher: whole at every moment, private, and never in the watcher's way."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.watchers.bench import Bench
from watchers.cli import main
from watchers.status import REPORT_SECONDS, Phase
from watchers.status_file import StatusFile, StatusFileError

SECRET = "hunter2-hunter2"


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def open_position(path: Path) -> Result:
    # Nobody listens at this address: a file that cannot be used must be said before that matters.
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "APCA_API_KEY_ID": "key"}
    env |= {"APCA_API_SECRET_KEY": SECRET, "STEALER_ACCOUNT": "paper"}
    arguments = ["open-position", "AAPL", "--limit-price", "100", "--target-qty", "1"]
    return CliRunner().invoke(main, [*arguments, "--config-path", str(path)], env=env)


def test_task_and_status_follow_the_watcher_to_its_end(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "apple.json"
    file = StatusFile(path, {"symbol": "AAPL", "target_qty": "10"})
    file.begin()
    assert content(path) == {
        "task": {"symbol": "AAPL", "target_qty": "10"},
        "status": {},
        "ended": None,
    }
    stop = False
    watcher = bench.open(status_file=file, should_stop=lambda: stop)
    assert (content(path)["status"]["phase"], content(path)["ended"]) == ("open", None)
    seen = content(path)["status"]["seen"]
    bench.clock.advance(REPORT_SECONDS + 1)
    watcher.step()
    assert content(path)["status"]["seen"] > seen, "refreshed with each report"

    stop = True
    watcher.run()

    assert (content(path)["status"]["phase"], content(path)["ended"]) == ("stopped", "stopped")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["apple.json"]


def test_a_reader_never_sees_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "apple.json"
    file = StatusFile(path, {})
    file.write({"phase": "open"})
    seen = []
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        seen.append((content(path)["status"], content(self)["status"], self.parent))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    file.write({"phase": "done"}, "done")

    assert seen == [({"phase": "open"}, {"phase": "done"}, tmp_path)]


def test_trouble_is_said_once_and_the_watcher_goes_on(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    watcher = bench.open(status_file=StatusFile(directory / "apple.json", {}))
    (directory / "apple.json").unlink()
    directory.rmdir()

    for number in range(3):
        watcher.reporter.enter(Phase.BLOCKED, f"test {number}", "")

    said = [r.message for r in caplog.records if "cannot be written any more" in r.message]
    assert len(said) == 1
    assert bench.desk.client.hlen(bench.desk.keys.watchers) == 1
    directory.mkdir()
    watcher.reporter.enter(Phase.OPEN, "", "")
    assert content(directory / "apple.json")["status"]["phase"] == "open"


@pytest.mark.parametrize("place", ["missing/apple.json", ".", "plan.toml", "other.json"])
def test_a_path_that_cannot_be_used_is_said_before_anything_else(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "plan.toml").write_text('fleet = "morning"')
    (tmp_path / "other.json").write_text('{"task": 1}')

    result = open_position(tmp_path / place)

    assert result.exit_code == 2, result.output
    assert str(tmp_path) in result.stderr
    assert (tmp_path / "plan.toml").read_text() == 'fleet = "morning"'
    assert (tmp_path / "other.json").read_text() == '{"task": 1}'


def test_a_file_of_an_earlier_run_is_replaced_and_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "apple.json"
    StatusFile(path, {"symbol": "MSFT"}).write({}, "done")

    result = open_position(path)

    assert result.exit_code == 3, result.output
    assert content(path)["task"]["symbol"] == "AAPL"
    assert SECRET not in path.read_text()


def test_a_device_or_pipe_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    """/dev/null looks empty, and root could rename over it; to open a pipe would wait for ever."""
    path = tmp_path / "apple.json"
    path.symlink_to(os.devnull)

    result = open_position(path)

    assert result.exit_code == 2, result.output
    assert "regular file" in result.stderr
    assert path.is_symlink()


def test_a_link_in_the_place_of_the_file_beside_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / f".apple.json.{os.getpid()}").symlink_to(target)

    StatusFile(tmp_path / "apple.json", {}).begin()

    assert target.read_text() == "precious"
    assert content(tmp_path / "apple.json")["ended"] is None


def test_a_plan_with_a_directory_that_cannot_be_used_starts_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[entry]]\nsymbol = "AAPL"\nlimit_price = 100\ntarget_qty = 1\n')
    env = {"APCA_API_KEY_ID": "key", "APCA_API_SECRET_KEY": SECRET}
    caplog.set_level(logging.INFO)

    arguments = ["run", str(plan), "--status-dir", str(tmp_path / "missing")]
    result = CliRunner().invoke(main, arguments, env=env)

    assert result.exit_code == 2, result.output
    assert "missing/AAPL-buy-maxdiff.json: cannot be written" in result.stderr
    with pytest.raises(StatusFileError):
        StatusFile(tmp_path / "missing" / "x", {}).begin()
