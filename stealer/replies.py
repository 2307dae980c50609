"""The records that scripts answer with, and the one place where replies are taken apart.

Replies are flat lists of text (each script's header says which); amounts are micro-dollars.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from stealer.errors import LedgerSpoiled
from stealer.evidence import Asset, Placed
from stealer.model import Claim, Decision, Pulse, State, Verdict, Victim

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """One of the keeper's streams: seconds since it stands and since something came; None: no."""

    name: str
    connected_seconds: float | None
    heard_seconds: float | None
    connects: int


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """An account snapshot in the ledger's terms; every figure in micro-dollars.

    ``power_margin`` and ``power_cash`` are the broker's own buying power and non-marginable
    buying power, the second clamp (DESIGN part 2).
    """

    limit_total: int
    limit_crypto: int
    positions_total: int
    positions_crypto: int
    foreign_total: int
    foreign_crypto: int
    power_margin: int
    power_cash: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open entry order as a thief meets it: ``protection`` is empty when it can be stolen.

    ``distance`` is a fraction of the limit, None without a fresh quote; ``need`` and ``filled``
    are micro-dollars.
    """

    id: str
    symbol: str
    side: str
    strategy: str
    pnl: float
    distance: float | None
    protection: str
    order_id: str
    need: int
    filled: int
    qty: Decimal
    limit_price: Decimal
    mode: str
    owner: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a watcher decides by; ranks count from 0, None when unranked.

    ``placed_record`` is what the account has in the symbol, by the keeper's last look, '' for
    nothing; only an order to be placed needs it read. ``task`` is told to those who ask with a
    ticket.
    """

    rank: int | None
    crypto_rank: int | None
    pnl: float | None
    bid: float | None
    ask: float | None
    session_open: bool | None
    halted: str
    claim_id: str
    cooldown_seconds: float
    certified: bool
    placed_record: str
    task: Task | None = None

    def placed(self) -> Placed:
        """``placed_record``, read.

        :raises LedgerSpoiled: somebody else wrote it.
        """
        return placed(self.placed_record) if self.placed_record else Placed()


@dataclass(frozen=True, slots=True)
class Server:
    """The Redis server behind a connection, and the certificate in its memory.

    ``identity`` is ``RUN/REPL/CERTIFICATE`` as ``certify`` compares it; ``has_ledger`` tells a
    ledger of another server from none at all. ``halted``: why nothing new is opened, and when an
    operator last halted or resumed, in ms on Redis' clock.
    """

    identity: str
    certified: bool
    has_ledger: bool
    halted: str = ""
    halted_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a certification did: its epoch, claims made for orders, reservations dropped."""

    epoch: int
    adopted: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Task:
    """A watcher's task: seconds since it began, and the quantity that each ended claim filled."""

    age_seconds: float
    fills: Mapping[str, Decimal]

    @property
    def filled_qty(self) -> Decimal:
        """Of all of them."""
        return sum(self.fills.values(), Decimal(0))

    def filled_with(self, claim_id: str, live: Decimal) -> Decimal:
        """The same with a claim that has filled *live* so far. One that ended by mistake, and whose
        order showed again, is among those that ended too.
        """
        return self.filled_qty + max(live - self.fills.get(claim_id, Decimal(0)), Decimal(0))


def _spoilable(read: Callable[P, R]) -> Callable[P, R]:
    """A reader whose failures are what they are: somebody else wrote what the script answered."""

    @wraps(read)
    def reader(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except (ValueError, IndexError, TypeError, ArithmeticError) as error:
            raise LedgerSpoiled(
                f"Redis holds what this system does not write: no {read.__name__} ({error})"
            ) from None

    return reader


@_spoilable
def denial(reply: list[Any]) -> Decision:
    """A refusal of ``acquire`` or ``topup``."""
    retry = int(reply[3]) / 1000 if len(reply) > 3 else 0.0
    return Decision(Verdict.DENIED, reply[1], reply[2], retry_after=retry)


@_spoilable
def funding(reply: list[Any], claim: Claim) -> Decision:
    """A grant, a steal, or the state of the funding of *claim*, which is as the reply says.

    ``reply`` is outcome, id, fence, deadline, fund, crypto fund, PnL, inherited, steal id, and
    four items for each victim.
    """
    rows = [reply[i : i + 4] for i in range(9, len(reply), 4)]
    victims = tuple(Victim(v[0], v[1], v[2], float(v[3])) for v in rows)
    waits = reply[0] in ("steal", "pending")
    outcome = Verdict.STEAL if waits else Verdict.GRANTED
    return Decision(outcome, "", "", claim, victims, int(reply[7]), steal_id=reply[8])


@_spoilable
def funded(claim: Claim, reply: list[Any]) -> Claim:
    """*claim* with the funding that *reply* tells (see ``funding``)."""
    pending = int(reply[7]) + (len(reply) - 9) // 4
    return replace(claim, fund=int(reply[4]), pnl=float(reply[6]), pending=pending)


def claim_of(claim_id: str, fields: Mapping[str, str]) -> Claim:
    """A claim from its hash.

    :raises ValueError: a field that is missing or that this system does not write.
    """
    try:
        claim = _claim_of(claim_id, fields)
    except (KeyError, ValueError, ArithmeticError) as error:
        raise ValueError(f"not a claim as this system writes it ({error!r})"[:200]) from None
    exact = (claim.qty, claim.limit_price, claim.filled_qty)
    whole = (claim.need, claim.fund, claim.pending, claim.filled, claim.absorbed)
    times = (claim.created_ms, claim.deadline_ms)
    if not all(n.is_finite() and 0 <= n < _LARGEST for n in exact) or claim.qty == 0:
        raise ValueError("its quantity or limit cannot be")
    if not all(0 <= n < _LARGEST for n in whole + times) or not math.isfinite(claim.pnl):
        raise ValueError("one of its amounts cannot be")
    return claim


#: No amount, time, price or quantity of ours comes near this.
_LARGEST = 2**53


def _claim_of(claim_id: str, fields: Mapping[str, str]) -> Claim:
    number = {name: int(fields.get(name) or 0) for name in _CLAIM_NUMBERS}
    return Claim(
        id=claim_id,
        symbol=fields["symbol"],
        side=fields["side"],
        strategy=fields["strategy"],
        qty=Decimal(fields["qty"]),
        limit_price=Decimal(fields["limit"]),
        pnl=float(fields.get("pnl") or 0),
        mode=fields.get("mode", "normal"),
        force_immediate=fields.get("forced") == "1",
        is_crypto=fields.get("crypto") == "1",
        state=State(fields["state"]),
        fence=fields.get("fence", ""),
        owner=fields.get("owner", ""),
        filled_qty=Decimal(fields.get("filled_qty") or 0),
        order_id=fields.get("order_id", ""),
        heir=fields.get("heir", ""),
        cause=fields.get("cause", ""),
        by=fields.get("by", ""),
        ticket=fields.get("ticket", ""),
        **number,
    )


_CLAIM_NUMBERS = ("need", "fund", "pending", "filled", "absorbed", "created_ms", "deadline_ms")


@_spoilable
def candidate(row: list[str]) -> Candidate:
    """One row of ``candidates``."""
    return Candidate(
        id=row[0],
        symbol=row[1],
        side=row[2],
        strategy=row[3],
        pnl=float(row[4]),
        distance=float(row[5]) if row[5] else None,
        protection=row[6],
        order_id=row[7],
        need=int(row[8]),
        filled=int(row[9] or 0),
        qty=Decimal(row[10]),
        limit_price=Decimal(row[11]),
        mode=row[12],
        owner=row[13],
        created_ms=int(row[14]),
    )


@_spoilable
def standing(r: list[str]) -> Standing:
    """The reply of ``standing``."""
    return Standing(
        rank=int(r[0]) if r[0] else None,
        crypto_rank=int(r[1]) if r[1] else None,
        pnl=float(r[2]) if r[2] else None,
        bid=float(r[3]) if r[3] else None,
        ask=float(r[4]) if r[4] else None,
        session_open=r[5] == "1" if r[6] == "1" else None,
        halted=r[7],
        claim_id=r[8],
        cooldown_seconds=int(r[9]) / 1000,
        certified=r[10] == "1",
        placed_record=r[11],
        task=task(r[12:]) if len(r) > 12 else None,
    )


@_spoilable
def task(reply: list[str]) -> Task:
    """The reply of ``ticket``."""
    started, now = int(reply[0]), int(reply[1])
    lines = (line.split(" ", 1) for line in reply[2:])
    fills = {claim_id: Decimal(qty) for claim_id, qty in lines}
    if any(not qty.is_finite() or qty < 0 for qty in fills.values()):
        raise ValueError("a quantity that cannot be")
    return Task((now - started) / 1000, fills)


def asset_text(asset: Asset) -> str:
    """*asset* as it is kept in Redis; ``asset`` reads it."""
    record = asdict(asset)
    return json.dumps({k: str(v) if isinstance(v, Decimal) else v for k, v in record.items()})


@_spoilable
def asset(kept: str) -> Asset:
    """What ``keep_asset`` kept."""
    fields = json.loads(kept) if len(kept) <= _LONGEST_ASSET else None
    if not isinstance(fields, dict):
        raise ValueError("no object")
    for name in ("min_order_size", "min_trade_increment", "price_increment"):
        number = None if fields.get(name) is None else Decimal(fields[name])
        if number is not None and not number.is_finite():
            raise ValueError(f"{name} {number}")
        fields[name] = number
    flags = ("is_crypto", "tradable", "fractionable", "shortable", "easy_to_borrow")
    if not all(isinstance(fields.get(name), bool) for name in flags):
        raise ValueError("a flag that is none")
    return Asset(**fields)


#: Letters of the longest text that can be an asset as we write it.
_LONGEST_ASSET = 1_000


def placed_text(placed: Placed) -> str:
    """*placed* as the verb ``placed`` keeps it; ``placed`` reads it."""
    prices = (placed.highest_buy, placed.lowest_sell)
    shown = ["-" if price is None else str(price) for price in prices]
    return " ".join([*shown, str(placed.position), str(placed.closable)])


@_spoilable
def placed(kept: str) -> Placed:
    """One field of the hash ``placed``."""
    buy, sell, position, closable = kept.split(" ")
    held, free = Decimal(position), Decimal(closable)
    limits = [None if price == "-" else Decimal(price) for price in (buy, sell)]
    if not (held.is_finite() and free.is_finite()) or any(p and p.is_nan() for p in limits):
        raise ValueError("a number that cannot be")
    return Placed(limits[0], limits[1], held, free)


@_spoilable
def end(text: str) -> Pulse:
    """How a claim ended, as scripts remember it: 'status filled_qty cause by'."""
    status, filled, why = text.split(" ", 2)
    cause, _, by = why.rpartition(" ")  # a cause may have spaces
    qty = Decimal(filled)
    if not qty.is_finite() or qty < 0:
        raise ValueError("a quantity that cannot be")
    return Pulse("gone", None, status, qty, cause.strip("-"), by.strip("-"))


@_spoilable
def pulse(reply: list[str], claim: Claim) -> Pulse:
    """The reply of ``heartbeat`` about a claim that lives."""
    state, _fund, _pending, _filled, filled_qty, _order, cause, by, cooldown = reply
    return Pulse(state, claim, "", Decimal(filled_qty), cause, by, int(cooldown) / 1000)
