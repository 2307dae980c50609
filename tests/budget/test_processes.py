"""Two processes and one budget, against the simulated Alpaca with a small limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from stealer.broker.calls import Call
from stealer.broker.interface import BrokerBudgetSpent
from stealer.connect import connect_broker, connect_budget
from stealer.embedded import EmbeddedServer
from stealer.evidence import Outcome
from stealer.keyspace import Keyspace
from stealer.settings import Settings

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

ROOT = Path(__file__).parents[2]
LIMIT = 30

#: When told to, reads as fast as it can until it was refused often; says what became of its reads.
READER = """
import json, sys
from stealer.broker.client import preload
from stealer.broker.interface import BrokerBudgetSpent, BrokerRateLimited
from stealer.connect import connect_broker, connect_budget
from stealer.settings import Settings
settings = Settings.from_env()
budget = connect_budget(settings, who=sys.argv[1])
broker = connect_broker(settings, budget, patience=0.0)
preload()
print("ready", flush=True)
sys.stdin.readline()
said = {"read": 0, "refused": 0, "by_broker": 0}
while said["refused"] < 50:
    try:
        broker.order_by_client_id("none-such")
        said["read"] += 1
    except BrokerBudgetSpent:
        said["refused"] += 1
    except BrokerRateLimited:
        said["by_broker"] += 1
print(json.dumps(said))
"""


@pytest.fixture
def simulator() -> Iterator[str]:
    command = [sys.executable, "-m", "stealer.simulated_alpaca", "--rate-limit", str(LIMIT)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert "http://" in line, line
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=10)


def test_two_processes_share_one_limit_and_cancels_go_while_reads_are_refused(
    simulator: str, redis_server: EmbeddedServer
) -> None:
    shared = {
        "REDIS_URL": redis_server.url,
        "ALPACA_URL": simulator,
        "STEALER_ACCOUNT": "sharing",
        "APCA_API_KEY_ID": "PKSHAREDSHARED",
        "APCA_API_SECRET_KEY": "secretsecretsecret",
    }
    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    client.flushall()
    keys = Keyspace("sharing")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | shared | {"PYTHONPATH": str(ROOT)},
        )
        for name in ("one", "two")
    ]
    assert [reader.stdout and reader.stdout.readline() for reader in readers] == ["ready\n"] * 2
    for reader in readers:
        assert reader.stdin
        reader.stdin.write("go\n")
        reader.stdin.flush()
    said = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]

    # A window may have ended meanwhile, so more than one limit may have been read.
    assert [one["by_broker"] for one in said] == [0, 0]
    assert all(one["read"] for one in said)
    assert client.hget(keys.counters, "api_429_total") is None

    settings = Settings.from_env(shared)
    budget = connect_budget(settings, who="canceler")
    broker = connect_broker(settings, budget, patience=0.0)
    while True:  # a new minute may have begun
        try:
            broker.order_by_client_id("none-such")
        except BrokerBudgetSpent:
            break
    for _ in range(2):
        result = broker.cancel(str(uuid4()))
        assert (result.outcome, result.not_found) == (Outcome.REJECTED, True), result
    assert client.hget(keys.counters, "api_429_total") is None
    assert int(client.hget(keys.counters, "api_calls_total:cancel")) == 2
    client.close()


def test_somebody_else_with_the_same_keys_is_noticed_before_the_broker_refuses(
    simulator: str, redis_server: EmbeddedServer
) -> None:
    """A stranger reads as much as we do; we stop at what the headers leave."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    settings = Settings(
        redis_url=redis_server.url,
        alpaca_url=simulator,
        alpaca_key_id="PKSHAREDSHARED",
        alpaca_secret_key="secretsecretsecret",
    )
    ours = connect_broker(settings, connect_budget(settings, who="us"), patience=0.0)
    stranger = connect_broker(settings)
    read = 0
    try:
        while read < 10 * LIMIT:
            ours.order_by_client_id("none-such")
            stranger.order_by_client_id("none-such")
            read += 1
    except BrokerBudgetSpent:
        pass  # a refusal by the broker, of either, would not be caught
    assert 0 < read < LIMIT
    left = connect_budget(settings, who="looking")
    assert left.take(Call.LOOK_UP) > 0
