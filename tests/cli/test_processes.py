"""The command as an operator starts it: exit codes, no traceback, quick to start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from stealer.embedded import EmbeddedServer

pytestmark = pytest.mark.processes


def stealer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "HOME")}
    return subprocess.run(
        [sys.executable, "-m", "stealer.cli", *arguments],
        env={**keep, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_sentence(result: subprocess.CompletedProcess[str], code: int, word: str) -> None:
    assert result.returncode == code, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert word in result.stderr


def test_redis_down() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{probe.getsockname()[1]}/0"
        result = stealer("status", REDIS_URL=url)
    one_sentence(result, 3, "cannot be reached")
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "word"),
    [
        (("status",), {"WORK_STEALING_COOLDOWN": "soon"}, "WORK_STEALING_COOLDOWN"),
        (("status", "--account", "a b"), {}, "account"),
        (("status", "--redis-url", "http://x"), {}, "redis"),
        (("forecasts", "set", "AAPL", "inf"), {}, "pnl"),
    ],
)
def test_bad_settings_and_input(
    arguments: tuple[str, ...], environment: dict[str, str], word: str
) -> None:
    one_sentence(stealer(*arguments, **environment), 2, word)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A server with a password and a user who may not run scripts; its host and port."""
    users = ["user", "reader", "on", ">pw", "~*", "+@all", "-@scripting"]
    extra = ("--requirepass", "right", "--appendonly", "no", "--loglevel", "warning")
    with EmbeddedServer.start(tmp_path, extra=extra) as server:
        client = redis.Redis(port=server.port, password="right")
        with client:
            client.execute_command("ACL", "SETUSER", *users[1:])  # type: ignore[no-untyped-call]
        yield f"127.0.0.1:{server.port}"


@pytest.mark.real_server
def test_wrong_password_and_missing_rights(guarded: str) -> None:
    wrong = stealer("status", REDIS_URL=f"redis://:wrong@{guarded}/0")
    one_sentence(wrong, 3, "password")
    assert "wrong@" not in wrong.stderr
    one_sentence(stealer("status", REDIS_URL=f"redis://{guarded}/0"), 3, "password")
    one_sentence(stealer("halt", REDIS_URL=f"redis://reader:pw@{guarded}/0"), 3, "right")
    assert stealer("status", REDIS_URL=f"redis://:right@{guarded}/0").returncode == 0


@pytest.mark.real_server
def test_json_is_json_and_a_missing_broker_key_is_a_setting(redis_server: EmbeddedServer) -> None:
    result = stealer("--json", "status", REDIS_URL=redis_server.url, STEALER_ACCOUNT="fresh")
    assert json.loads(result.stdout)["account"] == "fresh"
    assert result.stderr == ""


def test_help_and_completion_import_no_command_and_no_heavy_library() -> None:
    code = (
        "import sys\nfrom stealer.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'redis', 'alpaca', 'rich', 'requests', 'stealer.settings'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    shown = stealer(_STEALER_COMPLETE="bash_complete", COMP_WORDS="stealer can", COMP_CWORD="1")
    assert "candidates" in shown.stdout


@pytest.mark.real_server
def test_no_reading_command_loads_alpaca(redis_server: EmbeddedServer) -> None:
    code = (
        "import sys\nfrom stealer.cli import main\n"
        "for name in ['status', 'orders', 'candidates', 'cooldowns', 'fights', 'steals']:\n"
        "    main([name, '--redis-url', sys.argv[1]], standalone_mode=False)\n"
        "assert 'alpaca' not in sys.modules and 'requests' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, redis_server.url], check=True, capture_output=True)


def test_the_paths_and_versions_that_scripts_ask_for() -> None:
    path = Path(stealer("redis-conf").stdout.strip())
    assert path.name == "redis.conf"
    assert path.exists()
    assert "stealer" in json.loads(stealer("version", "--json").stdout)
    assert "Usage: stealer simulated-alpaca" in stealer("simulated-alpaca", "--help").stdout
    assert "_STEALER_COMPLETE" in stealer("completion", "bash").stdout
    assert stealer("no-such-command").returncode == 2
