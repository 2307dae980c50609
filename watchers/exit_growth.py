"""When an exit's order makes way for another: its price was edited, or there is more to sell."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from stealer.evidence import BrokerOrder, Placed
from watchers.exit_sizing import ExitSizing
from watchers.exit_source import ExitSource
from watchers.exit_task import ExitTask

#: Seconds that an order stands at least while its entry goes on filling: each change costs some
#: six requests of the account's.
FOLLOW_SECONDS = 10.0

#: Seconds after an order was sent for which the keeper's view of the position may not count it.
SETTLED_SECONDS = 30.0


class Growth:
    """What was known when the present order was sent, and what has come since.

    :param placed: the keeper's view of the symbol. :param monotonic: the clock, in seconds.
    """

    def __init__(
        self,
        task: ExitTask,
        source: ExitSource,
        sizing: ExitSizing,
        placed: Callable[[], Placed],
        monotonic: Callable[[], float],
    ) -> None:
        self._task, self._source, self._sizing = task, source, sizing
        self._placed, self._monotonic = placed, monotonic
        self._sent_at = monotonic()
        self._told: Decimal | None = None  # filled when it was sent; None: another process sent it

    @property
    def age(self) -> float:
        """Seconds since the order was sent, or adopted."""
        return self._monotonic() - self._sent_at

    def sent(self) -> None:
        """An order of the size that is right now is being sent."""
        self._sent_at, self._told = self._monotonic(), self._source.told

    def reason(self, order: BrokerOrder, left: Decimal, *, market_open: bool) -> str:
        """Why *order* is to make way, '' if it is not.

        :param left: units to sell that no order before it sold.
        :raises BrokerError: the asset's rules could not be read.
        """
        if order.limit_price != self._task.limit_price:
            return "edited"
        more = left - order.qty
        if more < 0 and self._task.qty is not None:
            return "edited"
        if more <= 0 or not market_open:  # off hours a stock's cancel waits for the session
            return ""
        over = self._source.over
        if self.age < FOLLOW_SECONDS and not over:
            return ""
        more = min(more, self._there(), self._sizing.largest() - order.qty)
        more = self._sizing.rounded(more)
        return "grown" if more > 0 and (over or self._sizing.is_worthwhile(more)) else ""

    def _there(self) -> Decimal:
        """Units that came to the position since. Where it was the bound, more fills alone do not
        help, or the same order would be canceled and sent again for ever.
        """
        there = Decimal(0)
        if self._told is None or self.age >= SETTLED_SECONDS:
            there = self._sizing.closable(self._placed())
        if self._told is not None:
            there = max(there, self._source.told - self._told)
        return there
