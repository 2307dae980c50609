"""The embedded server: found, started with our redis.conf, killed, restarted; failures told."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import psutil
import pytest
import redis

from stealer import embedded
from stealer.embedded import EmbeddedServer, EmbeddedServerError, find_binary, server_url
from tests.conftest import FAST

pytestmark = pytest.mark.real_server


@pytest.fixture(autouse=True)
def _need_a_server(redis_server: EmbeddedServer) -> None:
    """Skip, or fail in CI, where no server can be had."""


def client_of(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_a_server_runs_with_our_configuration(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server, client_of(server) as client:
        expected = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "protected-mode": "yes",
            "save": "",
            "busy-reply-threshold": "1000",
        }
        assert {name: client.config_get(name)[name] for name in expected} == expected
        assert client.config_get("bind")["bind"].split() == ["127.0.0.1", "-::1"]
        assert client.config_get("dir")["dir"] == str(tmp_path)
        assert client.info("server")["process_id"] == server.pid


def test_the_packaged_configuration_is_the_one_at_the_top() -> None:
    top = Path(__file__).parent.parent / "redis.conf"
    assert embedded.REDIS_CONF.read_text() == top.read_text()


def test_a_killed_server_restarts_with_its_data_on_the_same_port(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, extra=FAST) as server:
        port, first = server.port, server.pid
        with client_of(server) as client:
            client.set("granted", "yes")
            run_id = client.info("server")["run_id"]
        server.kill()
        with pytest.raises(EmbeddedServerError, match="not running"):
            _ = server.pid
        server.restart()
        assert (server.port, server.pid != first) == (port, True)
        with client_of(server) as client:
            assert client.get("granted") == "yes"
            assert client.info("server")["run_id"] != run_id


def test_a_stopped_server_is_gone_and_stopping_again_does_nothing(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, extra=FAST) as server:
        pid = server.pid
        server.stop()
        server.stop()
        server.kill()
    assert not psutil.pid_exists(pid)


def test_a_server_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.05)
    with EmbeddedServer.start(tmp_path, extra=FAST) as server:
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


def test_ctrl_c_does_not_reach_the_server(redis_server: EmbeddedServer) -> None:
    assert os.getpgid(redis_server.pid) != os.getpgrp()


def test_a_taken_port_is_told_with_the_servers_last_words(redis_server: EmbeddedServer) -> None:
    other = redis_server.directory / "second"
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended with status 1 .*already in use"):
        EmbeddedServer.start(other, port=redis_server.port)
    with client_of(redis_server) as client:  # the first one was not taken for the second
        assert client.ping()


def test_a_free_port_lost_to_someone_else_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: EmbeddedServer
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    ports = iter([redis_server.port, free])
    monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
    with EmbeddedServer.start(tmp_path, extra=FAST) as server:
        assert server.port == free


def test_a_bad_option_is_told_with_the_servers_last_words(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"(?s)status 1 .*maxmemory-policy"):
        EmbeddedServer.start(tmp_path, extra=("--maxmemory-policy", "nonsense"))


def test_a_server_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = tmp_path / "mute-server"
    mute.write_text("#!/bin/sh\necho starting\nexec sleep 60\n")
    mute.chmod(0o755)
    monkeypatch.setattr(embedded, "find_binary", lambda: mute)
    monkeypatch.setattr(embedded, "START_SECONDS", 0.3)
    with pytest.raises(EmbeddedServerError, match=r"(?s)did not answer in 0.3 s .*starting"):
        EmbeddedServer.start(tmp_path / "data")
    children = psutil.Process().children()
    assert not [child for child in children if str(mute) in " ".join(child.cmdline())]


def test_a_server_with_a_password_counts_as_started(tmp_path: Path) -> None:
    with (
        EmbeddedServer.start(tmp_path, extra=(*FAST, "--requirepass", "secret")) as server,
        redis.Redis(port=server.port, password="secret") as client,
    ):
        assert client.ping()


def test_an_installed_server_comes_before_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("valkey-server", "redis-server"):
        program = tmp_path / name
        program.touch(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_binary() == program


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"install redis-server .* REDIS_URL"):
        find_binary()


def test_redis_url_is_used_instead_of_starting_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_url(tmp_path, environ={"REDIS_URL": "redis://elsewhere:1/0"}) as url:
        assert url == "redis://elsewhere:1/0"
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("REDIS_URL", "")
    with server_url(tmp_path, extra=FAST) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
