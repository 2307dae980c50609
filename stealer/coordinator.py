"""The verbs of the coordination layer: each one script, one round trip, safe to repeat.

The rules live in the scripts and in PROTOCOL.md; here arguments are made exact, replies become
records, and codes become exceptions. A coordinator holds no state besides its connection, so any
number of processes on any number of hosts may use one account.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from decimal import Decimal

from stealer import order_rules, replies
from stealer.costs import worst_price
from stealer.errors import ClaimGone, raise_for
from stealer.evidence import BrokerOrder
from stealer.listed import ListedOrder, listed_order
from stealer.model import (
    Claim,
    Decision,
    InvalidIntent,
    Mode,
    OrderIntent,
    Pulse,
    Side,
    State,
    decimal_text,
    micro_dollars,
)
from stealer.publishing import PublishingLedger
from stealer.replies import Rebuilt, Server

#: A watcher's status that has not been refreshed for so many seconds is a dead one's.
#: It is on the watcher's own clock; should that be wrong, a live one writes its status again.
STATUS_SECONDS = 3600.0


class WorkStealingCoordinator(PublishingLedger):
    """One account's capacity, shared with every other process that uses the same Redis.

    Construct it with a redis-py client and ``Settings``; see ``Ledger`` for the parameters, for
    reading and for publishing.
    """

    # ---- the life of a claim

    def acquire(self, intent: OrderIntent, *, ticket: str = "") -> Decision:
        """Reserve capacity for *intent*, stealing it when that is justified.

        The one atomic verb (DESIGN part 4). Repeating a lost call is safe; a grant permits no
        POST, only ``launch`` does.

        :param ticket: the task this entry belongs to, whose fills are remembered (``Ledger.task``).
        :raises InvalidIntent: a symbol this account does not trade, or a short sale of crypto.
        :raises LedgerUnavailable: Redis cannot be reached; nothing is charged that the sweep will
            not give back.
        :raises LedgerMisconfigured: the Redis user lacks a right (looked at before the first).
        """
        symbol, crypto = self.checked(intent)
        self.require_rights()
        need = self.need_of(intent.side, intent.qty, intent.limit_price, crypto)
        reply = self._run(
            "acquire",
            self._request_ids.new(),
            f"{symbol}|{intent.side}|{intent.strategy}",
            symbol,
            intent.side,
            intent.strategy,
            int(crypto),
            decimal_text(intent.qty),
            decimal_text(intent.limit_price),
            need,
            repr(intent.forecasted_pnl),
            intent.mode,
            int(intent.force_immediate),
            self.owner,
            self.settings.account,
            int(self.settings.enabled),
            int(self.settings.dry_run),
            ticket,
        )
        if reply[0] == "denied":
            return replies.denial(reply)
        claim = Claim(
            id=reply[1],
            symbol=symbol,
            side=intent.side,
            strategy=intent.strategy,
            qty=intent.qty,
            limit_price=intent.limit_price,
            need=need,
            pnl=float(reply[6]),
            mode=intent.mode,
            force_immediate=intent.force_immediate,
            is_crypto=crypto,
            state=State.RESERVED,
            fence=reply[2],
            owner=self.owner,
            deadline_ms=int(reply[3]),
            fund=int(reply[4]),
            pending=int(reply[7]) + (len(reply) - 9) // 4,
        )
        return replies.funding(reply, claim)

    def checked(self, intent: OrderIntent) -> tuple[str, bool]:
        """(canonical symbol, is crypto) of an intent this account could ever admit.

        :raises InvalidIntent: a symbol it does not trade, a short sale of crypto, or a time in
            force or extended hours that the symbol's class does not have.
        """
        symbol, crypto = self.classify(intent.symbol)
        if crypto and intent.side == Side.SELL:
            raise InvalidIntent(f"side: {symbol} cannot be sold short; crypto entries are buys")
        objections = order_rules.form(order_rules.draft(intent, symbol, crypto))
        if objections:
            raise InvalidIntent(order_rules.told(objections))
        return symbol, crypto

    def need_of(self, side: str, qty: Decimal, limit_price: Decimal, is_crypto: bool) -> int:
        """What an order may cost at worst (``stealer.costs``), in micro-dollars, rounded up."""
        return micro_dollars(qty, worst_price(side, limit_price, is_crypto, self.settings))

    def topup(self, claim: Claim) -> Decision:
        """Complete the funding of a reserved claim.

        ``granted`` when fully funded; ``steal`` while victims (listed) are pending, old or new;
        ``denied`` when it cannot be funded: then ``abort``.

        :raises Refused: the claim is gone, fenced, late or no longer reserved.
        """
        reply = self._run("topup", claim.id, claim.fence, int(self.settings.enabled))
        if reply[0] == "denied":
            return replies.denial(reply)
        raise_for(reply[0], "topup", claim.id)
        return replies.funding(reply, replies.funded(claim, reply))

    def launch(self, claim: Claim) -> float:
        """The only permission to send the POST. Returns the seconds it may be trusted.

        :raises Refused: not funded, overdrawn, halted, late, fenced, gone: send nothing.
        """
        reply = self._run("launch", claim.id, claim.fence, secrets.token_hex(8))
        raise_for(reply[0], "launch", claim.id)
        return int(reply[1]) / 1000

    def confirm(self, claim: Claim | str, order: BrokerOrder) -> State:
        """The order was seen live at the broker. Returns the claim's state now.

        :raises ClaimGone: the ledger does not know it: its owner must cancel its own order.
        :raises Uncertified: it cannot be told now, nor say whether it knows the order.
        """
        id_, filled = self._evidence(claim, order, "confirm")
        reply = self._run("confirm", id_, order.id, decimal_text(order.filled_qty), filled)
        raise_for(reply[0], "confirm", id_)
        return State(reply[0])

    def close(self, claim_id: Claim | str, order: BrokerOrder, why: str = "") -> int:
        """The order is terminal: free what it did not fill. Returns the micro-dollars freed.

        Closing what is closed already frees nothing and is no error.

        :param why: for the audit, when a rule says so and not the broker alone; of a canceled order
            it is kept only if the claim is open, so that we have not asked for it.
        :raises ValueError: *order* can still fill; only terminal evidence frees a charge.
        :raises Uncertified: the ledger has the claim, and cannot be told now. One that it has lost
            holds nothing that could be freed.
        """
        if not order.is_terminal:
            raise ValueError(f"close {order.client_order_id}: {order.status} is not terminal")
        try:
            id_, filled = self._evidence(claim_id, order, "close")
        except ClaimGone:
            return 0
        reply = self._run(
            "close", id_, order.id, order.status, decimal_text(order.filled_qty), filled, why
        )
        if reply[0] == "gone" or (reply[0] == "uncertified" and self.claim(id_) is None):
            return 0
        raise_for(reply[0], "close", id_)
        return int(reply[1])

    def mend(self, order: BrokerOrder, term: int) -> bool:
        """The broker shows another quantity or limit than the claim says: it is as shown, and
        charged for the larger. True when something was changed.
        """
        o = self.listed(order)
        qty, limit = decimal_text(o.qty), decimal_text(o.limit_price)
        reply = self._run("mend", term, o.id, qty, limit, o.need)
        raise_for(reply[0], "mend", o.id)
        return bool(reply[0] == "mended")

    def abort(self, claim: Claim, why: str = "given up") -> None:
        """Give up a reserved claim. One that is gone already is no error.

        :raises WrongState: a POST may be out; ``close`` or ``unlaunch`` on evidence instead.
        """
        self._end("abort", claim, claim.fence, "owner", why)

    def abort_overdue(self, claim_id: str) -> bool:
        """Abort a reserved claim whose deadline has passed, as the sweep. False: not (any more)."""
        reply = self._run("abort", claim_id, "", "sweep", "deadline passed")
        return bool(reply[0] == "aborted")

    def unlaunch(self, claim: Claim, why: str, *, refused: bool) -> None:
        """The order does not exist: never sent, or its only POST refused and the look-up says so.

        :param refused: the broker refused it; after a steal the slot then waits a cooldown.
        """
        self._end("unlaunch", claim, claim.fence, "owner", why, int(refused), 0)

    def unlaunch_as_keeper(self, claim_id: str, term: int, why: str) -> None:
        """Free a launched claim that was not found during the whole quarantine."""
        reply = self._run("unlaunch", claim_id, "", "keeper", why, 0, term)
        if reply[0] != "gone":
            raise_for(reply[0], "unlaunch", claim_id)

    def evict(
        self,
        claim_id: Claim | str,
        cause: str,
        *,
        by: str = "owner",
        raise_fence: bool = False,
        silent_seconds: float = 0.0,
    ) -> tuple[str, str]:
        """An open order is to be canceled, irrevocably. Returns (state, broker's order id).

        Frees nothing: the caller sends the DELETE and ``close`` follows on evidence. With a
        ``Claim`` the fence must match; with an id (operator, keeper) it is not asked.

        :param silent_seconds: evict only an owner that has been silent that long.
        :raises ClaimGone: it has ended.
        :raises OwnerAlive: the owner gave a sign of life meanwhile.
        """
        fence = claim_id.fence if isinstance(claim_id, Claim) else ""
        id_ = claim_id.id if isinstance(claim_id, Claim) else claim_id
        reply = self._run(
            "evict", id_, fence, cause, by, int(raise_fence), int(silent_seconds * 1000)
        )
        raise_for(reply[0], "evict", id_)
        return reply[0], reply[1]

    def heartbeat(self, claim: Claim) -> Pulse:
        """A sign of life; answers what became of the claim (PROTOCOL, "The owner's view").

        :raises Uncertified: the ledger cannot be trusted now; keep the order, open nothing new.
        """
        reply = self._run("heartbeat", claim.id, claim.fence)
        raise_for(reply[0] if reply[0] == "uncertified" else "", "heartbeat", claim.id)
        if reply[0] == "unknown":
            return Pulse("unknown")
        if reply[0] == "ended":
            return replies.end(reply[1])
        return replies.pulse(reply, claim)

    def adopt(
        self, slot: str, silent_seconds: float, *, known: str = "", ticket: str = ""
    ) -> Claim | None:
        """Take over the claim in *slot* if its owner has been silent that long, else None.

        :param known: the claim the caller sent an order for; if the ledger had lost it and made it
            again, nobody owns it, and nobody need be silent.
        :param ticket: the caller's task, for a claim that has none.
        """
        reply = self._run("adopt", slot, self.owner, int(silent_seconds * 1000), known, ticket)
        if reply[0] in ("none", "busy", "wrong_state:reserved"):
            return None
        raise_for(reply[0], "adopt", slot)
        return self.claim(reply[1])

    # ---- the keeper's and the operator's

    def certify(
        self,
        term: int = 0,
        no_steal_seconds: float = 0.0,
        *,
        seen: Server | None = None,
        orders: Iterable[ListedOrder] = (),
        ended: Iterable[str] = (),
    ) -> Rebuilt:
        """Bind the ledger to this server, rebuilt from the broker's live *orders*.

        For the keeper, after it has waited out what may be in flight; and for tests.

        :param seen: the server and certificate that the keeper waited for; None: whatever is here.
        :param ended: claims whose orders the broker knows, and which are over.
        :raises Refused: another term (`Deposed`), a replica, or not what was *seen*.
        """
        self.name_test_server()
        policy = [item for pair in self.settings.policy().items() for item in pair]
        over = list(ended)
        reply = self._run(
            "certify",
            term,
            int(no_steal_seconds * 1000),
            seen.identity if seen else "",
            len(policy),
            *policy,
            len(over),
            *over,
            *(field for order in orders for field in order.row()),
        )
        raise_for(reply[0], "certify")
        return Rebuilt(*map(int, reply[1:]))

    def recount(self, term: int = 0) -> str:
        """Compare the ledger with its claims; what somebody has spoiled, '' when all is well.

        A spoiled ledger is not certified any more, so nothing is granted until it is again.

        :raises Uncertified, Deposed:
        """
        reply = self._run("recount", term)
        raise_for(reply[0], "recount")
        return reply[1] if reply[0] == "spoiled" else ""

    def oust(self, term: int) -> list[str]:
        """Delete keys of another type that stand where ours belong; their names.

        If one was an index the ledger is not certified any more, and then made again.

        :raises Deposed:
        """
        reply = self._run("oust", term)
        raise_for(reply[0], "oust")
        return reply[1:]

    def lease(self, ttl_seconds: float) -> tuple[bool, int | str]:
        """Take or renew the keeper's lease: (True, term), or (False, who holds it)."""
        reply = self._run("lease", self.owner, int(ttl_seconds * 1000))
        return (True, int(reply[1])) if reply[0] == "held" else (False, str(reply[1]))

    def release_lease(self) -> None:
        """Give the lease up, so that a standby need not wait for it to expire."""
        self._run("lease", self.owner, 0)

    def condemn(self, order: BrokerOrder, term: int) -> str:
        """Count an order with our prefix that has no claim; the caller cancels it."""
        o = self.listed(order)
        reply = self._run(
            "condemn",
            term,
            o.id,
            o.slot,
            o.symbol,
            o.side,
            o.strategy,
            int(o.is_crypto),
            decimal_text(o.qty),
            decimal_text(o.limit_price),
            o.need,
            decimal_text(o.filled_qty),
            o.filled,
            o.order_id,
        )
        raise_for(reply[0], "condemn", o.id)
        return str(reply[0])

    def listed(self, order: BrokerOrder, now_ms: int = 0) -> ListedOrder:
        """An order of ours with what its claim needs, see ``stealer.listed``."""
        return listed_order(order, self.need_of, now_ms)

    def halt(self, reason: str, who: str) -> str:
        """Stop all new orders; an empty *reason* resumes. Returns the reason before."""
        return str(self._run("halt", reason, who)[1])

    def prune(self) -> None:
        """Take out expired forecasts, waiters, watched symbols and statuses of dead watchers."""
        self._run("prune", int(STATUS_SECONDS * 1000))

    # ---- the specification's own names

    def can_open_order(
        self,
        symbol: str,
        strategy: str,
        limit_price: Decimal | float | str,
        qty: Decimal | float | str,
        side: str = "buy",
    ) -> bool:
        """True when this order would fit free capacity now. Advisory: only ``acquire`` reserves."""
        intent = OrderIntent(symbol, side, qty, limit_price, strategy)
        _, crypto = self.classify(intent.symbol)
        need = self.need_of(intent.side, intent.qty, intent.limit_price, crypto)
        return bool(self._run("fits", int(crypto), need)[0] == "fits")

    def attempt_steal(
        self,
        symbol: str,
        strategy: str,
        limit_price: Decimal | float | str,
        qty: Decimal | float | str,
        side: str = "buy",
        mode: str = Mode.NORMAL.value,
    ) -> str | None:
        """``acquire`` by the published forecast; the first victim's symbol, None without a steal.

        The claim is in the slot (``claim_in_slot``); its victims' orders are the caller's to
        cancel, as after ``acquire``.
        """
        decision = self.acquire(OrderIntent(symbol, side, qty, limit_price, strategy, mode=mode))
        return decision.victims[0].symbol if decision.victims else None

    def record_steal(
        self,
        from_symbol: str,
        to_symbol: str,
        *,
        steal_id: str | None = None,
        from_pnl: float = 0.0,
        to_pnl: float = 0.0,
    ) -> bool:
        """Record a steal made elsewhere, once per *steal_id*; True when it makes a fight."""
        reply = self._run(
            "record_steal",
            steal_id or secrets.token_hex(8),
            self.classify(from_symbol)[0],
            self.classify(to_symbol)[0],
            repr(float(from_pnl)),
            repr(float(to_pnl)),
        )
        raise_for(reply[0], "record_steal")
        return bool(reply[0] == "recorded" and reply[1] == "1")

    def _evidence(self, claim: Claim | str, order: BrokerOrder, verb: str) -> tuple[str, int]:
        """The claim's id, and what *order* filled of it, in micro-dollars.

        A claim is read only for its price: thieves wait for ends without fills.

        :raises ClaimGone: there is no claim, and something was filled.
        """
        if not order.filled_qty:
            return claim.id if isinstance(claim, Claim) else claim, 0
        claim = self.known(claim, verb)
        return claim.id, self._filled(claim, order)

    @staticmethod
    def _filled(claim: Claim, order: BrokerOrder) -> int:
        """What was filled, at the worst price, in micro-dollars; all of it is the whole need."""
        if order.filled_qty >= claim.qty:
            return claim.need
        return min(micro_dollars(order.filled_qty, claim.unit_cost), claim.need)

    def _end(self, verb: str, claim: Claim, *arguments: str | int) -> None:
        reply = self._run(verb, claim.id, *arguments)
        if reply[0] != "gone":
            raise_for(reply[0], verb, claim.id)
