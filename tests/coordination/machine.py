"""Random histories of one account: every step is judged by the oracle and by the invariants."""

from __future__ import annotations

import secrets
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from stealer.errors import Refused
from tests.coordination.feeds import (
    LIMITS,
    SHORT_UNIT,
    SLOTS,
    UNIT,
    Feeds,
    books,
    picks,
    pnls,
    thieves,
)
from tests.coordination.oracle import COOLDOWN_MS, Oracle
from tests.coordination.words import Held, Wish


class Desks(Feeds):
    """Two hosts on one account, with watchers that ask, steal, launch and give up."""

    @initialize(
        limit=st.sampled_from(LIMITS),
        book=st.lists(st.tuples(books, st.integers(1, 4)), min_size=5, max_size=len(SLOTS) - 2),
    )
    def open_shop(self, limit: int, book: list[tuple[Fraction, int]]) -> None:
        """A day that begins with open orders, so that capacity is soon short."""
        self.set_clock()
        self.hosts[0].certify()
        self.oracle = Oracle(self.clock())
        self.hosts[0].publish_session(True, 0)
        self.snapshot(limit, 60, True)
        for slot, (pnl, units) in zip(SLOTS, book, strict=False):
            self.acquire(slot, units, pnl, "normal", False, 0, True, "far")

    # ---- watchers

    @rule(
        slot=st.sampled_from(SLOTS),
        units=st.integers(1, 12),
        pnl=pnls,
        mode=st.sampled_from(["normal", "normal", "normal", "probe"]),
        forced=st.sampled_from([False, False, False, True]),
        host=st.integers(0, 1),
        near=st.booleans(),
        carry=st.sampled_from(["no", "open", "open", "far"]),
    )
    def acquire(
        self,
        slot: tuple[str, str, str],
        units: int,
        pnl: Fraction,
        mode: str,
        forced: bool,
        host: int,
        near: bool,
        carry: str,
    ) -> None:
        symbol, side, strategy = slot
        cost = UNIT if side == "buy" else SHORT_UNIT
        if near:
            self.quote(symbol, "100")
        wish = Wish(symbol, side, strategy, units, cost, pnl, mode, forced)
        intended = repr(float(pnl))
        self.read_order()
        answer = self.oracle.acquire(wish)
        arguments: list[Any] = [secrets.token_hex(8), wish.slot, symbol, side, strategy]
        arguments += [int(wish.crypto), units, 100, wish.need, intended, mode, int(forced)]
        arguments += [self.hosts[host].owner, "paper", 1, 0, ""]
        reply = self.hosts[host]._run("acquire", *arguments)
        assert reply[0] == answer.outcome, (reply, answer)
        if answer.reasons:
            assert reply[1] in answer.reasons, (reply, answer)
            self.oracle.denied(wish, reply[1])
            return
        assert reply[9::4] == answer.victims, (reply, answer)
        assert int(reply[7]) == len(answer.inherits), (reply, answer)
        held = Held(symbol, side, strategy, units, cost, wish.pnl, mode, forced, id=reply[1])
        self.oracle.admitted(held, answer)
        again = self.hosts[host]._run("acquire", *arguments)
        assert [*again[:6], *again[7:]] == [*reply[:6], *reply[7:]], "a replay answers the same"
        if carry != "no" and not self.oracle.pending(held):
            self.send(held, host, "lands")
            if held.state == "launching":
                self.sighted(self.broker.orders[held.id])
                self.quote(symbol, "98" if side == "sell" else "102" if carry == "far" else "100.4")

    @rule(
        number=picks,
        units=st.integers(1, 10),
        pnl=thieves,
        lift=st.booleans(),
        fills=st.lists(st.integers(0, 3), max_size=3),
        settle=st.booleans(),
    )
    def rob(
        self,
        number: int,
        units: int,
        pnl: Fraction,
        lift: bool,
        fills: list[int],
        settle: bool,
    ) -> None:
        """A thief at its limit while everybody else is far away; perhaps to its very end."""
        taken = self.oracle.slots()
        slots = [slot for slot in SLOTS if "|".join(slot) not in taken]
        if not slots:
            return
        slot = slots[number % len(slots)]
        for symbol, side, _ in SLOTS:
            self.quote(symbol, "98" if side == "sell" else "102")
        if lift:
            self.lift_cooldowns()
        self.acquire(slot, units, pnl, "normal", False, 1, True, "far")
        held = next((c for c in self.oracle.claims.values() if c.slot == "|".join(slot)), None)
        if not settle or not held or held.state != "reserved":
            return
        for place, victim in enumerate(self.oracle.pending(held)):
            order = self.broker.orders[victim]
            if order.live and fills[place : place + 1] > [0]:
                self.broker.fill(order, fills[place], self.oracle.now)
            order.status = "canceled" if order.live else order.status
            self.close(order)
        self.topup_claim(held, 0)
        self.send(held, 1, "lands")
        if held.state == "launching":
            self.sighted(self.broker.orders[held.id])

    def lift_cooldowns(self) -> None:
        """An operator deletes what bars steals; the fights stay."""
        for key in self.client.scan_iter(f"{self.keys.prefix}:cooldown:*"):
            self.client.delete(key)
        self.oracle.cooldowns.clear()
        self.oracle.bars.clear()

    @precondition(lambda self: self.records < 4)
    @rule(
        pair=st.sampled_from([("AAPL", "MSFT"), ("MSFT", "AAPL"), ("BTCUSD", "ETHUSD")]),
        times=st.integers(1, 2),
    )
    def record(self, pair: tuple[str, str], times: int) -> None:
        """Steals that were carried out elsewhere, each told twice."""
        self.records += 1
        victim, thief = pair
        for _ in range(times):
            steal_id = secrets.token_hex(4)
            before = self.oracle.fight_count
            self.oracle.remember(victim, thief)
            self.oracle.steals.append((thief, [victim]))
            fought = self.hosts[0].record_steal(victim, thief, steal_id=steal_id)
            assert fought is (self.oracle.fight_count > before)
            assert not self.hosts[1].record_steal(victim, thief, steal_id=steal_id)

    @precondition(lambda self: self.has("reserved"))
    @rule(number=picks, host=st.integers(0, 1))
    def topup(self, number: int, host: int) -> None:
        held = self.pick(number, "reserved")
        assert held
        self.topup_claim(held, host)

    def topup_claim(self, held: Held, host: int) -> None:
        pending = self.oracle.pending(held)
        self.read_order()
        expected = self.oracle.topup(held)
        try:
            decision = self.hosts[host].topup(self.claim(held))
        except Refused as refused:
            code: object = refused.code
        else:
            code = ""
        if isinstance(expected, str):
            assert code == expected
            return
        assert code == ""
        if not pending and expected.inherits and not expected.victims:
            assert decision.outcome.value == "steal", "paid from evictions under way"
        else:
            self.check(expected, decision)
        if not expected.reasons and not pending:
            self.oracle.funded(held, expected)

    @precondition(lambda self: self.has("reserved"))
    @rule(number=picks, host=st.integers(0, 1), fate=st.sampled_from(["lands", "refused", "lost"]))
    def launch(self, number: int, host: int, fate: str) -> None:
        held = self.pick(number, "reserved")
        assert held
        self.send(held, host, fate)

    def send(self, held: Held, host: int, fate: str) -> None:
        """launch, and the POST if that permits it."""
        coordinator, expected = self.hosts[host], self.oracle.launch(held)
        try:
            coordinator.launch(self.claim(held))
        except Refused as refused:
            code = refused.code
        else:
            code = "ok"
        assert code == expected
        if code != "ok":
            return
        held.state = "launching"
        if fate == "lands":
            self.broker.submit(held)
            self.within_cap()
        elif fate == "refused":
            coordinator.unlaunch(self.claim(held), "403", refused=True)
            if held.victims:
                self.oracle.refused[held.slot] = self.oracle.now + COOLDOWN_MS
            self.oracle.end(held)

    def within_cap(self) -> None:
        """Invariant 1, at the moment an order reaches the broker."""
        truth = self.broker.truth()
        for pool, limit in self.oracle.limit.items():
            if pool == "total" or truth["crypto"] > 0:
                assert truth[pool] <= max(limit, 0) or pool == "crypto", (pool, truth, limit)

    @precondition(lambda self: self.has("launching"))
    @rule(number=picks, lands=st.booleans())
    def what_was_lost_is_resolved(self, number: int, lands: bool) -> None:
        held = self.pick(number, "launching")
        assert held
        if held.id in self.broker.orders:
            return
        if lands:
            self.broker.submit(held)
        else:
            self.hosts[1].unlaunch_as_keeper(held.id, 0, "not found during the quarantine")
            self.oracle.end(held)

    @precondition(lambda self: self.has("reserved"))
    @rule(number=picks)
    def abort(self, number: int) -> None:
        held = self.pick(number, "reserved")
        assert held
        self.hosts[0].abort(self.claim(held))
        self.oracle.end(held)

    @precondition(lambda self: self.has("reserved"))
    @rule(number=picks)
    def sweep(self, number: int) -> None:
        held = self.pick(number, "reserved")
        assert held
        overdue = self.oracle.now > held.deadline
        assert self.hosts[1].abort_overdue(held.id) is overdue
        if overdue:
            self.oracle.end(held)

    @precondition(lambda self: self.has("open", "evicting"))
    @rule(number=picks, by_operator=st.booleans())
    def evict(self, number: int, by_operator: bool) -> None:
        held = self.pick(number, "open", "evicting")
        assert held
        if by_operator:
            self.hosts[1].evict(held.id, "operator", by="alice", raise_fence=True)
        else:
            self.hosts[0].evict(self.claim(held), "owner")
        self.oracle.evict(held)
