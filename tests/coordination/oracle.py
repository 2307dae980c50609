"""A plain model of the ledger, written from DESIGN.md and PROTOCOL.md and not from the scripts.

Dictionaries, integers (micro-dollars, milliseconds) and fractions; no floating point. It predicts
what `acquire`, `topup` and `launch` must answer, and it is moved by the same events. The broker's
own figures deny nothing, since the machine publishes plenty; what a claim draws of them is here.
"""

from __future__ import annotations

from fractions import Fraction

from tests.coordination.words import Answer, Held, Pools, Wish, beats

COOLDOWN_MS = 300_000
FIGHT_WINDOW_MS = FIGHT_PAUSE_MS = 1_800_000
FIGHT_THRESHOLD = 3
FRESH_MS = 15_000
RESERVE_MS = 30_000
WAITER_MS = 10_000
ENTRY, PROTECTION = Fraction(3, 1000), Fraction(4, 1000)

#: An eviction that takes longer than two reservations is not counted on.
COUNTED_ON_MS = 60_000

#: Refusals for want of capacity: they make a waiter.
WAITS = {
    *("no_capacity", "not_close_enough", "pnl_not_better", "all_protected", "cooldown", "fight"),
    "yield",
}


class Oracle:
    """The account as it must be."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.claims: dict[str, Held] = {}
        self.limit: Pools = {"total": 0, "crypto": 0}
        self.positions: Pools = {"total": 0, "crypto": 0}
        self.account_at = self.begun_at = now
        self.halted = False
        self.session = (True, 0)
        self.quotes: dict[str, tuple[Fraction, int]] = {}
        self.forecasts: dict[str, Fraction] = {}
        self.waiters: dict[str, tuple[Fraction, Pools, bool, int]] = {}
        self.cooldowns: dict[str, int] = {}
        self.bars: dict[tuple[str, str], int] = {}
        self.fights: dict[tuple[str, str], int] = {}
        self.pairs: dict[tuple[str, str], list[int]] = {}
        self.refused: dict[str, int] = {}
        self.steals: list[tuple[str, list[str]]] = []
        self.fight_count = 0
        self.admissions = 0

    # ---- figures

    def charged(self) -> Pools:
        charges = [claim.charge() for claim in self.claims.values()]
        return {pool: sum(charge[pool] for charge in charges) for pool in self.limit}

    def free(self) -> Pools:
        charged = self.charged()
        return {p: self.limit[p] - self.positions[p] - charged[p] for p in self.limit}

    def heirless(self) -> list[Held]:
        found = [c for c in self.claims.values() if c.state == "evicting" and not c.heir]
        found = [c for c in found if self.now - c.doomed_at <= COUNTED_ON_MS]
        return sorted(found, key=lambda c: (c.evicted_at, c.id))

    def is_open_session(self) -> bool:
        is_open, until = self.session
        return is_open if not until or self.now < until else not is_open

    def is_forced(self, wish: Wish) -> bool:
        if wish.forced:
            return True
        if not wish.crypto or self.is_open_session():
            return False
        coins = [(pnl, name) for name, pnl in self.forecasts.items() if "USD|" in name]
        return bool(coins) and max(coins)[1] == wish.member

    def distance(self, wish: Wish) -> Fraction | None:
        """Every limit is 100 dollars."""
        price, at = self.quotes.get(wish.symbol, (Fraction(0), -FRESH_MS))
        if self.now - at > FRESH_MS:
            return None
        away = price - 100 if wish.side == "buy" else 100 - price
        return max(away, Fraction(0)) / 100

    # ---- predictions

    def acquire(self, wish: Wish) -> Answer:
        """What `acquire` must answer; nothing is changed."""
        wish.pnl = self.forecasts.get(wish.member, wish.pnl)
        if wish.slot in self.slots():
            return Answer({"duplicate"})
        if self.halted:
            return Answer({"halted"})
        if self.now - self.account_at > FRESH_MS:
            return Answer({"stale_account"})
        if self.now < self.refused.get(wish.slot, 0):
            return Answer({"cooldown"})
        if not self.is_forced(wish) and self.distance(wish) is None:
            return Answer({"stale_quote"})
        if self._must_yield(wish):
            return Answer({"yield"})
        return self._fund(wish, wish.share(wish.need), Fraction(0))

    def topup(self, claim: Held) -> Answer | str:
        """What `topup` must answer, or the code of its refusal."""
        if self.now > claim.deadline:
            return "late"
        if self.pending(claim):
            return Answer(victims=self.pending(claim))
        need = claim.share(claim.need)
        lack = {pool: need[pool] - claim.fund[pool] for pool in need}
        if not any(lack.values()) and not any(claim.undrawn().values()):
            return Answer()
        if self.halted:
            return Answer({"halted"})
        if self.now - self.account_at > FRESH_MS:
            return Answer({"stale_account"})
        if not any(lack.values()):
            return Answer(sum=claim.spent)
        claim.pnl = self.forecasts.get(claim.member, claim.pnl)
        return self._fund(claim, lack, claim.spent)

    def launch(self, claim: Held) -> str:
        if self.halted:
            return "halted"
        if self.now > claim.deadline:
            return "late"
        if self.pending(claim) or claim.fund != claim.share(claim.need):
            return "underfunded"
        if any(claim.undrawn().values()):
            return "underfunded"
        free = self.free()
        if free["total"] < 0 or (claim.crypto and free["crypto"] < 0):
            return "overdrawn"
        return "ok"

    def slots(self) -> dict[str, str]:
        """Who holds each slot: the first of its claims whose order may live."""
        holders: dict[str, str] = {}
        for claim in self.claims.values():
            if claim.state != "closed":
                holders.setdefault(claim.slot, claim.id)
        return holders

    def pending(self, thief: Held) -> list[str]:
        return [v for v in thief.victims if v in self.claims and self.claims[v].heir == thief.id]

    def _must_yield(self, wish: Wish) -> bool:
        room = self.free()
        for claim in self.heirless():
            room = {pool: room[pool] + claim.rest()[pool] for pool in room}
        for slot, (pnl, need, crypto, until) in self.waiters.items():
            if slot == wish.slot or pnl <= wish.pnl or self.now >= until:
                continue
            if need["total"] <= room["total"] and (not crypto or need["crypto"] <= room["crypto"]):
                return True
        return False

    def _fund(self, thief: Wish, lack: Pools, spent: Fraction) -> Answer:
        free = self.free()
        gap = {"total": lack["total"] - free["total"], "crypto": 0}
        if thief.crypto:
            gap["crypto"] = lack["crypto"] - free["crypto"]
        answer = Answer(sum=spent)
        for claim in self.heirless():
            if self._helps(claim, gap):
                answer.inherits.append(claim.id)
                self._take(claim, gap)
        if max(gap.values()) <= 0:
            return answer
        distance = Fraction(0) if self.is_forced(thief) else self.distance(thief)
        if distance is None or distance > ENTRY:
            return Answer({"stale_quote" if distance is None else "not_close_enough"})
        chosen, reasons = self._worst_first(thief, gap)
        if max(gap.values()) > 0:
            return Answer(reasons)
        for claim in reversed(chosen.copy()):
            rest = claim.rest()
            if all(gap[pool] + rest[pool] <= 0 for pool in gap if rest[pool]):
                self._take(claim, gap, -1)
                chosen.remove(claim)
        answer.sum = spent + sum(max(c.live_pnl, Fraction(0)) for c in chosen)
        if answer.sum > 0 and not beats(thief.pnl, answer.sum):
            return Answer({"pnl_not_better"})
        answer.victims = [claim.id for claim in chosen]
        return answer

    @staticmethod
    def _helps(claim: Held, gap: Pools) -> bool:
        return any(gap[pool] > 0 and claim.rest()[pool] > 0 for pool in gap)

    @staticmethod
    def _take(claim: Held, gap: Pools, sign: int = 1) -> None:
        for pool, amount in claim.rest().items():
            gap[pool] -= sign * amount

    def _worst_first(self, thief: Wish, gap: Pools) -> tuple[list[Held], set[str]]:
        """Victims until *gap* is covered (it is used up), and what a refusal may name."""
        chosen: list[Held] = []
        reasons = {"no_capacity"}
        rank = [claim for claim in self.claims.values() if claim.state == "open"]
        for claim in sorted(rank, key=lambda c: (c.live_pnl, c.born)):
            if not beats(thief.pnl, claim.live_pnl):
                reasons.add("pnl_not_better")
            elif claim.symbol != thief.symbol and self._helps(claim, gap):
                reason = self.protected(claim, thief)
                if reason:
                    reasons.add(reason)
                else:
                    chosen.append(claim)
                    self._take(claim, gap)
        return chosen, reasons

    def protected(self, claim: Held, thief: Wish) -> str:
        """Why *thief* may not take from *claim*: the reason a refusal may name, or ''."""
        distance = self.distance(claim)
        pair = (min(claim.symbol, thief.symbol), max(claim.symbol, thief.symbol))
        if claim.mode == "probe" or self.is_forced(claim):
            return "all_protected"
        if (not claim.crypto and not self.is_open_session()) or distance is None:
            return "all_protected"
        if distance <= PROTECTION:
            return "all_protected"
        if self.now < self.cooldowns.get(claim.symbol, 0):
            return "cooldown"
        if self.now < self.fights.get(pair, 0):
            return "fight"
        if self.now < self.bars.get((thief.symbol, claim.symbol), 0):
            return "cooldown"
        return ""

    # ---- events

    def denied(self, wish: Wish, reason: str) -> None:
        if reason in WAITS and self.now >= self.refused.get(wish.slot, 0):
            until = self.now + WAITER_MS
            self.waiters[wish.slot] = (wish.pnl, wish.share(wish.need), wish.crypto, until)

    def admitted(self, claim: Held, answer: Answer) -> None:
        """A new claim, by what `acquire` answered."""
        self.admissions += 1
        claim.born, claim.deadline = self.admissions, self.now + RESERVE_MS
        claim.fund = {"total": 0, "crypto": 0}
        self.claims[claim.id] = claim
        self.waiters.pop(claim.slot, None)
        self.funded(claim, answer)

    def funded(self, thief: Held, answer: Answer) -> None:
        """Free capacity, then the dead and the dying, go to the thief."""
        free, need = self.free(), thief.share(thief.need)
        for pool in free:
            thief.fund[pool] += min(need[pool] - thief.fund[pool], max(free[pool], 0))
        thief.spent = answer.sum
        self._draw(thief, answer)
        thief.victims += answer.inherits + answer.victims
        for claim_id in answer.inherits + answer.victims:
            self.claims[claim_id].heir = thief.id
        if not answer.victims:
            return
        for claim_id in answer.victims:
            self.claims[claim_id].state = "evicting"
            self.claims[claim_id].evicted_at = self.claims[claim_id].doomed_at = self.now
        self.steals.append((thief.symbol, [self.claims[v].symbol for v in answer.victims]))
        for victim in {self.claims[v].symbol for v in answer.victims}:
            self.remember(victim, thief.symbol)

    def _draw(self, thief: Held, answer: Answer) -> None:
        """The broker's figures: what the thief lacks, less what its victims give back there."""
        lack = thief.undrawn()
        for victim in answer.inherits + answer.victims:
            back = self.claims[victim].power(self.claims[victim].rest()["total"])
            lack = {figure: lack[figure] - back[figure] for figure in lack}
        for figure in lack:
            thief.drawn[figure] += max(lack[figure], 0)

    def remember(self, victim: str, thief: str) -> None:
        """Cooldown, bar and fight of one pair; who stole while it cools stays barred as well."""
        until = self.now + COOLDOWN_MS
        for bar, end in self.bars.items():
            if bar[0] == victim and self.now < end:
                self.bars[bar] = until
        self.cooldowns[victim] = self.bars[(victim, thief)] = until
        pair = (min(victim, thief), max(victim, thief))
        times = self.pairs.setdefault(pair, [])
        times.append(self.now)
        if sum(self.now - at <= FIGHT_WINDOW_MS for at in times) > FIGHT_THRESHOLD:
            self.fights[pair] = self.now + FIGHT_PAUSE_MS
            self.fight_count += 1

    def opened(self, claim: Held, filled: int) -> None:
        if claim.state == "launching":
            claim.state = "open"
            claim.live_pnl = self.forecasts.get(claim.member, claim.pnl)
        if filled > claim.filled:
            claim.filled, claim.seen_at = filled, self.now

    def evict(self, claim: Held) -> None:
        if claim.state == "open":
            claim.state, claim.evicted_at, claim.doomed_at = "evicting", self.now, self.now

    def end(self, claim: Held) -> None:
        """A claim of which nothing was or will be sent; its victims become heirless."""
        for victim in self.pending(claim):
            self.claims[victim].heir = ""
            self.claims[victim].evicted_at = self.now
        del self.claims[claim.id]

    def close(self, claim: Held, filled: int) -> None:
        """Terminal: what it did not fill goes to the heir's gap, the rest is free."""
        heir = self.claims.get(claim.heir)
        freed = claim.share(claim.need - filled)
        if filled > claim.filled:
            claim.filled, claim.seen_at = filled, self.now
        claim.state, claim.heir = "closed", ""
        if heir:
            need = heir.share(heir.need)
            for pool in need:
                heir.fund[pool] += min(need[pool] - heir.fund[pool], freed[pool])
            back = claim.power(claim.need - filled)
            for figure, lack in heir.undrawn().items():
                heir.drawn[figure] += min(lack, back[figure])
        if claim.absorbed >= claim.filled:
            del self.claims[claim.id]

    def begin(self, sequence: int, lag: int) -> None:
        self.begun_at = self.now
        for claim in self.claims.values():
            claim.noted.clear()
            if claim.seen_at <= self.now - lag:
                claim.noted[sequence] = claim.filled

    def publish(self, sequence: int, limit: Pools, positions: Pools) -> None:
        self.limit, self.positions, self.account_at = dict(limit), dict(positions), self.begun_at
        for claim in list(self.claims.values()):
            claim.absorbed = max(claim.absorbed, claim.noted.get(sequence, 0))
            if claim.state == "closed" and claim.absorbed >= claim.filled:
                del self.claims[claim.id]

    def forecast(self, symbol: str, strategy: str, pnl: Fraction | None) -> None:
        member = f"{symbol}|{strategy}"
        self.forecasts.pop(member, None)
        if pnl is not None:
            self.forecasts[member] = pnl
            for claim in self.claims.values():
                if claim.member == member:
                    claim.live_pnl = pnl
