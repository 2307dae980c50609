"""A small driver around the coordinator, so that a scenario reads like a sentence.

Amounts are dollars, and every order has the limit 100 unless a test says otherwise, so that
``usd=1_000`` is a quantity of 10. Nothing sleeps: cooldowns lapse because their keys are deleted,
as an operator may, and things grow old because their stored time is rewritten.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import redis

from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import BrokerOrder
from stealer.model import MICRO, Claim, Decision, OrderIntent, State, Verdict
from stealer.replies import AccountFigures
from stealer.scripts import INJECTED_IDENTITY_KEY
from stealer.settings import Settings
from stealer.tiers import TierDecision, decide_tier

#: The limit of every order unless a test says otherwise, in dollars.
LIMIT = Decimal(100)

#: How far the market is from a resting order unless a test says otherwise: beyond any protection.
AWAY = 0.02

#: Broker figures that never bind, in dollars; the second clamp has tests of its own.
PLENTY = 4_000_000_000

#: The ledger's money figures that must be zero when nothing is held.
CHARGES = ("charged_total", "charged_crypto")


def micro(dollars: Decimal | float) -> int:
    """Dollars as the ledger's micro-dollars."""
    return int(Decimal(str(dollars)) * MICRO)


class Desk:
    """One trading desk: a coordinator, and a pretended keeper and broker for it."""

    def __init__(
        self, client: redis.Redis, settings: Settings | None = None, owner: str = "desk"
    ) -> None:
        #: Any: redis-py's answers are typed for every way of decoding at once.
        self.client: Any = client
        settings = settings or Settings(crypto_fee_pct=0.0)  # round figures; fees have own tests
        self.coordinator = WorkStealingCoordinator(client, settings, owner=owner)
        self.keys = self.coordinator.keys
        self.settings = self.coordinator.settings

    def open_shop(self, equity: float = 10_000, cash: float | None = None) -> Desk:
        """Certified, in stock hours, with an account: 2 x *equity* in all, *cash* for crypto."""
        self.coordinator.certify()
        self.stock_hours()
        self.account(equity, cash)
        return self

    # ---- what a keeper publishes

    def account(
        self,
        equity: float,
        cash: Decimal | float | None = None,
        *,
        positions: float = 0,
        crypto_positions: float = 0,
        foreign: float = 0,
        power: float = PLENTY,
        power_cash: float = PLENTY,
        sequence: int | None = None,
        term: int = 0,
    ) -> None:
        """Publish an account: 2 x *equity* in all, *cash* (default equity) for crypto."""
        figures = AccountFigures(
            limit_total=micro(2 * equity),
            limit_crypto=micro(equity if cash is None else cash),
            positions_total=micro(positions + crypto_positions),
            positions_crypto=micro(crypto_positions),
            foreign_total=micro(foreign),
            foreign_crypto=0,
            power_margin=micro(power),
            power_cash=micro(power_cash),
        )
        self.coordinator.publish_account(figures, sequence=sequence, term=term)

    def stock_hours(self) -> None:
        self.coordinator.publish_session(True, 3600)

    def out_of_hours(self) -> None:
        self.coordinator.publish_session(False, 3600)

    def market(
        self, symbol: str, *, away: float = 0.0, limit: Decimal | float = LIMIT, side: str = "buy"
    ) -> None:
        """Put the market of *symbol* this fraction away from *limit*; 0 is at it."""
        factor = 1 + away if side == "buy" else 1 - away
        price = Decimal(str(limit)) * Decimal(str(factor))
        self.coordinator.publish_quote(symbol, price, price)

    def forecast(self, symbol: str, pnl: float | None, strategy: str = "maxdiff") -> None:
        self.coordinator.publish_forecast(symbol, strategy, pnl)

    def tier(self, symbol: str, strategy: str = "maxdiff", force: bool = False) -> TierDecision:
        """The tier a watcher of *symbol* has now, by what the ledger says."""
        standing = self.coordinator.standing(symbol, strategy)
        is_open = bool(standing.session_open)
        _, is_crypto = self.coordinator.classify(symbol)
        closed_rank = standing.crypto_rank if is_crypto else None
        return decide_tier(
            symbol,
            is_crypto=is_crypto,
            rank=standing.rank if is_open else closed_rank,
            crypto_rank=standing.crypto_rank,
            session_open=is_open,
            explicit_force=force,
            settings=self.settings,
        )

    # ---- what watchers do

    def acquire(
        self,
        symbol: str,
        pnl: float = 1.0,
        *,
        usd: Decimal | float = 1_000,
        away: float | None = 0.0,
        limit: Decimal | float = LIMIT,
        side: str = "buy",
        strategy: str = "maxdiff",
        mode: str = "normal",
        force: bool = False,
    ) -> Decision:
        """Ask for capacity with the market *away* from the limit; None leaves the quote alone."""
        if away is not None:
            self.market(symbol, away=away, limit=limit, side=side)
        price = Decimal(str(limit))
        qty = Decimal(str(usd)) / price
        return self.coordinator.acquire(
            OrderIntent(symbol, side, qty, price, strategy, pnl, mode, force)
        )

    def reserve(self, symbol: str, pnl: float = 1.0, **intent: Any) -> Claim:
        """Like `acquire`, where refusal would be a mistake of the test."""
        decision = self.acquire(symbol, pnl, **intent)
        assert decision.claim, (decision.reason, decision.detail)
        return decision.claim

    def open(self, symbol: str, pnl: float = 1.0, *, rests: float = AWAY, **intent: Any) -> Claim:
        """acquire -> launch -> confirm; then the market moves *rests* away from the limit."""
        claim = self.send(self.reserve(symbol, pnl, **intent))
        self.market(
            symbol, away=rests, limit=intent.get("limit", LIMIT), side=intent.get("side", "buy")
        )
        return claim

    def send(self, claim: Claim) -> Claim:
        """launch -> submit -> confirm; the open claim."""
        self.coordinator.launch(claim)
        assert self.coordinator.confirm(claim, self.order(claim)) is State.OPEN
        return self.now(claim)

    def settle(self, decision: Decision) -> Claim:
        """Carry a steal to its end: victims canceled, topped up, launched, confirmed."""
        assert decision.outcome is Verdict.STEAL, (decision.reason, decision.detail)
        assert decision.claim
        for victim in decision.victims:
            if self.state(victim.id) == "evicting":
                self.cancel(victim.id)
        funded = self.coordinator.topup(decision.claim)
        assert funded.outcome is Verdict.GRANTED, (funded.reason, funded.detail)
        return self.send(decision.claim)

    def release(self, claim: Claim | str) -> int:
        """The owner's orderly end of an open order: evict, cancel, close."""
        self.coordinator.evict(self.id_of(claim), "owner")
        return self.cancel(claim)

    # ---- what the broker says

    def order(self, claim: Claim | str, status: str = "new", filled: float = 0) -> BrokerOrder:
        """The order of *claim* as the broker reports it; *filled* in units."""
        claim = self.now(claim) if isinstance(claim, str) else claim
        return BrokerOrder(
            id=f"broker-{claim.id}",
            client_order_id=claim.id,
            symbol=claim.symbol,
            side=claim.side,
            qty=claim.qty,
            status=status,
            filled_qty=Decimal(str(filled)),
            limit_price=claim.limit_price,
            is_crypto=claim.is_crypto,
        )

    def cancel(self, claim: Claim | str, filled: float = 0) -> int:
        """The broker reports the order canceled, *filled* units of it filled before."""
        return self.coordinator.close(claim, self.order(claim, "canceled", filled))

    def fill(self, claim: Claim | str, qty: float | Decimal | None = None) -> int:
        """The broker reports fills: all of it (terminal), or *qty* units so far."""
        claim = self.now(claim) if isinstance(claim, str) else claim
        if qty is None or Decimal(str(qty)) >= claim.qty:
            return self.coordinator.close(claim, self.order(claim, "filled", float(claim.qty)))
        self.coordinator.confirm(claim, self.order(claim, "partially_filled", float(qty)))
        return 0

    # ---- time that passes because a test says so

    def expire(self, name: str, *parts: str) -> None:
        """Let a key with a TTL expire now; it must be there."""
        assert self.client.delete(self.keys.of(name, *parts)) == 1

    def age_quote(self, symbol: str, seconds: float) -> None:
        bid, ask, at = str(self.client.hget(self.keys.quotes, symbol)).split()
        self.client.hset(self.keys.quotes, symbol, f"{bid} {ask} {int(at) - int(seconds * 1000)}")

    def age_account(self, seconds: float) -> None:
        self.client.hincrby(self.keys.ledger, "account_ms", -int(seconds * 1000))

    def pass_deadline(self, claim: Claim) -> None:
        self.client.hset(self.keys.of("claim", claim.id), "deadline_ms", 1)

    def another_server(self) -> None:
        """What a fail-over looks like to a script: the certificate is another server's."""
        if self.coordinator._run.injected:
            self.client.set(INJECTED_IDENTITY_KEY, "another")
        else:
            self.client.hset(self.keys.ledger, "run", "another")

    # ---- reading

    @staticmethod
    def id_of(claim: Claim | str) -> str:
        return claim if isinstance(claim, str) else claim.id

    def now(self, claim: Claim | str) -> Claim:
        """The claim as the ledger has it now."""
        found = self.coordinator.claim(self.id_of(claim))
        assert found, f"{self.id_of(claim)} is gone"
        return found

    def state(self, claim: Claim | str) -> str:
        """Its state, or ``gone``."""
        found = self.coordinator.claim(self.id_of(claim))
        return found.state.value if found else "gone"

    def figure(self, name: str) -> Decimal:
        """One of the ledger's figures, in dollars."""
        return Decimal(int(self.client.hget(self.keys.ledger, name) or 0)) / MICRO

    def charged(self, pool: str = "total") -> Decimal:
        return self.figure(f"charged_{pool}")

    def free(self, pool: str = "total") -> Decimal:
        held = sum(self.figure(f"{kind}_{pool}") for kind in ("positions", "foreign", "charged"))
        return self.figure(f"limit_{pool}") - held

    def counter(self, name: str) -> int:
        return int(self.client.hget(self.keys.counters, name) or 0)

    def steals(self) -> list[dict[str, str]]:
        """The stream of steals, oldest first."""
        return [fields for _, fields in self.client.xrange(self.keys.steals)]

    def everything(self) -> dict[str, Any]:
        """Every key of the account with its content, for "nothing changed" and "changed once"."""
        dump: dict[str, Any] = {}
        for key in sorted(self.client.scan_iter(f"{self.keys.prefix}:*")):
            kind = self.client.type(key)
            if kind == "hash":
                dump[key] = self.client.hgetall(key)
            elif kind == "zset":
                dump[key] = self.client.zrange(key, 0, -1, withscores=True)
            elif kind == "stream":
                dump[key] = [fields for _, fields in self.client.xrange(key)]
            elif kind == "list":
                dump[key] = self.client.llen(key)
            else:
                dump[key] = self.client.get(key)
        return dump

    def assert_charges_equal_claims(self) -> None:
        """The ledger's charges are the sum over its claims (PROTOCOL, "Ledger")."""
        total = crypto = 0
        for claim_id in self.coordinator.claim_ids():
            raw = self.client.hgetall(self.keys.of("claim", claim_id))
            claim = self.now(claim_id)
            if claim.state is State.RESERVED:
                total, crypto = total + claim.fund, crypto + int(raw.get("fund_crypto", 0))
                continue
            whole = claim.filled if claim.state is State.CLOSED else claim.need
            total += whole - claim.absorbed
            crypto += (whole - claim.absorbed) if claim.is_crypto else 0
        assert (micro(self.charged()), micro(self.charged("crypto"))) == (total, crypto)

    # ---- the scripts themselves

    def raw(self, verb: str, *arguments: str | int) -> list[Any]:
        """Call a script with the exact arguments, as a client that lost the answer does again."""
        return self.coordinator._run(verb, *arguments)

    def raw_acquire(self, request: str, symbol: str, pnl: float, usd: int) -> list[Any]:
        """The script behind `acquire`, with a request id that a test may repeat."""
        _, crypto = self.coordinator.classify(symbol)
        return self.raw(
            "acquire",
            request,
            f"{symbol}|buy|maxdiff",
            symbol,
            "buy",
            "maxdiff",
            int(crypto),
            str(usd // 100),
            "100",
            micro(usd),
            repr(pnl),
            "normal",
            0,
            "desk",
            "paper",
            1,
            0,
            "",
        )
