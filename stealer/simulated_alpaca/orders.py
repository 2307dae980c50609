"""Orders: what a request may ask for, the order itself, its states.

Quantities are in units of the asset, prices and notionals in USD, ``*_at`` are market time in unix
seconds, ``*_due`` are real time in unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Any

from .assets import Asset, asset_for, canonical_symbol
from .errors import ApiError, malformed, unprocessable

PENDING_NEW, ACCEPTED, NEW = "pending_new", "accepted", "new"
PARTIALLY_FILLED, FILLED = "partially_filled", "filled"
PENDING_CANCEL, CANCELED = "pending_cancel", "canceled"
EXPIRED, REJECTED, REPLACED = "expired", "rejected", "replaced"

#: Alive, and seldom seen: an order gets into them by a fault only.
RARE = frozenset(
    {
        "accepted_for_bidding",
        "calculated",
        "done_for_day",
        "held",
        "pending_replace",
        "stopped",
        "suspended",
    }
)
LIVE = frozenset({PENDING_NEW, ACCEPTED, NEW, PARTIALLY_FILLED, PENDING_CANCEL}) | RARE
TERMINAL = frozenset({FILLED, CANCELED, EXPIRED, REJECTED, REPLACED})

QTY_INCREMENT = Decimal("0.000000001")
#: Alpaca's length limit for client order ids.
MAX_CLIENT_ID = 128
#: Numbers beyond this are refused before they reach arithmetic.
MAX_NUMBER = Decimal(10) ** 15

_TYPES = {
    "crypto": frozenset({"market", "limit", "stop_limit"}),
    "us_equity": frozenset({"market", "limit", "stop", "stop_limit"}),
}
_TIFS = {
    "crypto": frozenset({"gtc", "ioc"}),
    "us_equity": frozenset({"day", "gtc", "ioc", "fok"}),
}


@dataclass(frozen=True)
class Ticket:
    """A readable order request. Exactly one of ``qty`` and ``notional`` is set."""

    asset: Asset
    side: str
    type: str
    time_in_force: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    client_order_id: str | None = None
    extended_hours: bool = False


@dataclass
class Order:
    """One order and everything that has happened to it."""

    id: str
    client_order_id: str
    sequence: int
    asset: Asset
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    extended_hours: bool
    #: What it was meant to do to the position of the moment: ``buy_to_open`` and so on.
    position_intent: str
    #: Price that values a market order until it fills: the quote when it was accepted.
    reference_price: Decimal
    status: str
    created_at: float
    updated_at: float
    submitted_at: float
    accept_due: float
    expires_at: float | None = None
    filled_qty: Decimal = Decimal(0)
    filled_avg_price: Decimal | None = None
    filled_at: float | None = None
    canceled_at: float | None = None
    expired_at: float | None = None
    failed_at: float | None = None
    replaced_at: float | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    cancel_due: float | None = None
    #: How a cancel that was asked for ends: "cancel", "fill", "partial" or "rejected".
    cancel_outcome: str = "cancel"
    partial_fraction: Decimal = Decimal("0.5")
    #: Set when the exchange accepted it and then refuses it asynchronously.
    doomed: bool = False
    stop_triggered: bool = False
    next_fill_due: float = 0.0
    #: Whether the order has reached the book; a pending cancel keeps what it was.
    working: bool = False
    ended_due: float | None = None

    @property
    def live(self) -> bool:
        """Whether it can still fill."""
        return self.status in LIVE

    @property
    def remaining(self) -> Decimal:
        """Quantity not filled yet."""
        return self.qty - self.filled_qty

    @property
    def price(self) -> Decimal:
        """The price that values the remainder: the limit, else the reference."""
        return self.limit_price if self.limit_price is not None else self.reference_price

    @property
    def symbol(self) -> str:
        """Canonical symbol."""
        return self.asset.symbol


def _number(body: dict[str, Any], name: str) -> Decimal | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise malformed(f"{name} must be a number")
    try:
        parsed = Decimal(str(value))
    except InvalidOperation as error:
        raise malformed(f"{name} must be a number") from error
    if not parsed.is_finite() or abs(parsed) > MAX_NUMBER:
        raise malformed(f"{name} is out of range")
    if parsed <= 0:
        raise unprocessable(f"{name} must be > 0")
    return parsed


def _choice(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise malformed(f"{name} is required")
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False):
        raise malformed(f"{name} must be a boolean")
    return bool(value)


def parse_asset(text: Any, known: frozenset[str]) -> Asset:
    """The asset of a request's symbol. Raises ApiError when it is unknown."""
    if not isinstance(text, str) or not text:
        raise malformed("symbol is required")
    try:
        symbol = canonical_symbol(text)
    except ValueError:
        symbol = ""
    if symbol not in known:
        raise unprocessable(f'asset "{text}" not found')
    return asset_for(symbol)


def parse_ticket(body: Any, known: frozenset[str]) -> Ticket:
    """An order request's JSON as a ticket. Raises ApiError in Alpaca's form."""
    if not isinstance(body, dict):
        raise malformed("request body format is invalid")
    client_id = body.get("client_order_id")
    if client_id is not None and (not isinstance(client_id, str) or len(client_id) > MAX_CLIENT_ID):
        raise malformed(f"client_order_id must be no more than {MAX_CLIENT_ID} characters")
    if body.get("order_class") not in (None, "", "simple"):
        raise unprocessable("only simple orders are supported here")
    ticket = Ticket(
        asset=parse_asset(body.get("symbol"), known),
        side=_choice(body, "side"),
        type=_choice(body, "type"),
        time_in_force=_choice(body, "time_in_force"),
        qty=_number(body, "qty"),
        notional=_number(body, "notional"),
        limit_price=_number(body, "limit_price"),
        stop_price=_number(body, "stop_price"),
        client_order_id=client_id or None,
        extended_hours=_flag(body, "extended_hours"),
    )
    for problem in (_shape_problem(ticket), _class_problem(ticket), _price_problem(ticket)):
        if problem is not None:
            raise problem
    return ticket


def _shape_problem(ticket: Ticket) -> ApiError | None:
    """What is wrong with the request whatever the asset."""
    if ticket.side not in ("buy", "sell"):
        return malformed("invalid side")
    if ticket.qty is None and ticket.notional is None:
        return malformed("qty or notional is required")
    if ticket.qty is not None and ticket.notional is not None:
        return malformed("only one of qty or notional is accepted")
    needs_limit = ticket.type in ("limit", "stop_limit")
    if needs_limit != (ticket.limit_price is not None):
        verb = "require" if needs_limit else "can't have"
        return unprocessable(f"{ticket.type} orders {verb} limit price")
    needs_stop = ticket.type in ("stop", "stop_limit")
    if needs_stop != (ticket.stop_price is not None):
        verb = "require" if needs_stop else "can't have"
        return unprocessable(f"{ticket.type} orders {verb} stop price")
    return None


def _class_problem(ticket: Ticket) -> ApiError | None:
    """What the asset's class does not allow: type, time in force, fractions, hours."""
    asset = ticket.asset
    if ticket.type not in _TYPES[asset.asset_class]:
        return unprocessable(f"invalid order type for {asset.asset_class} order")
    if ticket.time_in_force not in _TIFS[asset.asset_class]:
        name = "crypto " if asset.is_crypto else ""
        return unprocessable(f"invalid {name}time_in_force")
    if ticket.extended_hours and (
        asset.is_crypto or ticket.type != "limit" or ticket.time_in_force != "day"
    ):
        return unprocessable("extended hours order must be DAY limit orders")
    quantity = ticket.qty if ticket.qty is not None else Decimal("0.5")
    if quantity % QTY_INCREMENT != 0:
        return unprocessable("qty increment must be 0.000000001")
    if not asset.is_crypto and quantity % 1 != 0 and ticket.time_in_force != "day":
        return unprocessable("fractional orders must be DAY orders")
    return None


def _price_problem(ticket: Ticket) -> ApiError | None:
    """A price off the tick grid."""
    for name, price in (("limit_price", ticket.limit_price), ("stop_price", ticket.stop_price)):
        if price is None or price % ticket.asset.tick(price) == 0:
            continue
        if ticket.asset.is_crypto:
            step = format(ticket.asset.tick(price), "f")
            return unprocessable(f"invalid {name} {price}. price increment must be {step}")
        return unprocessable(
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )
    return None


def round_qty(qty: Decimal) -> Decimal:
    """A quantity rounded down to the smallest unit."""
    return qty.quantize(QTY_INCREMENT, ROUND_DOWN)
