"""Claims as people ask about them: ranked open orders, and all that holds capacity besides."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from stealer.cli.operator import Operator
from stealer.cli.views.account import account_settings, session
from stealer.cli.views.reading import Reader, number_in, pairs
from stealer.errors import LedgerSpoiled
from stealer.model import Claim, State
from stealer.replies import Candidate, candidate
from stealer.settings import Settings
from stealer.tiers import Standing, TierDecision, decide_tier, standings


@dataclass(frozen=True, slots=True)
class Order:
    """One claim. ``rank`` is its place among open orders by live PnL, 1 the best, None if not open.

    ``protection`` is empty for an order that can be stolen now and None where the question does
    not arise; ``distance`` is a fraction of the limit, None without a fresh quote.
    """

    id: str
    state: str
    rank: int | None
    symbol: str
    side: str
    strategy: str
    qty: Decimal
    limit_price: Decimal
    need_micro: int
    filled_micro: int
    charged_micro: int
    pnl: float
    tier: str
    tolerance_pct: float | None
    tier_reason: str
    distance: float | None
    protection: str | None
    mode: str
    owner: str
    age_seconds: float
    order_id: str
    fence: str
    heir: str
    cause: str
    by: str
    deadline_seconds: float | None


@dataclass(frozen=True, slots=True)
class Orders:
    """Open orders best first, the other claims oldest first, and what could not be read."""

    open: tuple[Order, ...]
    others: tuple[Order, ...]
    unreadable: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Victims:
    """Open orders as one thief (or, with '', anybody) meets them: worst first."""

    thief: str
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...]


class Tiers:
    """Tiers now, from the ranking, the session and the account's policy."""

    def __init__(self, reader: Reader) -> None:
        self.settings: Settings = account_settings(reader)
        self.session = session(reader.hash("ledger"), reader.now_ms())
        crypto = self.settings.crypto_symbols
        names = pairs(member for member, _ in reader.ranked("forecasts", best_first=True))
        ranking = [((symbol, strategy), symbol in crypto) for symbol, strategy in names]
        self.places = standings(ranking, session_open=self.session.is_open)

    def of(self, symbol: str, strategy: str, *, forced: bool = False) -> TierDecision:
        """The tier of one symbol and strategy."""
        place = self.places.get((symbol, strategy), Standing(None, None))
        return decide_tier(
            symbol,
            is_crypto=symbol in self.settings.crypto_symbols,
            rank=place.rank,
            crypto_rank=place.crypto_rank,
            session_open=self.session.is_open,
            explicit_force=forced,
            settings=self.settings,
        )


def victims(ledger: Operator, thief: str = "", limit: int | None = None) -> Victims:
    """Candidates worst first, with what protects each; *limit* None is all of them."""
    reader = Reader(ledger)
    found = candidates(reader, ledger.classify(thief)[0] if thief else "", limit)
    return Victims(thief and ledger.classify(thief)[0], found, tuple(reader.problems))


def candidates(reader: Reader, thief: str, limit: int | None = None) -> tuple[Candidate, ...]:
    """The script's answer; rows that cannot be read are reported."""
    if limit is None:
        key = reader.keys.open
        limit = int(reader.ask(key, lambda r: r.zcard(key)))
    result = []
    for row in reader.script(lambda: reader.ledger.candidate_rows(thief, limit)) if limit else []:
        try:
            result.append(candidate(row))
        except LedgerSpoiled:
            key = reader.keys.of("claim", str(row[0]))
            reader.problems.append(f"{key}: listed as open, but it is not a readable claim")
    return tuple(result)


def orders(ledger: Operator) -> Orders:
    """All claims of the account."""
    reader = Reader(ledger)
    now = reader.now_ms()
    tiers = Tiers(reader)
    claims, spoiled = reader.claims()
    met = {c.id: c for c in candidates(reader, "")}
    live = [c for c in claims if c.state is State.OPEN]
    live.sort(key=lambda c: (met[c.id].pnl if c.id in met else c.pnl, c.id), reverse=True)
    waits = [c for c in claims if c.state is not State.OPEN]
    return Orders(
        open=tuple(_order(c, tiers, now, i + 1, met.get(c.id)) for i, c in enumerate(live)),
        others=tuple(_order(c, tiers, now, None, None) for c in waits),
        unreadable=tuple(spoiled),
        problems=tuple(dict.fromkeys(reader.problems)),
    )


def _order(claim: Claim, tiers: Tiers, now: int, rank: int | None, met: Candidate | None) -> Order:
    tier = tiers.of(claim.symbol, claim.strategy, forced=claim.force_immediate)
    timed = claim.deadline_ms and claim.state in (State.RESERVED, State.LAUNCHING)
    return Order(
        id=claim.id,
        state=claim.state.value,
        rank=rank,
        symbol=claim.symbol,
        side=claim.side,
        strategy=claim.strategy,
        qty=claim.qty,
        limit_price=claim.limit_price,
        need_micro=claim.need,
        filled_micro=claim.filled,
        charged_micro=charge_of(claim),
        pnl=met.pnl if met else claim.pnl,
        tier=tier.tier.value,
        tolerance_pct=tier.tolerance_pct,
        tier_reason=tier.reason,
        distance=_finite(met.distance) if met else None,
        protection=met.protection if met else None,
        mode=claim.mode,
        owner=claim.owner,
        age_seconds=max(now - claim.created_ms, 0) / 1000,
        order_id=claim.order_id,
        fence=claim.fence,
        heir=claim.heir,
        cause=claim.cause,
        by=claim.by,
        deadline_seconds=(claim.deadline_ms - now) / 1000 if timed else None,
    )


def _finite(distance: float | None) -> float | None:
    return None if distance is None else (None if number_in(distance) is None else distance)


def charge_of(claim: Claim) -> int:
    """What the ledger charges for a claim (PROTOCOL, "Ledger"), in micro-dollars."""
    if claim.state is State.RESERVED:
        return claim.fund
    if claim.state is State.CLOSED:
        return claim.filled - claim.absorbed
    return claim.need - claim.absorbed
