"""What the model found in the product, shown on the real scripts. See docs/model.md."""

from __future__ import annotations

from scripts.simulation.memory_redis import MemoryRedis, MemoryServer
from stealer.model import Verdict
from tests.coordination.desk import Desk


def test_a_thief_whose_victim_filled_asks_for_the_brokers_figure_again() -> None:
    """The ledger has room for it; the broker's own buying power has none left."""
    desk = Desk(MemoryRedis(MemoryServer(lambda: 1_704_300_000_000_000))).open_shop()
    desk.account(10_000, power=4_000)
    victim = desk.open("AAPL", 1.0, usd=2_000)
    desk.open("MSFT", 4.5, usd=2_000)
    stolen = desk.acquire("NVDA", 5.0, usd=2_000)
    assert (stolen.outcome, [v.symbol for v in stolen.victims]) == (Verdict.STEAL, ["AAPL"])
    assert stolen.claim
    desk.fill(victim)  # its buying power became a position: nothing is given back
    assert desk.coordinator.topup(stolen.claim).outcome is Verdict.DENIED
