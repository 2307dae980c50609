"""Where the answer goes: a full disk, and nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from stealer.embedded import EmbeddedServer

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

#: What answers in tables, in JSON, by itself, and before there is a command.
COMMANDS = ("stealer status", "stealer status --json", "stealer version", "stealer --help",
            "watchers list", "watchers --help")  # fmt: skip


@pytest.fixture(autouse=True)
def _empty(redis_server: EmbeddedServer) -> None:
    """The server is shared with tests that leave it as they like."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()


def ended(command: str, to: str, server: EmbeddedServer) -> subprocess.CompletedProcess[str]:
    """What became of *command* with its output redirected by the shell."""
    return subprocess.run(
        f"{Path(sys.executable).parent}/{command} {to}",
        shell=True,
        env=os.environ | {"REDIS_URL": server.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_for_which_there_is_no_room_is_a_sentence(
    command: str, unbuffered: str, redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = ended(command, ">/dev/full", redis_server)
    program = command.split(" ", 1)[0]
    assert done.returncode == 1, done.stderr
    assert done.stderr == (f"{program}: the answer cannot be written: No space left on device\n")


@pytest.mark.parametrize("command", ["stealer status", "stealer status --json", "watchers list"])
def test_an_answer_for_which_there_is_no_output_is_a_sentence(
    command: str, redis_server: EmbeddedServer
) -> None:
    done = ended(command, ">&-", redis_server)
    assert done.returncode == 1, done.stderr
    assert "the answer cannot be written: Bad file descriptor\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_room_for_the_sentence_either_it_still_ends_as_failed(
    redis_server: EmbeddedServer,
) -> None:
    assert ended("stealer status", ">/dev/full 2>&1", redis_server).returncode == 1
