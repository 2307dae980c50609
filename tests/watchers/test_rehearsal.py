"""What a fleet's parent rehearses before it forks."""

from __future__ import annotations

import socket
import time

import redis

from stealer.embedded import EmbeddedServer
from stealer.model import OrderIntent
from stealer.settings import Settings
from watchers.rehearsal import PATIENCE_SECONDS, rehearse

INTENT = OrderIntent("AAPL", "buy", 1, 100)


def test_it_asks_writes_nothing_and_leaves_no_connection(redis_server: EmbeddedServer) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    before = (client.keys("stealer:{rehearsed}*"), len(client.client_list()))
    asked = client.info("commandstats")

    rehearse(INTENT, Settings(redis_url=redis_server.url, account="rehearsed"))

    after = client.info("commandstats")
    calls = [sum(s.get(f"cmdstat_{c}", {}).get("calls", 0) for c in ("fcall", "evalsha", "eval"))
             for s in (asked, after)]  # fmt: skip
    assert calls[1] > calls[0]
    assert (client.keys("stealer:{rehearsed}*"), len(client.client_list())) == before


def test_a_ledger_that_is_away_stops_nothing() -> None:
    rehearse(INTENT, Settings(redis_url="redis://127.0.0.1:1/0"))


def test_a_ledger_that_hangs_delays_the_fleet_only_a_little() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        rehearse(INTENT, Settings(redis_url=url))
        assert PATIENCE_SECONDS <= time.monotonic() - began < 4 * PATIENCE_SECONDS
