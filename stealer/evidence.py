"""What the broker says, in our own words: the records that cross the edge.

The edge (``stealer.broker``) turns Alpaca's answers into these; everything inside reads only
these. Symbols are canonical here (``BTCUSD``), quantities and prices are ``Decimal``, times are
unix seconds. None of them decides anything: they are evidence for the ledger's transitions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

#: Not a status of the broker's: what the keeper says of an order that was live, and that the broker
#: has positively not known for longer than anything can be in flight.
VANISHED = "vanished"

#: An order in one of these can never fill again: the only evidence that frees a charge.
TERMINAL_STATUSES = frozenset({"filled", "canceled", "expired", "rejected", "replaced", VANISHED})


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """One order as the broker last reported it."""

    id: str
    client_order_id: str
    symbol: str
    side: str
    qty: Decimal
    status: str
    filled_qty: Decimal = Decimal(0)
    filled_avg_price: Decimal | None = None
    limit_price: Decimal | None = None
    type: str = "limit"
    is_crypto: bool = False
    submitted_at: float | None = None
    replaced_by: str | None = None
    time_in_force: str = ""

    @property
    def is_terminal(self) -> bool:
        """True once no further fill is possible. An unknown status is never terminal."""
        return self.status in TERMINAL_STATUSES

    @property
    def remaining_qty(self) -> Decimal:
        """What could still fill, in units of the asset; 0 for a terminal order."""
        return Decimal(0) if self.is_terminal else max(self.qty - self.filled_qty, Decimal(0))


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """One position; ``qty`` and ``market_value`` (dollars) are negative for a short."""

    symbol: str
    qty: Decimal
    market_value: Decimal
    is_crypto: bool


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """The account's figures in dollars, as the broker states them."""

    equity: Decimal
    last_equity: Decimal
    cash: Decimal
    buying_power: Decimal
    non_marginable_buying_power: Decimal
    multiplier: Decimal
    status: str = "ACTIVE"
    trading_blocked: bool = False


@dataclass(frozen=True, slots=True)
class Asset:
    """What the broker says may be ordered of one symbol; increments in dollars and units."""

    symbol: str
    is_crypto: bool
    tradable: bool
    fractionable: bool
    shortable: bool
    min_order_size: Decimal | None = None
    min_trade_increment: Decimal | None = None
    price_increment: Decimal | None = None
    easy_to_borrow: bool = True


@dataclass(frozen=True, slots=True)
class Placed:
    """What the account has in one symbol: its open orders, whoever sent them, and its position.

    Prices in dollars, None without such an order; an order without a limit buys at ``Infinity``
    and sells at 0. ``position`` is in units, negative for a short; ``closable`` is how much of it
    no open order is closing yet.
    """

    highest_buy: Decimal | None = None
    lowest_sell: Decimal | None = None
    position: Decimal = Decimal(0)
    closable: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask in dollars; ``at`` is the market's own time, unix seconds."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: float


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A limit order to be sent; the ``client_order_id`` is the claim's id.

    ``time_in_force`` is empty where none is asked for (see ``stealer.order_rules.placed_as``).
    """

    client_order_id: str
    symbol: str
    side: str
    qty: Decimal
    limit_price: Decimal
    is_crypto: bool
    time_in_force: str = ""
    extended_hours: bool = False


class Outcome(StrEnum):
    """The four ways a submit or cancel can end. A timeout is never a rejection."""

    CONFIRMED = "confirmed"  #: the broker has the order (or has accepted the cancel)
    REJECTED = "rejected"  #: the broker refused it with a 4xx: nothing exists
    DENIED = "denied"  #: we refused it before anything was sent
    UNRESOLVED = "unresolved"  #: sent, and no trustworthy answer: only a look-up can tell


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """How a submit ended; ``order`` is set when confirmed.

    ``code`` is Alpaca's own (40310000, ...), ``kind`` our short name for the cause
    (``insufficient_buying_power``, ``insufficient_balance``, ``wash_trade``, ``held_quantity``,
    ``minimum``, ``price_tick``, ``duplicate_id``, ``rate_limited``, ``not_tradable``, ``timeout``,
    ``server_error``, ``not_sent``, ``unauthorized``, ``other``).
    """

    outcome: Outcome
    order: BrokerOrder | None = None
    kind: str = ""
    code: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class CancelResult:
    """How a cancel request ended. Confirmed means *requested*, never that the order is over.

    ``already_terminal`` is set when the broker refused because the order had ended;
    ``not_found`` when it knows no such order: both want a look-up before any verdict.
    """

    outcome: Outcome
    already_terminal: bool = False
    not_found: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """One consistent reading: orders first, then positions, then the account."""

    orders: tuple[BrokerOrder, ...]
    positions: tuple[BrokerPosition, ...]
    account: BrokerAccount
    warnings: tuple[str, ...] = field(default=())
