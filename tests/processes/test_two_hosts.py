"""Two hosts, each a network namespace of its own, share one account."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chaos_run.hosts import HUB, Network, NoNamespaces, network
from stealer.embedded import EmbeddedServer
from tests.conftest import FAST
from tests.processes.test_kills import nothing_is_left
from tests.watchers.test_fleet_end_to_end import AT_LIMIT, AWAY, World

pytestmark = [pytest.mark.processes, pytest.mark.real_server]


class TwoHosts(World):
    """Redis, the broker and a keeper at the hub; fleet alpha on one host, beta on the other."""

    def __init__(self, net: Network, server: EmbeddedServer, directory: Path) -> None:
        self.redis_url = server.url.replace("127.0.0.1", HUB)
        self.host_of = dict(zip(("alpha", "beta"), net.hosts, strict=True))
        super().__init__(server, directory)

    def _simulator(self, clock: str) -> str:
        options = ("--cash", "10000", "--rate-limit", "0", "--symbols", "AAPL,MSFT")
        module = ("-m", "stealer.simulated_alpaca", "--host", HUB, "--clock", clock)
        process = subprocess.Popen([sys.executable, *module, *options], stdout=subprocess.PIPE)
        self.processes["simulator"] = process
        assert process.stdout
        return process.stdout.readline().decode().split()[-1]

    def run(self, name: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        host = self.host_of.get(name)
        inside = ["ip", "netns", "exec", host] if host else []
        env = self.env | {"REDIS_URL": self.redis_url}
        with (self.directory / f"{name}.err").open("ab") as err:
            process = subprocess.Popen([*inside, sys.executable, *arguments], env=env, stderr=err)
        self.processes[name] = process
        return process


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoHosts]:
    try:
        with network() as net:
            everywhere = ("--bind", "0.0.0.0", "--protected-mode", "no")  # of the hub only
            with EmbeddedServer.start(tmp_path / "redis", extra=(*FAST, *everywhere)) as server:
                world = TwoHosts(net, server, tmp_path)
                yield world
                world.close()
    except NoNamespaces as error:
        pytest.skip(f"no network namespaces here: {error}")


def test_fleets_on_two_hosts_steal_from_each_other_and_both_honour_one_cooldown(
    world: TwoHosts,
) -> None:
    apple = {"symbol": "AAPL", "target_qty": 150, "forecast_pnl": 1}
    world.plan("alpha", apple)
    world.plan("beta", {"symbol": "MSFT", "target_qty": 100, "forecast_pnl": 5})
    world.price("AAPL", AT_LIMIT)
    world.price("MSFT", AWAY)
    world.fleet("alpha")
    world.until(lambda: world.state("AAPL") == "open", "alpha opens on its host")
    world.fleet("beta")
    owner = world.claim("AAPL")
    assert owner
    assert owner.owner.endswith("alpha/AAPL-buy-maxdiff")
    world.price("AAPL", AWAY)
    world.until(lambda: (world.ledger.standing("AAPL", "maxdiff").ask or 0) >= AWAY, "the quote")

    # beta, on the other host, steals from alpha
    world.price("MSFT", AT_LIMIT)
    world.until(lambda: world.state("MSFT") == "open", "beta steals")
    assert [(s["thief"], s["victims"]) for s in world.steals()] == [("MSFT", "AAPL")]
    assert [o["symbol"] for o in world.orders()] == ["MSFT"]

    # alpha is worth far more now, and the one cooldown keeps it from stealing back
    world.plan("alpha", apple | {"forecast_pnl": 50})
    world.price("MSFT", AWAY)
    world.price("AAPL", AT_LIMIT)
    world.until(lambda: "steal_back" in world.decision("AAPL"), "alpha is barred")
    assert world.state("MSFT") == "open"
    cooling = list(world.client.scan_iter(f"{world.ledger.keys.prefix}:cooldown*"))
    assert [str(key).rsplit(":", 1)[1] for key in cooling] == ["AAPL"]

    # ... and once an operator ends it, alpha steals from beta across the hosts
    world.client.delete(*cooling)
    world.until(lambda: world.state("AAPL") == "open", "alpha steals back")
    assert [s["victims"] for s in world.steals()] == ["AAPL", "MSFT"]

    assert world.stop("alpha") == world.stop("beta") == 0
    world.until(lambda: world.ledger.claim_ids() == [], "every claim is gone")
    nothing_is_left(world)
