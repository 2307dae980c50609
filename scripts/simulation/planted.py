"""Bugs planted on purpose, to see that the judge finds them.

Each is the product with one rule taken out, either in the text of a script (the original text must
be there) or in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from scripts.simulation.edge import Edge
from scripts.simulation.kernel import Process
from stealer import WorkStealingCoordinator, scripts
from stealer.entry import Ending, Entries, EntryResult
from stealer.evidence import AccountSnapshot, BrokerOrder
from stealer.keeper.certification import Certifier
from stealer.keeper.keeper import Keeper
from stealer.keeper.reconcile import Reconciler
from stealer.keeper.streaming import Streaming
from stealer.keeper.sweep import Sweeper
from stealer.ledger import Ledger
from stealer.model import State
from stealer.order_ids import is_ours
from stealer.publishing import PublishingLedger


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug.

    :param edits: (file under ``stealer/lua``, original text, text instead).
    :param patches: (owner, attribute, made from the original).
    """

    what: str
    edits: tuple[tuple[str, str, str], ...] = ()
    patches: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The product has this bug inside the block."""
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in self.patches]
        read = scripts._source

        def edited(path: str) -> str:
            text = read(path)
            for file, original, instead in self.edits:
                if file == path:
                    if original not in text:
                        raise LookupError(f"{path} has no longer the text {original!r}")
                    text = text.replace(original, instead)
            return text

        for owner, name, make in self.patches:
            setattr(owner, name, make(getattr(owner, name)))
        if self.edits:
            scripts._source = edited
        _forget_rendered()
        try:
            yield
        finally:
            scripts._source = read
            for owner, name, original in kept:
                setattr(owner, name, original)
            _forget_rendered()


def _forget_rendered() -> None:
    """What was made of the scripts' texts is made anew."""
    for cached in (
        scripts.function_library,
        scripts.script_text,
        scripts._digest,
        scripts._stateful,
    ):
        cached.cache_clear()


def _lua(what: str, *edits: tuple[str, str, str]) -> Bug:
    return Bug(what, edits)


def _python(what: str, owner: Any, name: str, make: Callable[[Any], Any]) -> Bug:
    return Bug(what, (), ((owner, name, make),))


# ---- the bugs in Python


def _settle_requests(original: Any) -> Any:
    def settle(self: Entries, claim_id: str) -> BrokerOrder | None:
        order = self.broker.order_by_client_id(claim_id)
        if order is not None and order.status == "pending_cancel":
            self.coordinator.close(claim_id, replace(order, status="canceled"))
            return replace(order, status="canceled")
        found: BrokerOrder | None = original(self, claim_id)
        return found

    return settle


def _hear_requests(original: Any) -> Any:
    def carry(self: Streaming, order: BrokerOrder) -> None:
        over = order.status == "pending_cancel"
        original(self, replace(order, status="canceled") if over else order)

    return carry


def _resolve_by_freeing(original: Any) -> Any:
    def resolve(self: Entries, claim: Any, result: Any, stolen: Any) -> EntryResult:
        if self.broker.order_by_client_id(claim.id) is None:
            self.coordinator.unlaunch(claim, "not found", refused=False)
            return EntryResult(Ending.REFUSED, result.kind, result.message)
        answer: EntryResult = original(self, claim, result, stolen)
        return answer

    return resolve


def _finish_at_once(original: Any) -> Any:
    def finish(self: Sweeper, claim: Any, overdue: bool, term: int) -> None:
        if claim.state is State.LAUNCHING and self._reconciler.look_up(claim) is None:
            self._coordinator.unlaunch_as_keeper(claim.id, term, "not found")
            return
        original(self, claim, overdue, term)

    return finish


def _orphan_without_evict(original: Any) -> Any:
    def orphan(self: Sweeper, claim: Any) -> None:
        if claim is not None and claim.state is State.OPEN and claim.order_id:
            self._broker.cancel(claim.order_id)

    return orphan


def _cancel_foreign(original: Any) -> Any:
    def mend(self: Reconciler, orders: Any, claims: Any, **listable: Any) -> Any:
        for order in orders:
            if not is_ours(order.client_order_id, self._coordinator.settings.account):
                self._broker.cancel(order.id)
        return original(self, orders, claims, **listable)

    return mend


def _positions_first(original: Any) -> Any:
    def snapshot(self: Edge, between: Callable[[], None] = lambda: None) -> AccountSnapshot:
        positions = self.positions()
        between()
        return AccountSnapshot(self.open_orders(), positions, self.account())

    return snapshot


BUGS: dict[str, Bug] = {
    "abort-reopens": _lua(
        "a thief that gives up lets its victims live on",
        (
            "include/claims.lua",
            "redis.call('HSET', K.claim(id), 'heir', '')\n"
            "      redis.call('ZADD', K.heirless, NOW_TEXT, id)",
            "redis.call('HSET', K.claim(id), 'heir', '', 'state', 'open')\n"
            "      redis.call('ZADD', K.open, redis.call('HGET', K.claim(id), 'pnl'), id)",
        ),
    ),
    "positions-before-orders": _python(
        "an account is read in the wrong order: what fills in between is in neither",
        Edge,
        "snapshot",
        _positions_first,
    ),
    "old-snapshot": _lua(
        "an account that was read earlier overwrites a later one",
        (
            "publish.lua",
            "if sequence <= L.snapshot or sequence <= L.cert_snapshot or sequence ~= L.begun then",
            "if false then",
        ),
    ),
    "absorbs-all-fills": _lua(
        "a snapshot absorbs every fill, also what it cannot show yet",
        ("publish.lua", "elseif c.noted_in == int(sequence) then", "else"),
        ("publish.lua", "math.min(num(c.noted), c.filled)", "c.filled"),
    ),
    "acquire-forgets": _lua(
        "a repeated acquire does not give its first answer",
        ("acquire.lua", "c.request == request and c.state == 'reserved'", "false"),
    ),
    "slot-not-held": _lua(
        "a slot with a claim can be acquired again",
        ("acquire.lua", "local holder = redis.call('HGET', K.slots, slot)", "local holder"),
    ),
    "cancel-request-frees": _python(
        "a requested cancel is taken for the order's end: its charge is freed, the heir paid",
        Entries,
        "settle",
        _settle_requests,
    ),
    "heard-request-frees": _python(
        "the stream's word of a requested cancel is taken for the order's end",
        Streaming,
        "_carry",
        _hear_requests,
    ),
    "launch-before-victims-end": _lua(
        "the heir is launched while its victims are pending",
        ("topup.lua", "funded_reply('pending'", "funded_reply('funded'"),
        ("launch.lua", "if c.pending > 0 or not funded(c) then", "if false then"),
    ),
    "heir-paid-twice": _lua(
        "what a victim frees goes to its heir and stays free as well",
        ("include/claims.lua", "  charge(total, crypto)\n  -- The release", "  -- The release"),
    ),
    "close-twice": _lua(
        "a repeated close frees again",
        ("close.lua", "if c.state == 'closed' then return {'closed', '0'} end", ""),
    ),
    "close-frees-fills": _lua(
        "close frees the filled part before a snapshot shows it as position",
        ("close.lua", "local kept = math.max(filled - c.absorbed, 0)", "local kept = 0"),
    ),
    "unresolved-is-absent": _python(
        "a POST without an answer that is not found at once is given back",
        Entries,
        "_resolve",
        _resolve_by_freeing,
    ),
    "404-frees-at-once": _python(
        "the keeper frees a launched claim at the first 404",
        Sweeper,
        "_finish",
        _finish_at_once,
    ),
    "snapshot-ignores-lag": Bug(
        "fills are absorbed, and positions read, although positions may not show them yet",
        patches=(
            (
                PublishingLedger,
                "begin_snapshot",
                lambda original: lambda self, term=0, lag_ms=0: original(self, term, 0),
            ),
            (Keeper, "_wait_for_positions", lambda original: lambda self: None),
        ),
    ),
    "no-earmark": _lua(
        "what a victim frees is anybody's, and its thief is told that it has it",
        (
            "close.lua",
            "local heir_slot = pay_heir(c, freed)",
            "local heir = c.heir and c.heir ~= '' and load_claim(c.heir)\n"
            "if heir then redis.call('HSET', K.claim(heir.id), 'fund', heir.need, 'fund_crypto',\n"
            "    int(heir.need * heir.weight.crypto), 'pending', '0') end\n"
            "local heir_slot = nil",
        ),
    ),
    "client-clock": _python(
        "the keeper reads deadlines on its own wall clock",
        Ledger,
        "now_ms",
        lambda original: lambda self: int(self.client.process.wall() * 1000),
    ),
    "no-identity": _lua(
        "scripts trust the ledger on any server",
        (
            "include/ledger.lua",
            "return run ~= '' and run == L.run and repl == L.repl",
            "return run ~= ''",
        ),
    ),
    "no-cooldown": _lua(
        "a steal records no cooldown",
        (
            "include/record.lua",
            "redis.call('SET', K.cooldown(victim), victim",
            "redis.call('SET', K.seen(victim), victim",
        ),
    ),
    "no-bar": _lua(
        "a victim may steal back at once",
        ("include/protection.lua", "      and 'steal_back' or nil", "      and nil or nil"),
    ),
    "no-fight": _lua(
        "two symbols that steal from each other again and again are never parted",
        ("include/protection.lua", "if remembered_of(c).fighting then return 'fight' end", ""),
    ),
    "evicting-is-a-victim": _lua(
        "an order that is being canceled can be stolen again",
        ("include/record.lua", "redis.call('ZREM', K.open, v.id)", ""),
    ),
    "no-fence": _python(
        "a process that was stopped while it wrote its POST sends it late",
        Process,
        "fence",
        lambda original: lambda self, within: nullcontext(),
    ),
    "probe-not-protected": _lua(
        "probes can be stolen from",
        ("include/protection.lua", "return c.mode == 'probe' and 'probe'", "return false"),
    ),
    "forced-by-rank-not-protected": _lua(
        "the best crypto while the stock market is closed can be stolen from",
        (
            "include/protection.lua",
            "is_forced(c.symbol, c.strategy, c.crypto, c.forced) and 'force_immediate'",
            "c.forced == '1' and 'force_immediate'",
        ),
    ),
    "closed-market-not-protected": _lua(
        "stocks can be stolen from while their market is closed",
        ("include/protection.lua", "and not session_open() and 'market_closed'", "and nil"),
    ),
    "near-fill-not-protected": _lua(
        "orders near their limit can be stolen from",
        (
            "include/protection.lua",
            "return c.distance <= POLICY.protection_pct and 'near_fill'",
            "return false",
        ),
    ),
    "any-better-pnl": _lua(
        "a thief need not beat its victims by 10 %",
        (
            "include/policy.lua",
            "return p > v + (POLICY.min_pnl_improvement - 1) * math.abs(v)",
            "return p > v",
        ),
    ),
    "orphan-without-cause": _python(
        "the keeper cancels silent owners' orders without evicting their claims",
        Sweeper,
        "_orphan",
        _orphan_without_evict,
    ),
    "foreign-touched": _python(
        "the keeper cancels orders that are not ours",
        Reconciler,
        "mend",
        _cancel_foreign,
    ),
    "steals-after-loss": _python(
        "certification after a loss of memory allows steals at once",
        Certifier,
        "_no_steal_seconds",
        lambda original: lambda *arguments: 0.0,
    ),
    "recorded-twice": _lua(
        "a steal stands in the stream twice",
        (
            "include/funding.lua",
            "record_stream(steal_id, thief, plan.victims, plan.text, fights)",
            "for _ = 1, 2 do record_stream(steal_id, thief, plan.victims, plan.text, fights) end",
        ),
    ),
    "sweep-never-aborts": _python(
        "reservations of dead processes are never given back",
        WorkStealingCoordinator,
        "abort_overdue",
        lambda original: lambda self, claim_id: False,
    ),
}
