"""What anybody may read from one account's ledger.

The base of the coordinator: the connection, the account's names, and claims and rankings as they
are now. Nothing here holds or frees capacity.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import redis

from stealer import replies
from stealer.access import Role, probes
from stealer.errors import LedgerMisconfigured, LedgerSpoiled, raise_for
from stealer.evidence import BrokerOrder
from stealer.keyspace import Keyspace
from stealer.model import (
    MICRO,
    Claim,
    canonical_symbol,
    decimal_text,
)
from stealer.replies import Candidate, Server, Standing, Task
from stealer.request_ids import RequestIds
from stealer.scripts import INJECTED_IDENTITY_KEY, Scripts, not_text, text, translated
from stealer.settings import Settings

#: How long one launch waits for the replicas that STEALER_WAIT_REPLICAS asks for, in ms.
REPLICAS_MS = 1_000


#: How many changes of watchers' phases are kept, about: a day of a hundred busy watchers.
TRANSITIONS_KEPT = 10_000

#: The longest one wait blocks: shorter than a connection waits for an answer.
LONGEST_WAIT_SECONDS = 3.0


def default_owner() -> str:
    """A name for this process that is new for every process on every host."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def micro(dollars: Decimal | float | int | str) -> int:
    """Dollars as integer micro-dollars, towards zero."""
    return int(Decimal(str(dollars)) * MICRO)


class Ledger:
    """One account's ledger on one Redis connection.

    :param owner: who holds the claims made here; new for each process unless given.
    :param injected_identity: for in-memory test servers, see ``Scripts``; :param may_load: too.
    """

    def __init__(
        self,
        redis_client: redis.Redis,
        settings: Settings | None = None,
        *,
        owner: str | None = None,
        injected_identity: bool | None = None,
        may_load: bool = True,
    ) -> None:
        self.settings = settings or Settings()
        self.client = redis_client
        self.keys = Keyspace(self.settings.account)
        self.owner = owner or default_owner()
        self._run = Scripts(
            redis_client, self.settings.account, injected_identity, may_load=may_load
        )
        self._request_ids = RequestIds()
        self._rights_seen: set[Role] = set()
        self._policy_digest = policy_digest(self.settings.policy())

    # ---- rights

    def require_rights(self, role: Role = Role.WATCHER) -> None:
        """Refuse a Redis user that may not do all that *role*'s scripts do; looked at once.

        Without it a user who lacks one command would stop a script half-way through its writes.

        :raises LedgerMisconfigured: what is missing, in words.
        """
        if role in self._rights_seen:
            return
        missing = self.missing_rights(role)
        if missing:
            shown = ", ".join(missing[:6]) + (
                f" and {len(missing) - 6} more" if len(missing) > 6 else ""
            )
            raise LedgerMisconfigured(
                f"the Redis user lacks a right that is needed: {shown}; `stealer acl` prints the "
                f"rules of a {role}. Nothing was begun"
            )
        self._rights_seen.add(role)

    def missing_rights(self, role: Role) -> list[str]:
        """What *role* needs and the user of this connection may not, as ``COMMAND key``."""
        if self._run.injected:
            return []  # an in-memory test server has no users
        denied = self._run("rights", *probes(role, self.settings.account))[1:]
        return [" ".join(command.split(" ")[:2]) for command in denied]

    # ---- reading

    def claim(self, claim_id: str) -> Claim | None:
        """One claim as the ledger has it now, None when there is none."""
        fields = text_hash(self.read(lambda r: r.hgetall(self.keys.of("claim", claim_id))))
        return self._claim_of(claim_id, fields) if fields else None

    def claim_in_slot(self, symbol: str, side: str, strategy: str) -> Claim | None:
        """The claim that holds (symbol, side, strategy), if any."""
        slot = f"{self.classify(symbol)[0]}|{side}|{strategy}"
        found = text(self.read(lambda r: r.hget(self.keys.slots, slot)))
        return self.claim(found) if found else None

    def claim_ids(self) -> list[str]:
        """Every claim, oldest first."""
        return list(self.read(lambda r: r.zrange(self.keys.claims, 0, -1)))

    def claims(self, *, readable: bool = False) -> dict[str, Claim]:
        """Every claim by id, oldest first, read in two round trips.

        :param readable: leave out what somebody spoiled (certifying lets that go), one by one.
        :raises LedgerSpoiled: a claim cannot be read.
        """
        ids = self.claim_ids()
        if not readable:
            return self._claims_of(ids)
        found: dict[str, Claim] = {}
        for claim_id in ids:
            with suppress(LedgerSpoiled):
                found |= self._claims_of([claim_id])
        return found

    def _claims_of(self, ids: list[str]) -> dict[str, Claim]:
        """Those of *ids* that are there."""

        def fetch(r: redis.Redis) -> list[Any]:
            with r.pipeline(transaction=False) as pipe:
                for claim_id in ids:
                    pipe.hgetall(self.keys.of("claim", claim_id))
                return list(pipe.execute())

        rows = zip(ids, self.read(fetch) if ids else [], strict=True)
        return {i: self._claim_of(i, text_hash(fields)) for i, fields in rows if fields}

    def _claim_of(self, claim_id: str, fields: dict[str, str]) -> Claim:
        try:
            return replies.claim_of(claim_id, fields)
        except ValueError as error:
            raise LedgerSpoiled(f"{self.keys.of('claim', claim_id)}: {error}") from None

    def server(self) -> Server:
        """Which server this connection leads to, and whether the ledger is certified for it."""
        self.name_test_server()
        run, repl, certificate, certified, halted, said_ms = self._run("identity")
        identity, has_ledger = f"{run}/{repl}/{certificate}", certificate != "0"
        return Server(identity, certified == "1", has_ledger, halted, int(said_ms))

    def name_test_server(self) -> None:
        """Give an in-memory test server, which has no INFO, the identity that scripts look for."""
        if self._run.injected:
            self.read(lambda r: r.set(INJECTED_IDENTITY_KEY, secrets.token_hex(8), nx=True))

    def silent_claims(self) -> list[str]:
        """Claims whose owner gave no sign of life for ``orphan_seconds``."""
        before = self.now_ms() - int(self.settings.orphan_seconds * 1000)
        return list(self.read(lambda r: r.zrangebyscore(self.keys.beats, "-inf", before)))

    def watched_symbols(self) -> set[str]:
        """Symbols somebody has asked quotes for, see ``watch``."""
        now = self.now_ms()
        return set(self.read(lambda r: r.zrangebyscore(self.keys.watched, now, "+inf")))

    def now_ms(self) -> int:
        """Redis' own clock, the only one that deadlines are read on."""
        seconds, micros = self.read(lambda r: r.time())
        return int(seconds) * 1000 + int(micros) // 1000

    def standing(
        self,
        symbol: str,
        strategy: str,
        side: str = "buy",
        *,
        ticket: str = "",
        life_seconds: float = 0.0,
    ) -> Standing:
        """Rank, quote, session and slot of one watcher, in one round trip.

        :param ticket: its task, to be told as well; it begins now if it is new (see `task`).
        """
        symbol, _ = self.classify(symbol)
        slot, life = f"{symbol}|{side}|{strategy}", int(life_seconds * 1000)
        return replies.standing(self._run("standing", symbol, strategy, slot, ticket, life))

    def get_steal_candidates(self, thief: str = "", limit: int = 100) -> list[Candidate]:
        """Open entry orders in the order a thief meets them, the protected ones included."""
        name = self.classify(thief)[0] if thief else ""
        return [replies.candidate(row) for row in self._run("candidates", 0, limit - 1, name)]

    def is_protected(self, order: Claim | BrokerOrder | str) -> bool:
        """True when this open order can be nobody's victim now.

        An order this system did not open as an entry is always protected.
        """
        if isinstance(order, str):
            claim_id = order
        else:
            claim_id = order.id if isinstance(order, Claim) else order.client_order_id
        rank = self.read(lambda r: r.zrank(self.keys.open, claim_id))
        if rank is None:
            return True
        rows = self._run("candidates", rank, rank, "")
        return not rows or rows[0][0] != claim_id or bool(rows[0][6])

    def wait(self, slot: str, seconds: float, *others: str) -> bool:
        """Sleep up to *seconds*, or until this slot, or one of *others*, is woken (True).

        Capacity came free, a victim ended, the claim was evicted, an exit has news; a wake may be
        a false one.
        """
        bounded = min(max(seconds, 0.001), LONGEST_WAIT_SECONDS)  # 0 would be for ever
        keys = [self.keys.of("wake", name) for name in (slot, *others)]
        return self.read(lambda r: r.blpop(keys, timeout=bounded)) is not None

    def task(
        self, ticket: str, life_seconds: float, *, fresh: bool = False, known: Task | None = None
    ) -> Task:
        """When the task *ticket* began and what its ended claims filled, over all restarts.

        The first call begins it; it lives *life_seconds* from then.

        :param known: what the caller remembers, for a ledger that has lost it: the earlier start
            and the fills of both count, each claim once.
        """
        lines = [f"{i} {decimal_text(qty)}" for i, qty in known.fills.items()] if known else []
        age = int(known.age_seconds * 1000) if known else 0
        reply = self._run("ticket", ticket, int(life_seconds * 1000), int(fresh), age, *lines)
        return replies.task(reply)

    def replicated(self) -> bool:
        """True when as many replicas as the setting asks for have all that was written so far.

        WAIT speaks of its own connection's writes, and a pool may give another one than wrote; so
        a key is written on the connection that waits. It must lead to the server that the ledger
        is certified for, where the launch was: after a failover it may be another.
        """
        wanted = self.settings.wait_replicas
        if not wanted:
            return True

        def ask(r: redis.Redis) -> Any:
            with r.pipeline(transaction=False) as pipe:
                pipe.set(self.keys.replicated, self.owner)
                pipe.wait(wanted, REPLICAS_MS)
                pipe.info("server")
                pipe.hget(self.keys.ledger, "run")
                return pipe.execute()[1:]

        acknowledged, server, certified = self.read(ask)
        return int(acknowledged) >= wanted and server["run_id"] == text(certified)

    def report(
        self,
        status: dict[str, Any],
        tier: str = "",
        transitions: Iterable[Mapping[str, str]] = (),
    ) -> str:
        """Leave this process's status, and its tier, for operators to read: one round trip.

        Answers who asks this process to stop, '' when nobody does.

        :param transitions: changes of its phase since the last report that arrived, for the stream.
        """
        member = f"{status.get('symbol')}|{status.get('strategy')}"
        record = json.dumps({**status, "policy": self._policy_digest})

        def write(r: redis.Redis) -> Any:
            with r.pipeline(transaction=False) as pipe:
                pipe.hset(self.keys.watchers, self.owner, record)
                if tier:
                    pipe.hset(self.keys.tiers, member, tier)
                for fields in transitions:
                    row: dict[Any, Any] = {**fields, "owner": self.owner}
                    pipe.xadd(self.keys.transitions, row, maxlen=TRANSITIONS_KEPT)
                pipe.get(self.keys.of("stop", self.owner))
                *written, asked = pipe.execute(raise_on_error=False)
            for answer in written:
                if isinstance(answer, Exception):
                    raise answer
            return asked

        asked = self.read(write)
        return asked if isinstance(asked, str) else ""  # an error: no request of ours is there

    def forget_report(self) -> None:
        """Take this process's status away, at its end."""
        self.read(lambda r: r.hdel(self.keys.watchers, self.owner))

    # ---- for the coordinator

    def classify(self, symbol: str) -> tuple[str, bool]:
        """(canonical symbol, is crypto).

        :raises InvalidIntent: a symbol this account does not trade.
        """
        name = canonical_symbol(symbol, self.settings.crypto_symbols)
        return name, name in self.settings.crypto_symbols

    def policy_drift(self) -> dict[str, tuple[str, str]]:
        """Settings in which this process differs from the account's policy: (here, account)."""
        stored = text_hash(self.read(lambda r: r.hgetall(self.keys.policy)))
        mine = self.settings.policy()
        return {k: (mine[k], v) for k, v in stored.items() if k in mine and mine[k] != v}

    def known(self, claim: Claim | str, verb: str) -> Claim:
        """*claim* itself, or looked up by its id.

        :raises ClaimGone: there is none.
        """
        if isinstance(claim, Claim):
            return claim
        found = self.claim(claim)
        if found is None:
            raise_for("gone", verb, claim)
        assert found is not None
        return found

    def read(self, command: Callable[[redis.Redis], Any]) -> Any:
        """A plain read, its answer as text and its errors in our words."""
        try:
            return text(command(self.client))
        except redis.exceptions.RedisError as error:
            raise translated(error) from error
        except UnicodeDecodeError as error:
            raise not_text("a key of this account") from error


def policy_digest(policy: Mapping[str, str]) -> str:
    """A policy in a few letters, equal where all settings are: for comparing hosts."""
    lines = "\n".join(f"{name}={policy[name]}" for name in sorted(policy))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def text_hash(flat: Any) -> dict[str, str]:
    """A hash with text keys and values, however the client decodes."""
    return {text(k): text(v) for k, v in (flat or {}).items()}
