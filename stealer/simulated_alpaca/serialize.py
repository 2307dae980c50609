"""Engine objects as Alpaca's JSON: numbers as strings, RFC 3339 times with nanoseconds."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from . import nyse
from .account import Figures, Position
from .assets import NAMESPACE, Asset
from .errors import number
from .events import Event
from .exchange import Exchange
from .orders import Order
from .prices import Bar, Quote

ACCOUNT_ID = str(uuid.uuid5(NAMESPACE, "account"))
ACCOUNT_NUMBER = "PA0SIMULATED"
CENT = Decimal("0.01")
RATE = Decimal("0.00000001")
#: Size shown at the best bid and ask; the book is not modelled.
SHOWN_SIZE = {True: 1.5, False: 3}


def timestamp(seconds: float | None) -> str | None:
    """RFC 3339 UTC with nine decimals."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micros:06d}000Z"


def eastern(seconds: float) -> str:
    """ISO 8601 in New York time, as /v2/clock shows it."""
    return datetime.fromtimestamp(seconds, nyse.NEW_YORK).isoformat()


def _optional(value: Decimal | None) -> str | None:
    return None if value is None else number(value)


def money(value: Decimal) -> str:
    """USD to the cent."""
    return number(value.quantize(CENT))


def order_json(order: Order) -> dict[str, Any]:
    """An order."""
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": timestamp(order.created_at),
        "updated_at": timestamp(order.updated_at),
        "submitted_at": timestamp(order.submitted_at),
        "filled_at": timestamp(order.filled_at),
        "expired_at": timestamp(order.expired_at),
        "expires_at": timestamp(order.expires_at),
        "canceled_at": timestamp(order.canceled_at),
        "failed_at": timestamp(order.failed_at),
        "replaced_at": timestamp(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": order.asset.id,
        "symbol": order.symbol,
        "asset_class": order.asset.asset_class,
        "notional": _optional(order.notional),
        "qty": number(order.qty) if order.notional is None else None,
        "filled_qty": number(order.filled_qty),
        "filled_avg_price": _average(order.filled_avg_price),
        "order_class": "",
        "order_type": order.type,
        "type": order.type,
        "side": order.side,
        "time_in_force": order.time_in_force,
        "limit_price": _optional(order.limit_price),
        "stop_price": _optional(order.stop_price),
        "status": order.status,
        "extended_hours": order.extended_hours,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "position_intent": order.position_intent,
        "subtag": None,
        "source": None,
    }


def _average(price: Decimal | None) -> str | None:
    return None if price is None else number(price.quantize(Decimal("0.000000001")))


def account_json(
    figures: Figures, last_equity: Decimal, created: float, now: float
) -> dict[str, Any]:
    """The account. Day-trade fields are left out, as Alpaca does since 2026."""
    value = {
        "buying_power": figures.buying_power,
        "regt_buying_power": figures.buying_power,
        "non_marginable_buying_power": figures.non_marginable,
        "options_buying_power": figures.non_marginable,
        "cash": figures.cash,
        "portfolio_value": figures.equity,
        "equity": figures.equity,
        "last_equity": last_equity,
        "long_market_value": figures.long_value,
        "short_market_value": figures.short_value,
        "position_market_value": figures.long_value - figures.short_value,
        "initial_margin": figures.initial_margin,
        "maintenance_margin": figures.maintenance_margin,
        "last_maintenance_margin": Decimal(0),
        "sma": Decimal(0),
        "accrued_fees": Decimal(0),
        "pending_transfer_in": Decimal(0),
        "pending_transfer_out": Decimal(0),
        "pending_reg_taf_fees": Decimal(0),
        "intraday_adjustments": Decimal(0),
    }
    return {
        "id": ACCOUNT_ID,
        "account_number": ACCOUNT_NUMBER,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "multiplier": number(figures.multiplier),
        "balance_asof": str(nyse.new_york_date(nyse.last_close(now))),
        "shorting_enabled": figures.multiplier > 1,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "created_at": timestamp(created),
        "crypto_tier": 1,
        "options_approved_level": 0,
        "options_trading_level": 0,
    } | {name: money(amount) for name, amount in value.items()}


def position_json(position: Position, mark: Decimal, held: Decimal) -> dict[str, Any]:
    """A position at ``mark``; ``held`` is the quantity that open exits hold."""
    value, cost = position.qty * mark, position.qty * position.avg_entry
    gain = value - cost
    rate = (gain / abs(cost)).quantize(RATE) if cost else Decimal(0)
    return {
        "asset_id": position.asset.id,
        "symbol": position.asset.position_symbol,
        "exchange": exchange_of(position.asset),
        "asset_class": position.asset.asset_class,
        "asset_marginable": not position.asset.is_crypto,
        "qty": number(position.qty),
        "avg_entry_price": _average(position.avg_entry),
        "side": "long" if position.qty > 0 else "short",
        "market_value": number(value),
        "cost_basis": number(cost),
        "unrealized_pl": number(gain),
        "unrealized_plpc": number(rate),
        "unrealized_intraday_pl": number(gain),
        "unrealized_intraday_plpc": number(rate),
        "current_price": number(mark),
        "lastday_price": number(mark),
        "change_today": "0",
        "qty_available": number(max(abs(position.qty) - held, Decimal(0)).copy_sign(position.qty)),
    }


def exchange_of(asset: Asset) -> str:
    """The listing venue; alpaca-py knows CRYPTO, not ALPACA."""
    return "CRYPTO" if asset.is_crypto else "NASDAQ"


def asset_json(asset: Asset, price: Decimal | None) -> dict[str, Any]:
    """An asset; crypto shows its increments and its minimum at the present price."""
    found: dict[str, Any] = {
        "id": asset.id,
        "class": asset.asset_class,
        "exchange": exchange_of(asset),
        "symbol": asset.symbol,
        "name": asset.symbol,
        "status": "active",
        "tradable": True,
        "marginable": not asset.is_crypto,
        "shortable": not asset.is_crypto,
        "easy_to_borrow": not asset.is_crypto,
        "fractionable": True,
        "attributes": [],
        "maintenance_margin_requirement": 100 if asset.is_crypto else 30,
        "margin_requirement_long": "100" if asset.is_crypto else "30",
        "margin_requirement_short": "100" if asset.is_crypto else "30",
    }
    if not asset.is_crypto:
        found["borrow_status"] = "easy_to_borrow"
    else:
        found["min_trade_increment"] = "0.000000001"
        found["price_increment"] = number(asset.crypto_tick)
        if price is not None:
            found["min_order_size"] = number((asset.minimum_notional / price).quantize(RATE))
    return found


def quote_json(quote: Quote) -> dict[str, Any]:
    """A quote in the data API's short names, numbers as numbers."""
    crypto = "/" in quote.symbol
    size = SHOWN_SIZE[crypto]
    found: dict[str, Any] = {
        "t": timestamp(quote.when),
        "bp": float(quote.bid),
        "bs": size,
        "ap": float(quote.ask),
        "as": size,
    }
    return found if crypto else found | {"bx": "V", "ax": "V", "c": ["R"], "z": "C"}


def bar_json(symbol: str, bar: Bar) -> dict[str, Any]:
    """A bar in the data API's short names; stocks trade in whole shares."""
    middle = (bar.high + bar.low + bar.close) / 3
    return {
        "t": datetime.fromtimestamp(bar.start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "o": round(bar.open, 9),
        "h": round(bar.high, 9),
        "l": round(bar.low, 9),
        "c": round(bar.close, 9),
        "v": round(bar.volume, 9) if "/" in symbol else round(bar.volume),
        "n": max(int(bar.volume), 1),
        "vw": round(middle, 9),
    }


def event_json(event: Event) -> dict[str, Any]:
    """A line of the event log."""
    execution = event.execution
    return {
        "sequence": event.sequence,
        "real_time": event.real,
        "timestamp": timestamp(event.market),
        "event": event.name,
        "price": execution and number(execution.price),
        "qty": execution and number(execution.qty),
        "position_qty": execution and number(execution.position_qty),
        "order": order_json(event.order),
    }


def activity_json(event: Event) -> dict[str, Any]:
    """A fill as an account activity; its id sorts by time and ends in the execution's id."""
    order, execution = event.order, event.execution
    assert execution is not None
    when = datetime.fromtimestamp(event.market, UTC)
    return {
        "id": f"{when:%Y%m%d%H%M%S}{when.microsecond // 1000:03d}::{execution_id(event)}",
        "activity_type": "FILL",
        "transaction_time": timestamp(event.market),
        "type": event.name,
        "price": number(execution.price),
        "qty": number(execution.qty),
        "side": order.side,
        "symbol": order.symbol,
        "leaves_qty": number(order.remaining),
        "cum_qty": number(order.filled_qty),
        "order_id": order.id,
        "order_status": order.status,
    }


def execution_id(event: Event) -> str:
    """A UUID of the event: of its trade update, and of a fill's account activity."""
    return str(uuid.uuid5(NAMESPACE, f"execution:{event.order.id}:{event.sequence}"))


def report_json(exchange: Exchange) -> dict[str, Any]:
    """The judge's report with the account's present state."""
    figures, marks = exchange.figures(), exchange.market.marks()
    return exchange.judge.report(exchange.live.values()) | {
        "clock": str(exchange.clock),
        "market_time": timestamp(exchange.market_time),
        "real_seconds": exchange.present - exchange.started,
        "account": {
            "cash": money(figures.cash),
            "equity": money(figures.equity),
            "buying_power": money(figures.buying_power),
            "non_marginable_buying_power": money(figures.non_marginable),
        },
        "positions": {
            symbol: {"qty": number(p.qty), "market_value": money(p.qty * marks[symbol])}
            for symbol, p in exchange.account.positions.items()
        },
    }
