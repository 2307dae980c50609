"""The exchange: one account, its orders, and a market that it fills them against.

Pure: no wall clock, no threads, no global randomness. Every call is given the present in real unix
seconds; the market clock turns it into market time. Calls must not go back in time; an earlier
present is read as the latest one seen. Latencies are real seconds, prices USD.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import nyse
from .account import Account, Figures, figures
from .checks import check_entry, reason
from .clock import MarketClock
from .drafts import draft, replacement
from .errors import ApiError, already, duplicate_id, malformed, not_found, unprocessable
from .events import Event, EventLog, Execution
from .faults import FaultBook
from .fills import FillModel, fill_during_cancel, marketable, opposite, proceeds, triggered
from .judge import Judge
from .market import Market
from .orders import (
    ACCEPTED,
    CANCELED,
    EXPIRED,
    FILLED,
    NEW,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_NEW,
    REJECTED,
    REPLACED,
    Order,
    Ticket,
    parse_ticket,
)
from .prices import MarketSource
from .settings import ExchangeConfig

#: Market seconds between two looks at the prices while orders are live.
STEP_MARKET_SECONDS = 5.0
#: At most so many looks in one advance; a longer pause is looked at more coarsely.
MAX_STEPS = 600
#: How a cancel ends that a fault of this kind meets.
CANCEL_OUTCOMES = {
    "stuck_cancel": "cancel",
    "fill_on_cancel": "fill",
    "partial_on_cancel": "partial",
    "cancel_rejected": "rejected",
}


@dataclass
class Exchange:
    """The engine. See the module's docstring for its idea of time."""

    config: ExchangeConfig
    source: MarketSource
    clock: MarketClock
    started: float
    faults: FaultBook = field(default_factory=FaultBook)

    def __post_init__(self) -> None:
        self.present = self.started
        self.market = Market(self.source, self.config.spread_bps, self.clock.at(self.started))
        self.account = Account(self.config.cash, self.config.cash)
        self.orders: dict[str, Order] = {}
        self.by_client_id: dict[str, Order] = {}
        self.live: dict[str, Order] = {}
        self.events = EventLog(self.config.log_size)
        self.judge = Judge(self.config.leverage, self.config.judge_window)
        self.fill_model = FillModel(self.config.seed, self.config.partial_probability)
        self.symbols = frozenset(self.source.symbols)
        self._sequence = 0
        self._releasing: deque[Order] = deque()
        self._last_close = nyse.last_close(self.market_time)
        self.judge.observe(self.present, self.market.marks(), self.account)

    # --- time ----------------------------------------------------------------------------------

    @property
    def market_time(self) -> float:
        """Market time now, unix seconds."""
        return self.market.now

    def advance(self, now: float) -> None:
        """Let everything happen that is due until ``now`` (real unix seconds)."""
        start = self.present
        if now <= start:
            return
        elapsed = (now - start) * self.clock.speed
        watching = bool(self.live or self.account.positions)
        steps = math.ceil(elapsed / STEP_MARKET_SECONDS) if watching else 1
        steps = min(max(steps, 1), MAX_STEPS)
        for step in range(1, steps + 1):
            self._tick(now if step == steps else start + (now - start) * step / steps)

    def next_due(self) -> float | None:
        """The next real time at which an order changes by itself, fills aside; None if never.

        What was due and waits, for the exchange to open say, is not counted.
        """
        times: list[float] = []
        for order in self.live.values():
            if not order.working and order.status != PENDING_CANCEL:
                times.append(order.accept_due)
            if order.cancel_due is not None:
                times.append(order.cancel_due)
            if order.expires_at is not None:
                times.append(self.clock.real_at(order.expires_at))
        return min((time for time in times if time > self.present), default=None)

    def _tick(self, at: float) -> None:
        self.present = at
        self.market.move(self.clock.at(at))
        self.judge.observe(at, self.market.marks(), self.account)
        while self._releasing and (self._releasing[0].ended_due or 0.0) <= at:
            self._releasing.popleft()
        for order in list(self.live.values()):
            self._advance_order(order, at)
        close = nyse.last_close(self.market_time)
        if close != self._last_close:
            self._last_close = close
            self.account.last_equity = self.figures().equity

    def _advance_order(self, order: Order, at: float) -> None:
        """Cancel, expiry, acceptance, fill: in the order in which they were due."""
        if order.cancel_due is not None and order.cancel_due <= at and self._may_end(order):
            self._finish_cancel(order)
            return
        if order.expires_at is not None and self.market_time >= order.expires_at:
            order.expired_at = self.market_time
            self._end(order, EXPIRED, "expired")
            return
        if not order.working and order.accept_due <= at:
            self._accept(order)
        if order.live and order.working and self._in_hours(order):
            self._try_fill(order)

    def _in_hours(self, order: Order) -> bool:
        if order.asset.is_crypto:
            return True
        return self.market.stocks_trade(order.extended_hours)

    def _may_end(self, order: Order) -> bool:
        return not self.config.offhours_cancel_waits or self._in_hours(order)

    # --- money ---------------------------------------------------------------------------------

    def holding(self) -> list[Order]:
        """Orders that hold funds or quantity: the live ones and those just ended."""
        return [*self.live.values(), *self._releasing]

    def pin(self, symbol: str, price: Decimal | None) -> None:
        """Hold a symbol's mid at ``price``, or let it go again with None."""
        self.market.pin(symbol, price)
        self._tick(self.present)

    def figures(self) -> Figures:
        """The account's figures now."""
        return figures(
            self.account, self.holding(), self.market.marks(), self.config.all_buys_reduce_cash
        )

    def add_cash(self, delta: Decimal) -> None:
        """Pay in, or out when negative, USD."""
        self.account.cash += delta

    # --- orders --------------------------------------------------------------------------------

    def submit(self, now: float, body: Any) -> Order:
        """Take an order request (the JSON of POST /v2/orders). Raises ApiError when refused."""
        self.advance(now)
        try:
            ticket = parse_ticket(body, self.symbols)
            self._check_id(ticket.client_order_id)
            order = self._draft(ticket)
            self._check_funds(order, self.holding())
        except ApiError as error:
            self.judge.count_reject(reason(error))
            raise
        self._open(order)
        return order

    def replace(self, now: float, order_id: str, body: Any) -> Order:
        """Replace a live order by a new one with a new id. Raises ApiError when refused."""
        self.advance(now)
        old = self.get(order_id)
        if not isinstance(body, dict):
            raise malformed("request body format is invalid")
        if not old.live or old.status == PENDING_CANCEL:
            raise already(old.status)
        try:
            self._check_id(body.get("client_order_id"))
            new = self._draft(parse_ticket(replacement(old, body), self.symbols))
            self._check_funds(new, [order for order in self.holding() if order is not old])
        except ApiError as error:
            self.judge.count_reject(reason(error))
            raise
        new.replaces, old.replaced_by, old.replaced_at = old.id, new.id, self.market_time
        self._end(old, REPLACED, "replaced", release=False)
        self._open(new)
        return new

    def cancel(self, now: float, order_id: str) -> Order:
        """Ask for an order's cancel, which ends later. Raises ApiError when it is over already."""
        self.advance(now)
        order = self.get(order_id)
        if not order.live:
            raise already(order.status)
        self.judge.cancel_requests += 1
        if order.status == PENDING_CANCEL:
            return order
        order.cancel_due = now + self.config.cancel_latency
        kinds = frozenset(CANCEL_OUTCOMES)
        fault = self.faults.take_order(kinds, order.symbol, order.side)
        if fault is not None:
            order.cancel_due += fault.seconds
            order.partial_fraction = Decimal(str(fault.fraction))
            order.cancel_outcome = CANCEL_OUTCOMES[fault.kind]
        self._status(order, PENDING_CANCEL, "pending_cancel")
        return order

    def get(self, order_id: str) -> Order:
        """The order with Alpaca's id. Raises ApiError 404."""
        if order_id not in self.orders:
            raise not_found(f"order not found for {order_id}")
        return self.orders[order_id]

    def get_by_client_id(self, client_order_id: str) -> Order:
        """The order with the client's id. Raises ApiError 404."""
        if client_order_id not in self.by_client_id:
            raise not_found(f"order not found for {client_order_id}")
        return self.by_client_id[client_order_id]

    def _check_id(self, client_order_id: Any) -> None:
        if client_order_id in self.by_client_id:
            self.judge.duplicate_client_ids += 1
            raise duplicate_id()

    def _check_funds(self, order: Order, holding: list[Order]) -> None:
        now = figures(self.account, holding, self.market.marks(), self.config.all_buys_reduce_cash)
        problem = check_entry(order, holding, self.account, now, self.config.enforce_buying_power)
        if problem is not None:
            raise problem

    def _draft(self, ticket: Ticket) -> Order:
        quote = self.market.quote(ticket.asset.symbol)
        if quote is None:
            raise unprocessable(f"no quote for {ticket.asset.symbol} yet")
        self._sequence += 1
        return draft(
            ticket,
            quote,
            self.market_time,
            self.account.qty(ticket.asset.symbol),
            self.config.seed,
            self._sequence,
            self.present + self.config.accept_latency,
        )

    def _open(self, order: Order) -> None:
        self.orders[order.id] = order
        self.by_client_id[order.client_order_id] = order
        self.live[order.id] = order
        fault = self.faults.take_order(frozenset({"reject"}), order.symbol, order.side)
        order.doomed = fault is not None
        self.judge.order_accepted(order, self.live.values(), self.account, self.market_time)
        self.events.record(self.present, self.market_time, order.status, order, None)

    # --- life ----------------------------------------------------------------------------------

    def _accept(self, order: Order) -> None:
        fault = None
        if order.status in (PENDING_NEW, ACCEPTED):
            fault = self.faults.take_order(frozenset({"rare_status"}), order.symbol, order.side)
        if fault is not None:
            order.accept_due = self.present + (fault.seconds or math.inf)
            self._status(order, fault.state, fault.state)
        elif order.doomed:
            order.failed_at = self.market_time
            self.judge.count_reject("asynchronous rejected")
            self._end(order, REJECTED, "rejected")
        elif self._in_hours(order):
            order.working = True
            if order.status != PENDING_CANCEL:
                self._status(order, NEW, "new")

    def _try_fill(self, order: Order) -> None:
        quote = self.market.quote(order.symbol)
        if quote is None or order.next_fill_due > self.present:
            return
        order.stop_triggered = triggered(order, quote)
        if not order.stop_triggered:
            return
        price = opposite(order, quote)
        if marketable(order, price):
            self._fill(order, self.fill_model.quantity(order), price)
        if order.live and order.time_in_force in ("ioc", "fok"):
            order.canceled_at = self.market_time
            self._end(order, CANCELED, "canceled")

    def _fill(self, order: Order, qty: Decimal, price: Decimal) -> None:
        """Execute ``qty`` at ``price``."""
        during_cancel = order.status == PENDING_CANCEL
        units, cash = proceeds(order, qty, price, self.config.crypto_fee_bps)
        self.account.apply_fill(order.asset, units, price, cash)
        paid = (order.filled_avg_price or Decimal(0)) * order.filled_qty + price * qty
        order.filled_qty += qty
        order.filled_avg_price = paid / order.filled_qty
        order.next_fill_due = self.present + self.config.partial_pause
        full = order.remaining == 0
        self.judge.count_fill(partial=not full, during_cancel=during_cancel)
        execution = Execution(price, qty, self.account.qty(order.symbol))
        if full:
            order.filled_at = self.market_time
            self._end(order, FILLED, "fill", execution, release=False)
        else:
            status = PENDING_CANCEL if during_cancel else PARTIALLY_FILLED
            self._status(order, status, "partial_fill", execution)

    def _finish_cancel(self, order: Order) -> None:
        if order.cancel_outcome == "rejected":
            order.cancel_due, order.cancel_outcome = None, "cancel"
            status = PARTIALLY_FILLED if order.filled_qty else NEW
            self._status(order, status if order.working else ACCEPTED, "order_cancel_rejected")
            return
        quote = self.market.quote(order.symbol)
        if order.cancel_outcome != "cancel" and quote is not None:
            qty, price = fill_during_cancel(order, quote)
            if qty:
                self._fill(order, qty, price)
        if order.live:
            order.canceled_at = self.market_time
            self._end(order, CANCELED, "canceled")

    def _status(
        self, order: Order, status: str, event: str, execution: Execution | None = None
    ) -> None:
        order.status, order.updated_at = status, self.market_time
        self.events.record(self.present, self.market_time, event, order, execution)

    def _end(
        self,
        order: Order,
        status: str,
        event: str,
        execution: Execution | None = None,
        release: bool = True,
    ) -> None:
        """Terminal. ``release``: whether what it held stays held for a moment."""
        self.live.pop(order.id, None)
        order.ended_due = self.present + self.config.release_latency
        if release and self.config.release_latency > 0:
            self._releasing.append(order)
        if status == CANCELED:
            self.judge.cancels += 1
        self._status(order, status, event, execution)


__all__ = ["Event", "Exchange", "ExchangeConfig"]
