"""Alpaca's JSON -> our records. Lenient about what is missing, strict about what is used.

alpaca-py is asked for raw JSON and its models are not used for reading: they refuse whole lists
for one unknown status or one ``submitted_at: null`` and fail with a page of pydantic, and they
round times to microseconds. Here a field we do not need cannot hurt, an unknown status is kept
as it is (never terminal), and a field we do need that is missing or unreadable names itself in a
:class:`BrokerMalformed`.

Numbers arrive as text in trading answers (exact) and as JSON numbers in quotes (Python's shortest
form of the double, which for anything up to 15 digits is what the broker wrote).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from stealer.broker.interface import BrokerMalformed, MarketClock
from stealer.broker.symbols import canonical_from_broker, is_crypto
from stealer.evidence import (
    TERMINAL_STATUSES,
    Asset,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    Quote,
)

Fields = Mapping[str, Any]

#: Larger or finer numbers than these are not prices, quantities or money.
_MAX_EXPONENT = 30


def order_record(
    raw: object, crypto_symbols: frozenset[str], warnings: list[str] | None = None
) -> BrokerOrder:
    """One order. ``side`` and ``symbol`` are ``""`` where the broker gives none (multi-leg).

    An order given in dollars (``notional``) has no quantity: it is restated so that quantity x
    price is right, and a sentence is added to *warnings*.
    """
    fields = _object(raw, "order")
    order_id = _text(fields, "id", "order")
    what = f"order {order_id}"
    symbol = str(fields.get("symbol") or "")
    filled_qty = _number_or(fields, "filled_qty", what, Decimal(0))
    average = _maybe_number(fields, "filled_avg_price", what)
    limit = _maybe_number(fields, "limit_price", what)
    qty = _maybe_number(fields, "qty", what)
    if qty is None:
        qty, limit = _from_notional(fields, what, filled_qty, average, limit)
        if warnings is not None:
            warnings.append(f"{what} ({symbol}) is given in dollars; its quantity is our estimate")
    if not symbol and warnings is not None:
        warnings.append(f"{what} has no symbol of its own (several legs?)")
    if qty < 0 or filled_qty < 0:
        raise BrokerMalformed(f"{what}: the broker sent a negative quantity")
    status = _text(fields, "status", what)
    # An end frees what did not fill: an answer that does not say how much filled ends nothing.
    if status in TERMINAL_STATUSES:
        _number(fields, "filled_qty", what)
    if status == "filled" and fields.get("qty") is not None and filled_qty < qty:
        raise BrokerMalformed(f"{what}: the broker calls it filled, but only {filled_qty} of {qty}")
    return BrokerOrder(
        id=order_id,
        client_order_id=str(fields.get("client_order_id") or ""),
        symbol=canonical_from_broker(symbol),
        side=str(fields.get("side") or ""),
        qty=qty,
        status=status,
        filled_qty=filled_qty,
        filled_avg_price=average,
        limit_price=limit,
        type=str(fields.get("type") or fields.get("order_type") or ""),
        is_crypto=is_crypto(symbol, crypto_symbols, str(fields.get("asset_class") or "")),
        submitted_at=_maybe_seconds(fields, "submitted_at", what),
        replaced_by=str(fields["replaced_by"]) if fields.get("replaced_by") else None,
        time_in_force=str(fields.get("time_in_force") or ""),
    )


def _from_notional(
    fields: Fields, what: str, filled_qty: Decimal, average: Decimal | None, limit: Decimal | None
) -> tuple[Decimal, Decimal | None]:
    """Quantity and price of an order stated in dollars; with no price known, dollars at 1."""
    notional = _number(fields, "notional", what)
    price = limit or average
    if price is None or price <= 0:
        return notional, Decimal(1)
    return max(notional / price, filled_qty), limit or price


def position_record(raw: object, crypto_symbols: frozenset[str]) -> BrokerPosition:
    """One position; quantity and value negative for a short, whichever way the broker says it."""
    fields = _object(raw, "position")
    symbol = _text(fields, "symbol", "position")
    what = f"position {symbol}"
    qty = _number(fields, "qty", what)
    value = _maybe_number(fields, "market_value", what)
    if value is None:  # no current price (halted, just listed): the best known one
        price = _maybe_number(fields, "current_price", what)
        value = qty * (price if price is not None else _number(fields, "avg_entry_price", what))
    short = fields.get("side") == "short" or qty < 0
    return BrokerPosition(
        symbol=canonical_from_broker(symbol),
        qty=-abs(qty) if short else qty,
        market_value=-abs(value) if short else value,
        is_crypto=is_crypto(symbol, crypto_symbols, str(fields.get("asset_class") or "")),
    )


def account_record(raw: object) -> BrokerAccount:
    """The account. Day-trade fields are not read: Alpaca removed them in 2026."""
    fields = _object(raw, "account")
    equity = _number(fields, "equity", "account")
    blocks = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
    return BrokerAccount(
        equity=equity,
        last_equity=_number_or(fields, "last_equity", "account", equity),
        cash=_number(fields, "cash", "account"),
        buying_power=_number(fields, "buying_power", "account"),
        non_marginable_buying_power=_number(fields, "non_marginable_buying_power", "account"),
        multiplier=_number_or(fields, "multiplier", "account", Decimal(1)),
        status=_text(fields, "status", "account"),
        trading_blocked=any(_flag(fields, name, "account") for name in blocks),
    )


def asset_record(raw: object) -> Asset:
    """One asset; an inactive one is not tradable whatever its flag says."""
    fields = _object(raw, "asset")
    symbol = _text(fields, "symbol", "asset")
    what = f"asset {symbol}"
    asset_class = str(fields.get("class") or fields.get("asset_class") or "")
    return Asset(
        symbol=canonical_from_broker(symbol),
        is_crypto=asset_class == "crypto" or "/" in symbol,
        tradable=_flag(fields, "tradable", what) and fields.get("status") in (None, "active"),
        fractionable=_flag(fields, "fractionable", what),
        shortable=_flag(fields, "shortable", what),
        min_order_size=_maybe_number(fields, "min_order_size", what),
        min_trade_increment=_maybe_number(fields, "min_trade_increment", what),
        price_increment=_maybe_number(fields, "price_increment", what),
        easy_to_borrow=_flag(fields, "easy_to_borrow", what),
    )


def quote_record(symbol: str, raw: object) -> Quote | None:
    """A two-sided quote, or None if one side is missing.

    Alpaca writes 0 for a side nobody quotes (a stock out of hours). A price of 0 would look
    marketable to whoever buys, so such a quote is as good as none.
    """
    what = f"quote {symbol}"
    fields = _object(raw, what)
    bid, ask = (
        _number_or(fields, "bp", what, Decimal(0)),
        _number_or(fields, "ap", what, Decimal(0)),
    )
    if bid <= 0 or ask <= 0:
        return None
    at = _maybe_seconds(fields, "t", what)
    if at is None:
        raise BrokerMalformed(f"{what}: the broker's answer has no 't' (the quote's time)")
    return Quote(symbol=canonical_from_broker(symbol), bid=bid, ask=ask, at=at)


def clock_record(raw: object) -> MarketClock:
    """The exchange's clock. ``is_open`` must be a plain true or false."""
    fields = _object(raw, "clock")
    if not isinstance(fields.get("is_open"), bool):
        raise BrokerMalformed("clock: the broker's answer has no readable 'is_open'")
    times = {}
    for name in ("timestamp", "next_open", "next_close"):
        seconds = _maybe_seconds(fields, name, "clock")
        if seconds is None:
            raise BrokerMalformed(f"clock: the broker's answer has no {name!r}")
        times[name] = seconds
    return MarketClock(
        fields["is_open"], times["timestamp"], times["next_open"], times["next_close"]
    )


def unix_seconds(text: str) -> float:
    """RFC 3339 -> unix seconds. Nanoseconds are cut to microseconds; no zone means UTC.

    :raises ValueError: not a time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _object(raw: object, what: str) -> Fields:
    if not isinstance(raw, Mapping):
        raise BrokerMalformed(f"{what}: the broker sent {_kind(raw)} where an object belongs")
    return raw


def list_of(raw: object, what: str) -> list[object]:
    """*raw* if it is a list; an error, never an empty list, otherwise.

    :raises BrokerMalformed: anything but a list.
    """
    if not isinstance(raw, list):
        raise BrokerMalformed(f"{what}: the broker sent {_kind(raw)} where a list belongs")
    return raw


def _kind(raw: object) -> str:
    return "nothing" if raw is None else f"a {type(raw).__name__}"


def _text(fields: Fields, name: str, what: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BrokerMalformed(f"{what}: the broker's answer has no readable {name!r}")
    return value


def _flag(fields: Fields, name: str, what: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BrokerMalformed(f"{what}: {name!r} should be true or false")


def _maybe_number(fields: Fields, name: str, what: str) -> Decimal | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BrokerMalformed(f"{what}: {name!r} should be a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BrokerMalformed(f"{what}: {name!r} is not a number: {str(value)[:40]!r}") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_EXPONENT:
        raise BrokerMalformed(f"{what}: {name!r} is not a usable number: {str(value)[:40]!r}")
    return number


def _number(fields: Fields, name: str, what: str) -> Decimal:
    number = _maybe_number(fields, name, what)
    if number is None:
        raise BrokerMalformed(f"{what}: the broker's answer has no {name!r}")
    return number


def _number_or(fields: Fields, name: str, what: str, default: Decimal) -> Decimal:
    number = _maybe_number(fields, name, what)
    return default if number is None else number


def _maybe_seconds(fields: Fields, name: str, what: str) -> float | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        seconds = unix_seconds(value)
    except (TypeError, ValueError, OverflowError):
        raise BrokerMalformed(f"{what}: {name!r} is not a time: {str(value)[:40]!r}") from None
    if not math.isfinite(seconds):
        raise BrokerMalformed(f"{what}: {name!r} is not a time")
    return seconds
