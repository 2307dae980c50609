"""What must hold after every step of a random history: invariants 1 to 7 of DESIGN, part 4."""

from __future__ import annotations

from typing import Any

import redis
from hypothesis.stateful import RuleBasedStateMachine, invariant

from stealer.coordinator import WorkStealingCoordinator
from stealer.replies import AccountFigures
from stealer.settings import Settings
from tests.coordination.broker import Broker, Order
from tests.coordination.desk import PLENTY, micro
from tests.coordination.oracle import Oracle
from tests.coordination.words import Held, Pools


class Judged(RuleBasedStateMachine):
    """Two hosts on one account, a broker with its own truth, an oracle, and the judgement."""

    oracle: Oracle

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self.client: Any = client
        client.flushall()
        plain = Settings(crypto_fee_pct=0.0)  # the oracle counts whole orders
        self.hosts = [WorkStealingCoordinator(client, plain, owner=name) for name in ("one", "two")]
        self.keys = self.hosts[0].keys
        self.broker = Broker()
        self.strays = self.records = 0
        self.begun = 0

    @invariant()
    def the_ledger_is_what_the_oracle_says(self) -> None:
        """5: figures and claims are equal; 2: one claim per slot; 4: every eviction has a cause."""
        fields = self.client.hgetall(self.keys.ledger)
        charged = self.oracle.charged()
        assert {pool: int(fields[f"charged_{pool}"]) for pool in charged} == charged
        claims = self.hosts[0].claims()
        assert set(claims) == set(self.oracle.claims)
        for claim_id, held in self.oracle.claims.items():
            claim = claims[claim_id]
            seen = (claim.state.value, claim.filled, claim.absorbed, claim.heir)
            assert seen == (held.state, held.filled, held.absorbed, held.heir), claim
            if held.state == "reserved":
                assert claim.fund == held.fund["total"], claim
                assert claim.pending == len(self.oracle.pending(held)), claim
            if held.state == "evicting":
                assert claim.cause, claim
        slots = self.client.hgetall(self.keys.slots)
        assert slots == self.oracle.slots()

    @invariant()
    def nothing_at_the_broker_is_uncounted(self) -> None:
        """1: what is at stake is never more than what the ledger holds against it."""
        truth, charged = self.broker.truth(), self.oracle.charged()
        for pool, amount in truth.items():
            assert amount <= self.oracle.positions[pool] + charged[pool], pool

    @invariant()
    def one_live_order_per_slot(self) -> None:
        """2, at the broker."""
        live = [order.claim.slot for order in self.broker.orders.values() if order.live]
        own = [slot for slot in live if not slot.endswith("|stray")]
        assert len(own) == len(set(own))

    @invariant()
    def the_record_is_complete(self) -> None:
        """6: each steal once in the stream, and the counters equal it."""
        steals = [fields for _, fields in self.client.xrange(self.keys.steals)]
        told = [(fields["thief"], sorted(fields["victims"].split())) for fields in steals]
        assert told == [(thief, sorted(victims)) for thief, victims in self.oracle.steals]
        assert len({fields["steal"] for fields in steals}) == len(steals)
        counters = self.client.hgetall(self.keys.counters)
        assert int(counters.get("work_steal_success_total", 0)) == len(steals)
        fights = sum(int(fields["fights"]) for fields in steals)
        assert int(counters.get("work_steal_fights_detected", 0)) == fights
        assert fights == self.oracle.fight_count

    @invariant()
    def memory_holds(self) -> None:
        """7: the keys that bar a steal are there exactly as long as they must be."""
        now, expected = self.oracle.now, set()
        for symbol, until in self.oracle.cooldowns.items():
            if now < until:
                expected.add(self.keys.of("cooldown", symbol))
        for (victim, thief), until in self.oracle.bars.items():
            if now < until:
                said = str(self.client.get(self.keys.of("cooldown", victim)))
                assert f"stolen by {thief} (" in said
        for pair, until in self.oracle.fights.items():
            if now < until:
                expected.add(self.keys.of("fight", *pair))
        found = set()
        for kind in ("cooldown", "fight"):
            found |= set(self.client.scan_iter(f"{self.keys.prefix}:{kind}:*"))
        assert found == expected

    # ---- events that the end of a history needs as well

    def claim(self, held: Held) -> Any:
        found = self.hosts[0].claim(held.id)
        assert found
        return found

    def close(self, order: Order) -> None:
        """The broker says how an order ended; only the first time it matters."""
        held, report = order.claim, self.broker.report(order)
        known = self.oracle.claims.get(held.id) is held and held.state != "closed"
        filled = order.cost(order.filled)
        assert self.hosts[0].close(held.id, report) == (held.need - filled if known else 0)
        if known:
            self.oracle.close(held, filled)

    def publish(self, limits: Pools, held: Pools) -> None:
        power = micro(PLENTY)
        figures = AccountFigures(
            *(limits["total"], limits["crypto"], held["total"], held["crypto"], 0, 0),
            *(power, power),
        )
        self.hosts[0].publish_account(figures, sequence=self.begun)
        self.oracle.publish(self.begun, limits, held)
        self.begun = 0

    def teardown(self) -> None:
        """5: when all is closed and seen as position, nothing is left of it."""
        if not hasattr(self, "oracle"):
            return
        for held in [c for c in self.oracle.claims.values() if c.state == "reserved"]:
            self.hosts[0].abort(self.claim(held))
            self.oracle.end(held)
        for held in [c for c in self.oracle.claims.values() if c.state == "launching"]:
            if held.id not in self.broker.orders:
                self.hosts[0].unlaunch_as_keeper(held.id, 0, "the end")
                self.oracle.end(held)
        for order in self.broker.orders.values():
            order.status = order.status if not order.live else "canceled"
            self.close(order)
        self.begun = self.hosts[0].begin_snapshot(lag_ms=0)
        self.oracle.begin(self.begun, 0)
        zero = {"total": 0, "crypto": 0}
        self.publish(zero, self.broker.positions(self.oracle.now, 0, True))
        assert not self.oracle.claims
        self.the_ledger_is_what_the_oracle_says()
        assert self.client.hmget(self.keys.ledger, "charged_total", "charged_crypto") == ["0", "0"]
        live = ("slots", "claims", "open", "heirless", "deadlines", "beats", "unabsorbed")
        assert [name for name in live if self.client.exists(getattr(self.keys, name))] == []
