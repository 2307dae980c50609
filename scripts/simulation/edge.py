"""One process's connection to the simulated broker: the product's ``Broker``, with yield points.

Every call can be lost, late or refused by the plan's faults. A POST that was written arrives
whatever becomes of its sender; a process can be stopped while it writes, and the fence is for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from functools import cache
from typing import Any

from scripts.simulation.kernel import Process
from scripts.simulation.venue import Order, Venue
from stealer.broker.interface import BrokerRateLimited, BrokerUnavailable, MarketClock
from stealer.evidence import (
    AccountSnapshot,
    Asset,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    CancelResult,
    NewOrder,
    Outcome,
    Quote,
    SubmitResult,
)

#: The longest a call to the broker takes, as ``Settings.http_budget_seconds`` allows it.
TIMEOUT_US = 1_800_000

Guard = Callable[[], AbstractContextManager[object]]


@cache
def _decimal(value: int) -> Decimal:
    return Decimal(value)


def told(order: Order) -> BrokerOrder:
    """An order as the broker reports it."""
    return BrokerOrder(
        id=order.id,
        client_order_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        qty=_decimal(order.qty),
        status=order.status,
        filled_qty=_decimal(order.filled),
        limit_price=_decimal(order.limit),
        is_crypto=order.crypto,
    )


class Edge:
    """The ``Broker`` of one process.

    :param world: has ``venue``, ``quotes`` and ``fault_of``; see ``world.World``.
    """

    def __init__(self, world: Any, process: Process) -> None:
        self.world = world
        self.process = process
        self.venue: Venue = world.venue

    # ---- the wire

    def _read(self, what: str, answer: Callable[[], Any]) -> Any:
        """One read: the yield points, the faults, the answer as of the moment between them."""
        process = self.process
        kind, seconds = self.world.fault_of(process, f"broker:{what}")
        process.nap(process.latency() * 3)
        self._trouble(kind, seconds, what)
        reply = answer()
        self.world.note(process, f"broker:{what}", reply, kind)
        self.world.after_call(process, kind, seconds)
        process.nap(process.latency() * 3)
        if kind == "lost_reply":
            process.nap(TIMEOUT_US)
            raise BrokerUnavailable(f"{what}: no answer in time")
        return reply

    def _trouble(self, kind: str, seconds: float, what: str) -> None:
        """Faults of a read before it has an answer."""
        if kind == "late":
            self.process.sleep(min(seconds, 1.5))
        elif kind in ("lost_request", "hang"):
            self.process.nap(TIMEOUT_US)
            raise BrokerUnavailable(f"{what}: no answer in time")
        elif kind == "http_429":
            raise BrokerRateLimited(what)
        elif kind == "http_5xx" or self.world.broker_down:
            raise BrokerUnavailable(f"{what}: the broker answered 503")

    # ---- orders

    def submit(self, order: NewOrder, guard: Guard | None = None) -> SubmitResult:
        """One POST, at most once."""
        process = self.process
        kind, seconds = self.world.fault_of(process, "broker:submit")
        process.nap(process.latency())
        if kind == "lost_request":
            process.nap(TIMEOUT_US)
            return SubmitResult(Outcome.DENIED, kind="not_sent", message="no connection")
        try:
            with guard() if guard else nullcontext():
                self.world.fault_of(process, "broker:write")
                process.nap(200)
                self.world.judge.on_write(order.client_order_id)
        except Exception as error:
            return SubmitResult(Outcome.DENIED, kind="not_sent", message=str(error))
        return self._posted(order, kind, seconds)

    def _posted(self, order: NewOrder, kind: str, seconds: float) -> SubmitResult:
        """What was written arrives by itself; the answer is awaited."""
        process, box = self.process, list[tuple[str, Order | None]]()
        sender = process.name
        travel = process.latency() * 5
        if kind == "late":
            travel = int(min(seconds, 1.9) * 1e6)

        def arrive() -> None:
            if kind in ("http_429", "http_5xx", "refused") or (
                self.world.broker_down and kind != "late"
            ):
                return
            answer = self.venue.submit(
                order.client_order_id,
                order.symbol,
                order.side,
                int(order.qty),
                int(order.limit_price),
                order.is_crypto,
                sender,
            )
            box.append(answer)
            self.world.note(process, "broker:arrive", answer, kind)

        process.kernel.after(travel, arrive)
        self.world.after_call(process, kind, seconds)
        process.nap(min(travel + process.latency() * 3, TIMEOUT_US))
        if kind == "refused":
            return _no_power()
        if kind == "http_429":
            return SubmitResult(Outcome.REJECTED, kind="rate_limited", message="429")
        if kind in ("lost_reply", "hang", "http_5xx_done") or not box:
            return SubmitResult(Outcome.UNRESOLVED, kind="timeout", message="no answer in time")
        status, found = box[0]
        if status == "power" or found is None:
            return _no_power()
        same = (found.symbol, found.side) == (order.symbol, order.side)
        outcome = Outcome.CONFIRMED if same else Outcome.UNRESOLVED
        return SubmitResult(outcome, told(found), "duplicate_id" if status == "duplicate" else "")

    def cancel(self, order_id: str) -> CancelResult:
        """One DELETE."""
        process = self.process
        kind, seconds = self.world.fault_of(process, "broker:cancel")
        process.nap(process.latency() * 2)
        if kind in ("lost_request", "hang", "http_429", "http_5xx") or self.world.broker_down:
            process.nap(TIMEOUT_US if kind in ("lost_request", "hang") else 1000)
            return CancelResult(Outcome.UNRESOLVED, message="no answer")
        if kind == "late":
            process.sleep(min(seconds, 1.5))
        order = self.venue.orders.get(order_id)
        if order is not None:
            self.world.judge.on_delete(process.name, order)
            if kind == "stuck":
                order.stuck = True
            elif kind in ("cancel_filled", "cancel_partial"):
                order.ending = kind.removeprefix("cancel_")
        answer = self.venue.cancel(order_id)
        self.world.note(process, "broker:cancel", f"{order_id} {answer}", kind)
        process.nap(process.latency() * 2)
        if kind == "lost_reply":
            process.nap(TIMEOUT_US)
            return CancelResult(Outcome.UNRESOLVED, message="no answer")
        if answer == "over":
            return CancelResult(Outcome.REJECTED, already_terminal=True)
        if answer == "unknown":
            return CancelResult(Outcome.REJECTED, not_found=True)
        return CancelResult(Outcome.CONFIRMED)

    # ---- reads

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """The order, or None."""

        def answer() -> BrokerOrder | None:
            found = self.venue.by_client.get(client_order_id)
            return told(found) if found else None

        result: BrokerOrder | None = self._read("find", answer)
        return result

    def order_by_id(self, order_id: str) -> BrokerOrder | None:
        """The order, or None."""

        def answer() -> BrokerOrder | None:
            found = self.venue.orders.get(order_id)
            return told(found) if found else None

        result: BrokerOrder | None = self._read("find", answer)
        return result

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every live order."""
        result: tuple[BrokerOrder, ...] = self._read(
            "orders", lambda: tuple(told(o) for o in self.venue.orders.values() if o.live)
        )
        return result

    def latest_client_ids(self) -> tuple[str, ...]:
        """Of every order there was, newest first."""
        result: tuple[str, ...] = self._read(
            "latest", lambda: tuple(o.client_id for o in reversed(self.venue.orders.values()))
        )
        return result

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Positions at cost, as they were a moment ago."""

        def answer() -> tuple[BrokerPosition, ...]:
            held = self.venue.held(self.venue.lag_us)
            return tuple(
                BrokerPosition(symbol, _decimal(qty), _decimal(cost), crypto)
                for symbol, (qty, cost, crypto) in held.items()
            )

        result: tuple[BrokerPosition, ...] = self._read("positions", answer)
        return result

    def account(self) -> BrokerAccount:
        """The figures, as they were a moment ago."""
        venue = self.venue

        def answer() -> BrokerAccount:
            lag = max(venue.lag_us, self.world.account_lag_us)
            equity = _decimal(venue.told_equity(lag))
            return BrokerAccount(
                equity,
                equity,
                _decimal(venue.cash(lag)),
                _decimal(venue.power()),
                _decimal(venue.cash_left()),
                Decimal(2),
            )

        result: BrokerAccount = self._read("account", answer)
        return result

    def snapshot(self, between: Callable[[], None] = lambda: None) -> AccountSnapshot:
        """Orders, then positions, then the account."""
        orders = self.open_orders()
        between()
        positions = self.positions()
        return AccountSnapshot(orders, positions, self.account())

    def quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """Latest quotes."""
        wanted = list(symbols)

        def answer() -> dict[str, Quote]:
            found = {symbol: self.world.quote(symbol) for symbol in wanted}
            return {symbol: quote for symbol, quote in found.items() if quote}

        result: dict[str, Quote] = self._read("quotes", answer)
        return result

    def asset(self, symbol: str) -> Asset:
        """Static: read once by the real edge, so without yield points."""
        return Asset(symbol, symbol.endswith("USD"), True, True, True)

    def clock(self) -> MarketClock:
        """Not asked by what is simulated."""
        raise NotImplementedError

    def market_is_open(self) -> bool:
        """Not asked by what is simulated."""
        raise NotImplementedError


def _no_power() -> SubmitResult:
    return SubmitResult(
        Outcome.REJECTED,
        kind="insufficient_buying_power",
        code=40310000,
        message="insufficient buying power",
    )
