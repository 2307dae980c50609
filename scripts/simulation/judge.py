"""The invariants of DESIGN part 4, judged from the broker's and the server's real state.

Nothing here is the product's code: amounts come from the simulated broker, keys from the server's
tables, and what happened before is remembered by the judge itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scripts.simulation.allowance import Allowance
from scripts.simulation.client import READS
from scripts.simulation.venue import Order

SEPARATOR = "\x1f"
JUDGED = frozenset({"acquire", "topup", "launch", "certify"})  # by their replies as well
SLACK_MS = 50  # a script's clock is in whole milliseconds


@cache
def _sums(runtime: Any) -> Any:
    """``judge.lua``, compiled once a runtime."""
    return runtime.compile(Path(__file__).with_name("judge.lua").read_text())


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant: its number in DESIGN (0: an exception), when, and what was seen."""

    invariant: int
    at: float
    text: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} at {self.at:.3f} s: {self.text}"


class Judge:
    """Watches one run. *world* has kernel, venue, server, settings, prefix."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self._check = _sums(world.runtime)
        self._evicting = world.runtime.table()
        self.allowance = Allowance(world)
        self._requests: dict[str, str] = {}
        self.steals: dict[str, int] = {}
        self._victims: set[str] = set()
        self._worth: dict[str, float] = {}
        self._cooling: dict[str, int] = {}
        self._bars: dict[tuple[str, str], int] = {}
        self._pairs: dict[frozenset[str], list[int]] = {}
        self._fights: dict[frozenset[str], int] = {}
        self._lost_at: int | None = None
        self._no_steals_until = 0
        self._steals_since_loss: set[str] = set()
        self._trusted: dict[str, int] = {}

    def found(self, invariant: int, text: str) -> None:
        """A violation."""
        self.violations.append(Violation(invariant, self.world.kernel.seconds, text))

    # ---- after every script

    def on_verb(self, process: str, verb: str, packed: str, reply: Any) -> None:
        """*verb* ran with *packed* arguments and answered *reply*."""
        self.counts[verb] += 1
        if verb in JUDGED:
            parts = reply.split(SEPARATOR) if isinstance(reply, str) else []
            self._on_reply(verb, packed, parts)
        if verb not in READS:
            problem = self._check(self.world.server.edge.data(), self.world.prefix, self._evicting)
            if problem:
                invariant = 3 if "was evicting" in problem else 5
                self.found(invariant, f"after {verb} of {process}: {problem}")

    def _on_reply(self, verb: str, packed: str, parts: list[str]) -> None:
        if verb == "acquire":
            self._on_acquire(packed.split(SEPARATOR), parts)
        elif verb == "topup" and parts[0] == "steal":
            self._on_steal(parts)
        elif verb == "launch" and parts[0] == "ok":
            trusted = self.world.kernel.now + int(parts[1]) * 1000
            self._trusted[packed.partition(SEPARATOR)[0]] = trusted
        elif verb == "certify" and parts[0] == "ok":
            self._on_certify()

    def _on_acquire(self, arguments: list[str], reply: list[str]) -> None:
        request = arguments[0]
        if reply[0] in ("granted", "steal"):
            known = self._requests.setdefault(request, reply[1])
            if known != reply[1]:
                self.found(2, f"acquire repeated: {known} at first, then {reply[1]}")
        elif request in self._requests and reply[1] == "duplicate":
            claim = self._hash(f"claim:{self._requests[request]}")
            if claim.get("state") == "reserved":
                self.found(2, f"acquire repeated: {self._requests[request]} at first, then {reply}")
        self.counts[f"decided:{reply[0] if reply[0] != 'denied' else reply[1]}"] += 1
        if reply[0] == "steal":
            self._on_steal(reply)

    def _on_steal(self, reply: list[str]) -> None:
        steal_id, thief_id = reply[8], reply[1]
        victims = [reply[i : i + 4] for i in range(9, len(reply), 4)]
        if not victims or steal_id in self.steals:
            return
        now = self.world.kernel.now
        self.steals[steal_id] = now
        self._steals_since_loss.add(steal_id)
        thief = self._hash(f"claim:{thief_id}")
        pnl = float(reply[6])
        if self._lost_at is not None or now < self._no_steals_until:
            self.found(7, f"{steal_id} although the memory was lost less than a cooldown ago")
        if thief.get("forced") != "1" and self.world.session_open:
            away = self._distance(thief)
            if away is None or away > self.world.settings.entry_tolerance_pct + 1e-9:
                self.found(3, f"the thief {thief_id} is {away} from its limit")
        for claim_id, symbol, _, worth in victims:
            self._judge_victim(thief, claim_id, symbol, float(worth), pnl)
            self._worth[thief_id] = self._worth.get(thief_id, 0.0) + max(float(worth), 0.0)
        if self._worth[thief_id] > 0 and pnl <= self._worth[thief_id] * 1.1 - 1e-9:
            self.found(3, f"{thief_id} of PnL {pnl} stole {self._worth[thief_id]} together")
        for symbol in {victim[1] for victim in victims}:
            self._judge_fight(frozenset((thief.get("symbol", ""), symbol)))
        self._judge_cover(thief_id, thief)
        entries = [e for e in self._stream() if e.get("steal") == steal_id]
        if len(entries) != 1:
            self.found(6, f"{steal_id} stands {len(entries)} times in the stream")

    def _judge_victim(
        self, thief: dict[str, str], claim_id: str, symbol: str, worth: float, pnl: float
    ) -> None:
        now, settings = self.world.kernel.now, self.world.settings
        victim = self._hash(f"claim:{claim_id}")
        cooldown = int(settings.cooldown_seconds * 1e6) - SLACK_MS * 1000
        if claim_id in self._victims and self._lost_at is None:
            self.found(3, f"{claim_id} is a victim for the second time")
        if not pnl > worth + 0.1 * abs(worth) - 1e-9:
            self.found(3, f"PnL {pnl} does not beat {worth} of {claim_id}")
        if victim.get("mode") == "probe" or victim.get("forced") == "1":
            self.found(3, f"{claim_id} is a probe or forced")
        if not self.world.session_open:
            self._judge_out_of_hours(claim_id, victim)
        away = self._distance(victim)
        if away is None or away <= settings.protection_pct - 1e-9:
            self.found(3, f"{claim_id} was {away} from its limit")
        if now - self._cooling.get(symbol, -cooldown) < cooldown:
            self.found(7, f"{symbol} was stolen from within its cooldown")
        pair = (thief.get("symbol", ""), symbol)
        if now - self._bars.get(pair, -cooldown) < cooldown:
            self.found(7, f"{pair[0]} stole back from {symbol} within the cooldown")
        self._victims.add(claim_id)
        self._cooling[symbol] = now
        self._bars[symbol, pair[0]] = now

    def _judge_out_of_hours(self, claim_id: str, victim: dict[str, str]) -> None:
        """While the stock market is closed no stock is a victim, nor one of the best crypto."""
        if victim.get("crypto") != "1":
            self.found(3, f"{claim_id} is a victim while its market is closed")
            return
        entry = self._entry("forecasts:crypto")
        ranked = sorted(((pnl, member) for member, pnl in entry.map.items()), reverse=True)
        first = ranked[: self.world.settings.crypto_out_of_hours_force_count]
        member = f"{victim['symbol']}|{victim['strategy']}"
        if self._hash("ledger").get("session") and member in {name for _, name in first}:
            self.found(3, f"{claim_id} is forced by its rank while the stock market is closed")

    def _judge_fight(self, pair: frozenset[str]) -> None:
        """Two that steal from each other too often are kept apart for a while."""
        now, settings = self.world.kernel.now, self.world.settings
        slack = SLACK_MS * 1000
        if now < self._fights.get(pair, 0):
            self.found(7, f"{' and '.join(sorted(pair))} steal although they are in a fight")
        window = int(settings.fight_window_seconds * 1e6) - slack
        times = [*(at for at in self._pairs.get(pair, ()) if now - at <= window), now]
        self._pairs[pair] = times
        if len(times) > settings.fight_threshold:
            self.counts["fights"] += 1
            self._fights[pair] = now + int(settings.fight_cooldown_seconds * 1e6) - slack

    def _judge_cover(self, thief_id: str, thief: dict[str, str]) -> None:
        """What its victims hold covers what the thief lacks."""
        lacks = int(thief.get("need", 0)) - int(thief.get("fund", 0))
        held = 0
        for claim_id in thief.get("victims", "").split():
            victim = self._hash(f"claim:{claim_id}")
            if victim.get("heir") == thief_id and victim.get("state") == "evicting":
                held += int(victim["need"]) - int(victim.get("filled", 0))
        if lacks > held:
            self.found(4, f"{thief_id} lacks {lacks}, its victims hold only {held}")

    # ---- at the broker

    def on_arrival(self, order: Order) -> None:
        """An order became live: the cap, and one order a slot."""
        if not order.ours:
            self.allowance.note()
            return
        for crypto_only in (False, True)[: 1 + order.crypto]:
            used, allowed = self.allowance.ours(crypto_only), self.allowance.most(crypto_only)
            if used > allowed:
                pool = "crypto" if crypto_only else "total"
                self.found(1, f"{pool}: {used} used with {order.client_id}, {allowed} allowed")
        slot = (order.symbol, order.side, order.client_id.rsplit("_", 1)[1])
        same = [
            o.client_id
            for o in self.world.venue.orders.values()
            if o.live and o.ours and (o.symbol, o.side, o.client_id.rsplit("_", 1)[1]) == slot
        ]
        if len(same) > 1:
            self.found(2, f"{len(same)} live orders in one slot: {', '.join(same)}")

    def on_delete(self, sender: str, order: Order) -> None:
        """A DELETE of the product arrived: who cancels another's order has a recorded cause.

        People and operators go to the venue itself, so whatever comes here is the product's.
        """
        if not order.ours:
            self.found(3, f"{sender} cancels {order.client_id}, which is foreign")
        if not order.ours or sender == order.sender or not self.world.server_up:
            return
        claim = self._hash(f"claim:{order.client_id}")
        if claim.get("state") in ("open", "launching", "reserved"):
            self.found(4, f"{sender} cancels {order.client_id}, which is {claim['state']}")

    def on_write(self, claim_id: str) -> None:
        """A POST leaves its process: only after a launch, and only while that may be trusted."""
        until = self._trusted.get(claim_id)
        if until is None:
            self.found(1, f"{claim_id} is sent without a launch")
        elif self.world.kernel.now > until + SLACK_MS * 1000:
            late = (self.world.kernel.now - until) / 1e6
            self.found(1, f"{claim_id} is sent {late:.3f} s past its trust")

    # ---- loss of memory

    def on_loss(self) -> None:
        """Redis lost writes."""
        if any(order.ours for order in self.world.venue.orders.values()):
            self._lost_at = self.world.kernel.now  # else there was no steal to be forgotten
        self._evicting = self.world.runtime.table()
        self._steals_since_loss.clear()
        self._pairs.clear()  # fights are forgotten with the rest (docs/failures.md)
        self._fights.clear()
        self._requests.clear()

    def _on_certify(self) -> None:
        if self._lost_at is not None:
            pause = int(self.world.settings.cooldown_seconds * 1e6) - SLACK_MS * 1000
            self._no_steals_until = self.world.kernel.now + pause
            self._lost_at = None

    # ---- at rest

    def excused(self, watcher: Any, now: float) -> bool:
        """It pauses after the broker refused it, or its slot does: it is not ready."""
        if watcher._pause.lasts(now):
            return True
        entry = self._entry(f"refused:{watcher.slot}")
        return bool(entry and entry.at > self.world.kernel.now // 1000)

    # ---- at the end

    def leaks(self) -> list[str]:
        """What is left when all have ended; nothing should be."""
        left = []
        for name in ("claims", "open", "heirless", "deadlines", "beats", "unabsorbed"):
            ids = self._map(name)
            if ids:
                left.append(f"{name}: {', '.join(ids)}")
        if self._hash("slots"):
            left.append(f"slots: {self._hash('slots')}")
        ledger = self._hash("ledger")
        held = sum(cost for _, cost, _ in self.world.venue.held().values()) * 1_000_000
        for name, expected in (
            ("charged_total", 0),
            ("charged_crypto", 0),
            ("positions_total", held),
            ("foreign_total", 0),
        ):
            if int(ledger.get(name, 0)) != expected:
                left.append(f"{name} is {ledger.get(name)}, not {expected}")
        live = [o.client_id for o in self.world.venue.orders.values() if o.live]
        if live:
            left.append(f"live orders: {', '.join(live)}")
        return left

    def judge_records(self) -> None:
        """Each steal exactly once in the stream; counters equal the stream."""
        seen = Counter(entry["steal"] for entry in self._stream())
        for steal_id, times in seen.items():
            if times != 1:
                self.found(6, f"{steal_id} stands {times} times in the stream")
        for steal_id in self._steals_since_loss - seen.keys():
            self.found(6, f"{steal_id} is not in the stream")
        counted = int(self._hash("counters").get("work_steal_success_total", 0))
        if counted != len(seen):
            self.found(6, f"the counter says {counted} steals, the stream has {len(seen)}")

    # ---- reading the server's tables

    def _entry(self, name: str) -> Any:
        return self.world.server.edge.data()[f"{self.world.prefix}:{name}"]

    def _map(self, name: str) -> list[str]:
        entry = self._entry(name)
        return sorted(entry.map.keys()) if entry else []

    def _hash(self, name: str) -> dict[str, str]:
        entry = self._entry(name)
        return dict(entry.map.items()) if entry else {}

    def _stream(self) -> list[dict[str, str]]:
        entry = self._entry("steals")
        found = []
        for item in entry["items"].values() if entry else ():
            row = list(item.values())[2:]
            found.append(dict(zip(row[::2], row[1::2], strict=True)))
        return found

    def _distance(self, claim: dict[str, str]) -> float | None:
        """How far the published market is from a claim's limit; None when old or unknown."""
        text = self._hash("quotes").get(claim.get("symbol", ""))
        if not text:
            return None
        _, ask, at = text.split(" ")
        age = self.world.kernel.now // 1000 - int(at)
        if age > self.world.settings.quote_stale_seconds * 1000 + SLACK_MS:
            return None
        limit = float(claim["limit"])
        return max(float(ask) - limit, 0.0) / limit
