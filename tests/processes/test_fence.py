"""A process that is stopped in the middle of its POST, past its trust, and then goes on.

The stop comes after the last check of the trust and before the first byte is written: the moment
that no check of the process's own can cover.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.processes.conftest import SHORT
from tests.watchers.test_fleet_end_to_end import AT_LIMIT, World

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

TRUST = float(SHORT["STEALER_TRUST_SECONDS"])

#: One attempt that stops itself within the guarded write, with or without the fence.
SENDER = """
import os, signal, sys
from contextlib import contextmanager
from stealer import fence
from stealer.connect import connect, connect_broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Entries
from stealer.model import OrderIntent
from stealer.settings import Settings

settings = Settings.from_env()
coordinator = WorkStealingCoordinator(connect(settings), settings, owner="sender")
broker = connect_broker(settings)
submit = broker.submit
def stopped_within(guard):
    @contextmanager
    def both():
        with guard():
            os.kill(os.getpid(), signal.SIGSTOP)
            yield
    return both
broker.submit = lambda order, guard: submit(order, stopped_within(guard))
options = {} if sys.argv[1] == "fenced" else {"fence": fence.unarmed}
print(Entries(coordinator, broker, **options).open(
    OrderIntent("AAPL", "buy", 10, 100, "maxdiff", 5), market_open=True))
"""


def stop_past_the_trust(world: World, kind: str) -> int:
    """Run the sender, leave it stopped longer than it may trust its launch; its exit status."""
    world.price("AAPL", AT_LIMIT)
    world.ledger.watch(["AAPL"], 60)
    world.until(lambda: world.ledger.standing("AAPL", "maxdiff").ask, "a quote")
    sender = world.run("sender", "-c", SENDER, kind)
    _, status = os.waitpid(sender.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it ended before it could stop"
    assert world.state("AAPL") == "launching"
    time.sleep(TRUST * 1.2)
    sender.send_signal(signal.SIGCONT)
    return sender.wait(30)


def test_with_the_fence_a_stopped_process_dies_instead_of_sending_late(world: World) -> None:
    assert stop_past_the_trust(world, "fenced") == -signal.SIGALRM

    assert world.orders("AAPL", "all") == []
    world.until(lambda: world.state("AAPL") == "none", "the keeper frees what it held")
    assert world.orders("AAPL", "all") == []


def test_without_it_the_same_process_sends_late(world: World) -> None:
    """The control: what the fence is for."""
    assert stop_past_the_trust(world, "bare") == 0

    assert len(world.orders("AAPL", "all")) == 1
