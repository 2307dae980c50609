"""`stealer doctor` as an operator calls it, and `stealer acl`, and what redis.conf has of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from redis.backoff import NoBackoff
from redis.retry import Retry

from stealer.access import Role, user_line
from stealer.cli.app import main
from stealer.cli.context import App
from stealer.embedded import REDIS_CONF
from tests.doctor.conftest import Ward
from tests.doctor.test_checks import Account
from tests.security.conftest import Guarded


def doctor(client: Any, *words: str, broker: Any = None) -> Result:
    app = App(connect=lambda settings: client, broker=lambda settings: broker or Account())
    return CliRunner().invoke(main, ["doctor", *words], obj=app, catch_exceptions=False)


@pytest.mark.real_server
def test_exit_codes_and_json(ward: Ward) -> None:
    well = doctor(ward.client, "--json")
    assert well.exit_code == 0, well.output
    told = json.loads(well.stdout)
    assert told["healthy"] is True
    assert {f["level"] for f in told["findings"]} == {"ok", "warning"}
    assert doctor(ward.client, "--strict").exit_code == 1
    ward.client.delete(ward.ledger.keys.keeper)
    unwell = doctor(ward.client)
    assert unwell.exit_code == 1
    assert "failure  keeper       no keeper holds the lease" in unwell.output
    assert "do: start `stealer keeper`" in unwell.output
    assert unwell.output.rstrip().splitlines()[-1].startswith("1 failure, ")


def test_without_redis_it_says_so_and_looks_at_the_rest() -> None:
    result = doctor(redis.Redis(port=1, retry=Retry(NoBackoff(), 0)))
    assert result.exit_code == 1
    assert "failure  redis        Redis cannot be reached" in result.output
    assert "ok       broker       answers" in result.output


def acl(*words: str) -> Result:
    return CliRunner().invoke(main, ["acl", *words], catch_exceptions=False)


def test_passwords_are_shown_once_beside_their_hashes() -> None:
    result = acl("--account", "mine")
    assert result.exit_code == 0
    passwords = [line.split()[1] for line in result.stderr.splitlines() if line.startswith("mine-")]
    assert len(set(passwords)) == 4
    for line, password in zip(result.stdout.splitlines(), passwords, strict=True):
        assert password not in line
        assert f"#{hashlib.sha256(password.encode()).hexdigest()}" in line.split()
    assert acl("--account", "mine").stderr != result.stderr


@pytest.mark.real_server
def test_the_lines_make_users_that_can_log_in(guarded: Guarded) -> None:
    for name, made in json.loads(acl("--json").stdout).items():
        guarded.admin.execute_command("ACL", "SETUSER", name, "reset", *made["line"].split()[2:])
        with redis.Redis(
            port=guarded.server.port, username=name, password=made["password"]
        ) as client:
            assert client.ping()


def test_redis_conf_has_the_users_that_the_scripts_need() -> None:
    """When this fails, put the lines of `stealer acl --account paper --without-passwords` there."""
    lines = [line for line in REDIS_CONF.read_text().splitlines() if line.startswith("user ")]
    assert lines == [user_line(role, "paper", None) for role in Role]
    assert acl("--account", "paper", "--without-passwords").stdout.splitlines() == lines
    assert all(" off resetpass " in line for line in lines)
