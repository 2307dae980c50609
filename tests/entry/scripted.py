"""The watchers' small broker, with answers and ends of orders that a test decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stealer.broker.interface import BrokerUnavailable, Guard
from stealer.evidence import Asset, BrokerOrder, CancelResult, NewOrder, Outcome, SubmitResult
from tests.watchers.fake_broker import FakeBroker

CONFIRM = "confirm"  #: the order rests at the broker, and the broker says so
LOST = "lost"  #: the order rests at the broker, the answer never came
VANISHED = "vanished"  #: neither the order nor the answer came through
LYING = "lying"  #: the order rests at the broker, yet the answer is a refusal


class ScriptedBroker(FakeBroker):
    """Answers submits by ``answers``, then confirms; ends canceled orders by ``on_cancel``."""

    def __init__(self) -> None:
        super().__init__()
        #: For each coming submit: a word above, or a kind of refusal.
        self.answers: list[str] = []
        #: Ids of the orders of which a POST was written.
        self.posted: list[str] = []
        #: What a cancel does: "ends", "fills", "nothing", or "half" (half filled, then ended).
        self.on_cancel = "ends"
        self.is_blind = False  #: look-ups fail
        self.looks = 0  #: how many there were
        self.tradable = True
        #: Run before a POST is written, where a real one still connects.
        self.while_connecting: Callable[[], object] = lambda: None
        #: Run after a POST was answered.
        self.after_post: Callable[[], object] = lambda: None
        self.after_cancel: Callable[[], object] = lambda: None

    def submit(self, order: NewOrder, guard: Guard | None = None) -> SubmitResult:
        self.while_connecting()
        assert guard, "every POST is guarded"
        try:
            with guard():
                self.posted.append(order.client_order_id)
        except Exception as error:  # as the interface promises
            return SubmitResult(Outcome.DENIED, kind="not_sent", message=str(error))
        answer = self.answers.pop(0) if self.answers else CONFIRM
        result = self._result(order, answer)
        self.after_post()
        return result

    def _result(self, order: NewOrder, answer: str) -> SubmitResult:
        if answer in (CONFIRM, LOST, LYING):
            made = self.place(order)
            if answer == CONFIRM:
                return SubmitResult(Outcome.CONFIRMED, made)
        if answer in (LOST, VANISHED):
            return SubmitResult(Outcome.UNRESOLVED, kind="timeout", message="no answer")
        kind = "other" if answer == LYING else answer
        return SubmitResult(Outcome.REJECTED, kind=kind, message="refused by the test")

    def cancel(self, order_id: str) -> CancelResult:
        self._answer()
        self.cancels.append(order_id)
        self.after_cancel()
        for order in self.live():
            if order.id == order_id:
                self._end(order)
                return CancelResult(Outcome.CONFIRMED)
        return CancelResult(Outcome.REJECTED, already_terminal=True)

    def _end(self, order: BrokerOrder) -> None:
        if self.on_cancel == "ends":
            self._put(replace(order, status="canceled"))
        elif self.on_cancel == "fills":
            self._put(replace(order, status="filled", filled_qty=order.qty))
        elif self.on_cancel == "half":
            self._put(replace(order, status="canceled", filled_qty=order.qty / 2))

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        self._answer()
        self.looks += 1
        if self.is_blind:
            raise BrokerUnavailable("look-ups fail by the test's will")
        return self.orders.get(client_order_id)

    def asset(self, symbol: str) -> Asset:
        return replace(super().asset(symbol), tradable=self.tradable)

    def order_of(self, symbol: str) -> BrokerOrder:
        """The newest order in *symbol*."""
        return [order for order in self.orders.values() if order.symbol == symbol][-1]
