"""Intents, claims and decisions: the words of the coordination layer.

Money is integer micro-dollars; prices and quantities are ``Decimal``; PnL is a forecast, so a
float, and is only ever compared by order. Nothing here talks to Redis or to a broker.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext
from enum import StrEnum

from stealer.printable import shown

#: Micro-dollars in a dollar: the ledger's unit.
MICRO = 1_000_000

#: The largest amount one order may need, in micro-dollars (one billion dollars). It keeps every
#: sum of the ledger far below 2**53, up to which Lua's numbers are exact.
MAX_NEED = 1_000_000_000 * MICRO

_STOCK = re.compile(r"[A-Z]{1,5}(\.[A-Z]{1,2})?")
_PAIR = re.compile(r"([A-Z0-9]{2,10})(/|-)?(USD)")
_STRATEGY = re.compile(r"[A-Za-z0-9_.]{1,24}")


class InvalidIntent(ValueError):
    """An intent that no broker could take. The message says what, where, and what is allowed."""


class Side(StrEnum):
    """Direction of an entry order. A sell entry opens a short."""

    BUY = "buy"
    SELL = "sell"


class Mode(StrEnum):
    """``probe`` entries are never victims; otherwise the mode changes nothing."""

    NORMAL = "normal"
    PROBE = "probe"


class TimeInForce(StrEnum):
    """How long an order lives at the broker; which class takes which is in ``order_rules``."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"


class State(StrEnum):
    """States of a claim (DESIGN part 3; the charge of each is in PROTOCOL, "Ledger")."""

    RESERVED = "reserved"
    LAUNCHING = "launching"
    OPEN = "open"
    EVICTING = "evicting"
    CLOSED = "closed"


def canonical_symbol(text: str, crypto_symbols: frozenset[str]) -> str:
    """The one form used inside: ``BTC/USD``, ``btc-usd`` and ``BTCUSD`` are all ``BTCUSD``.

    :param crypto_symbols: canonical crypto symbols this account trades.
    :raises InvalidIntent: for anything that is neither one of those nor shaped like a stock.
    """
    if not isinstance(text, str):
        raise InvalidIntent(f"symbol: {shown(text)} is not text; write it like AAPL or BTC/USD")
    upper = text.strip().upper()
    pair = _PAIR.fullmatch(upper)
    if pair and pair.group(1) + "USD" in crypto_symbols:
        return pair.group(1) + "USD"
    if pair and pair.group(2):
        raise InvalidIntent(
            f"symbol: {shown(text)} is a crypto pair this account does not list; "
            f"known pairs: {', '.join(sorted(crypto_symbols))} (add it to CRYPTO_SYMBOLS)"
        )
    if _STOCK.fullmatch(upper):
        return upper
    raise InvalidIntent(
        f"symbol: {shown(text)} is neither a stock like AAPL or BRK.B nor one of the crypto pairs "
        f"{', '.join(sorted(crypto_symbols))} (more in CRYPTO_SYMBOLS)"
    )


def positive_decimal(name: str, value: object, *, maximum: Decimal = Decimal(10) ** 12) -> Decimal:
    """*value* as an exact positive ``Decimal``; floats are read as a person would print them.

    :raises InvalidIntent: not a number, NaN, infinite, zero, negative or above *maximum*.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise InvalidIntent(f"{name}: {shown(value)} is not a number")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise InvalidIntent(f"{name}: {shown(value)} is not a number") from None
    if not number.is_finite():
        raise InvalidIntent(f"{name}: {shown(value)} is not a finite number")
    if number <= 0:
        raise InvalidIntent(f"{name}: {shown(value)} must be above 0")
    if number > maximum:
        raise InvalidIntent(f"{name}: {shown(value)} is above the largest allowed, {maximum:,.0f}")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -12:
        raise InvalidIntent(f"{name}: {shown(value)} has more than 12 decimal places")
    return number


def finite_pnl(name: str, value: object) -> float:
    """A forecast PnL in dollars: any finite number, also negative.

    :raises InvalidIntent: not a number, NaN, infinite or beyond a trillion.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise InvalidIntent(f"{name}: {shown(value)} is not a number") from None
    if not math.isfinite(number) or abs(number) > 1e12:
        raise InvalidIntent(f"{name}: {shown(value)} must be a finite number of dollars")
    return number


def micro_dollars(qty: Decimal, price: Decimal) -> int:
    """``qty * price`` in micro-dollars, rounded up: a charge is never less than the order."""
    with localcontext() as context:
        context.prec = 60
        return int((qty * price * MICRO).to_integral_value(rounding=ROUND_CEILING))


def decimal_text(number: Decimal) -> str:
    """Plain decimal notation without exponent or trailing zeros, as brokers and people read it."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What a watcher wants: one limit entry order.

    Given numbers may be int, float, str or ``Decimal``; they are kept as exact ``Decimal``.
    ``forecasted_pnl`` (dollars) is used unless a published forecast for the same symbol and
    strategy says otherwise. The symbol is made canonical by the coordinator, which knows the
    account's crypto pairs. An empty ``time_in_force`` is the usual one of the symbol's class.

    :raises InvalidIntent: any field that no broker could take.
    """

    symbol: str
    side: str
    qty: Decimal
    limit_price: Decimal
    strategy: str = "maxdiff"
    forecasted_pnl: float = 0.0
    mode: str = "normal"
    force_immediate: bool = False
    time_in_force: str = ""
    extended_hours: bool = False

    def __init__(
        self,
        symbol: str,
        side: str,
        qty: Decimal | float | str,
        limit_price: Decimal | float | str,
        strategy: str = "maxdiff",
        forecasted_pnl: float | str = 0.0,
        mode: str = "normal",
        force_immediate: bool = False,
        time_in_force: str = "",
        extended_hours: bool = False,
    ) -> None:
        put = object.__setattr__
        if not isinstance(symbol, str) or not symbol.strip():
            raise InvalidIntent(f"symbol: {shown(symbol)} is not a symbol; write it like AAPL")
        put(self, "symbol", symbol.strip().upper())
        put(self, "side", _choice("side", side, Side))
        put(self, "qty", positive_decimal("qty", qty))
        put(self, "limit_price", positive_decimal("limit_price", limit_price))
        put(self, "strategy", valid_strategy(strategy))
        put(self, "forecasted_pnl", finite_pnl("forecasted_pnl", forecasted_pnl))
        put(self, "mode", _choice("mode", mode, Mode))
        put(self, "force_immediate", bool(force_immediate))
        asked = _choice("time_in_force", time_in_force, TimeInForce) if time_in_force else ""
        put(self, "time_in_force", asked)
        put(self, "extended_hours", bool(extended_hours))
        if micro_dollars(self.qty, self.limit_price) > MAX_NEED:
            raise InvalidIntent(
                f"qty x limit_price: {self.qty} x {self.limit_price} dollars is above the largest "
                f"order allowed, {MAX_NEED // MICRO:,} dollars"
            )


def _choice(name: str, value: object, allowed: type[StrEnum]) -> str:
    text = str(value).strip().lower()
    if text not in {item.value for item in allowed}:
        options = " or ".join(item.value for item in allowed)
        raise InvalidIntent(f"{name}: {shown(value)} is not allowed; use {options}")
    return text


def valid_strategy(value: object) -> str:
    """A strategy name: 1 to 24 of letters, digits, ``_`` and ``.`` (it is part of order ids).

    :raises InvalidIntent: anything else.
    """
    if not isinstance(value, str) or not _STRATEGY.fullmatch(value):
        raise InvalidIntent(
            f"strategy: {shown(value)} must be 1 to 24 letters, digits, underscores or dots"
        )
    return value


@dataclass(frozen=True, slots=True)
class Claim:
    """An intent that holds capacity; ``id`` is the order's ``client_order_id``.

    ``need``, ``fund``, ``filled`` and ``absorbed`` are micro-dollars. ``fence`` is
    ``epoch.sequence``: an owner whose fence is not the ledger's has been fenced off.
    """

    id: str
    symbol: str
    side: str
    strategy: str
    qty: Decimal
    limit_price: Decimal
    need: int
    pnl: float
    mode: str
    force_immediate: bool
    is_crypto: bool
    state: State
    fence: str
    owner: str
    created_ms: int = 0
    deadline_ms: int = 0
    fund: int = 0
    pending: int = 0
    filled: int = 0
    filled_qty: Decimal = Decimal(0)
    absorbed: int = 0
    order_id: str = ""
    heir: str = ""
    cause: str = ""
    by: str = ""
    ticket: str = ""

    @property
    def slot(self) -> str:
        """One claim at a time for each of these (DESIGN invariant 2)."""
        return f"{self.symbol}|{self.side}|{self.strategy}"

    @property
    def unit_cost(self) -> Decimal:
        """Worst dollars one unit can cost: what a partial fill is charged at."""
        return Decimal(self.need) / MICRO / self.qty


class Verdict(StrEnum):
    """What ``acquire`` decided."""

    GRANTED = "granted"
    STEAL = "steal"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Victim:
    """A claim whose order is to be canceled for a thief; ``pnl`` is its live forecast."""

    id: str
    symbol: str
    order_id: str
    pnl: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of ``acquire`` and ``topup``.

    ``reason`` is empty unless denied; ``detail`` says in words what stood against it, for
    ``why`` and for logs. ``inherits`` counts evictions already under way that this claim is paid
    from: as the first answer counted them, also where a repeated one finds them ended. A claim that
    counts on any, or on ``victims``, is topped up before it is launched. ``retry_after`` is in
    seconds, 0 when unknown.
    """

    outcome: Verdict
    reason: str = ""
    detail: str = ""
    claim: Claim | None = None
    victims: tuple[Victim, ...] = ()
    inherits: int = 0
    retry_after: float = 0.0
    steal_id: str = ""

    def __bool__(self) -> bool:
        """True when capacity was reserved: granted, or being stolen."""
        return self.outcome is not Verdict.DENIED


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a heartbeat answers an owner (PROTOCOL, "The owner's view").

    ``state`` is a claim state, ``gone`` (ended; see ``ended``) or ``unknown``.
    """

    state: str
    claim: Claim | None = None
    ended: str = ""
    filled_qty: Decimal = Decimal(0)
    cause: str = ""
    by: str = ""
    cooldown_seconds: float = 0.0
