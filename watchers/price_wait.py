"""Being woken when the price is there, instead of looking every second whether it is."""

from __future__ import annotations

from collections.abc import Callable

from stealer.model import OrderIntent, Side
from stealer.publishing import PublishingLedger

#: Seconds after which a registration is made again: a ledger that lost its memory lost it too.
RENEW_SECONDS = 30.0


class PriceWait:
    """One slot's registration with the ledger, which wakes it once when a quote is close enough.

    :param monotonic: the clock, in seconds.
    """

    def __init__(
        self, ledger: PublishingLedger, intent: OrderIntent, monotonic: Callable[[], float]
    ) -> None:
        self._ledger, self._intent, self._monotonic = ledger, intent, monotonic
        self._price: float | None = None
        self._renew_at = float("-inf")
        self._there = False

    def within(self, tolerance_pct: float) -> None:
        """Be woken when the market is within that fraction of the limit."""
        limit = float(self._intent.limit_price)
        away = limit * tolerance_pct
        price = limit + away if self._intent.side == Side.BUY else limit - away
        # The same price is not registered twice, but one that changes with tier or session is.
        if self._price is None or price < self._price or price > self._price or self._is_old():
            self._there = self._register(price)
            self._price = None if self._there else price
            self._renew_at = self._monotonic() + RENEW_SECONDS

    def woken(self) -> None:
        """The slot was woken, perhaps by its price: then it is not registered any more."""
        self._price = None

    def came_meanwhile(self) -> bool:
        """True, once, when the price came between the look at it and the registration."""
        there, self._there = self._there, False
        return there

    def no_more(self) -> None:
        """The watcher ends."""
        if self._price is not None:
            self._register(None)
            self._price = None

    def _is_old(self) -> bool:
        return self._monotonic() >= self._renew_at

    def _register(self, price: float | None) -> bool:
        intent = self._intent
        return self._ledger.await_price(intent.symbol, intent.side, intent.strategy, price)
