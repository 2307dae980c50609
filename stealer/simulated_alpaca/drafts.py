"""From a ticket to an order: ids, reference price, first status, expiry."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from . import nyse
from .assets import NAMESPACE
from .orders import ACCEPTED, PENDING_NEW, Order, Ticket, round_qty
from .prices import Quote

GTC_DAYS = 90
DAY_SECONDS = 86400


def draft(
    ticket: Ticket,
    quote: Quote,
    market_time: float,
    held: Decimal,
    seed: int,
    sequence: int,
    accept_due: float,
) -> Order:
    """The order that a ticket would open at ``quote``; ids follow from seed and sequence.

    ``held`` is the signed holding of its symbol. It is of ``market_time``, unix seconds: out of
    hours a stock's quote is older.
    """
    closes = held < 0 if ticket.side == "buy" else held > 0
    reference = quote.ask if ticket.side == "buy" else quote.bid
    price = ticket.limit_price or reference
    qty = (
        ticket.qty if ticket.qty is not None else round_qty((ticket.notional or Decimal(0)) / price)
    )
    order_id = str(uuid.uuid5(NAMESPACE, f"order:{seed}:{sequence}"))
    default_client_id = str(uuid.uuid5(NAMESPACE, f"client:{order_id}"))
    return Order(
        id=order_id,
        client_order_id=ticket.client_order_id or default_client_id,
        sequence=sequence,
        asset=ticket.asset,
        side=ticket.side,
        type=ticket.type,
        time_in_force=ticket.time_in_force,
        qty=qty,
        notional=ticket.notional,
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        extended_hours=ticket.extended_hours,
        position_intent=f"{ticket.side}_to_{'close' if closes else 'open'}",
        reference_price=reference,
        status=PENDING_NEW if ticket.asset.is_crypto else ACCEPTED,
        created_at=market_time,
        updated_at=market_time,
        submitted_at=market_time,
        accept_due=accept_due,
        expires_at=_expiry(ticket, market_time),
    )


def _expiry(ticket: Ticket, market_time: float) -> float | None:
    """The close of the session a stock's order is for; its gtc orders end after 90 days."""
    if ticket.asset.is_crypto:
        return None
    if ticket.time_in_force == "gtc":
        return market_time + GTC_DAYS * DAY_SECONDS
    session = nyse.current_session(market_time, ticket.extended_hours)
    session = session or nyse.next_session(market_time)
    return session.extended_close if ticket.extended_hours else session.close


def replacement(old: Order, body: dict[str, Any]) -> dict[str, Any]:
    """The request for the order that replaces ``old``: its remainder, changed by ``body``."""
    merged: dict[str, Any] = {
        "symbol": old.symbol,
        "side": old.side,
        "type": old.type,
        "qty": old.remaining,
        "time_in_force": old.time_in_force,
        "limit_price": old.limit_price,
        "stop_price": old.stop_price,
        "extended_hours": old.extended_hours,
    }
    allowed = ("qty", "time_in_force", "limit_price", "stop_price", "client_order_id")
    return merged | {name: body[name] for name in allowed if body.get(name) is not None}
