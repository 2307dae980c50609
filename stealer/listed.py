"""An order of ours as the broker lists it, with all that a claim of it needs.

The one place where slot, PnL, mode and need are read off an order: when the ledger is rebuilt, when
an order without a claim is condemned, and when claim and order differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from stealer.evidence import BrokerOrder
from stealer.model import MAX_NEED, decimal_text
from stealer.order_ids import decode

#: The strategy of an order whose id does not say it.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """An order of ours as the broker lists it, with what its claim needs.

    ``need`` and ``filled`` are micro-dollars, ``created_ms`` is on the clock of the Redis that
    made the id.
    """

    id: str
    symbol: str
    side: str
    strategy: str
    is_crypto: bool
    qty: Decimal
    limit_price: Decimal
    need: int
    pnl: float
    mode: str
    force_immediate: bool
    created_ms: int
    order_id: str
    filled_qty: Decimal
    filled: int
    is_ending: bool

    @property
    def slot(self) -> str:
        """Symbol, side and strategy: one claim at a time for each."""
        return f"{self.symbol}|{self.side}|{self.strategy}"

    def row(self) -> list[str | int]:
        """As ``certify`` takes it."""
        return [
            self.id,
            self.symbol,
            self.side,
            self.strategy,
            int(self.is_crypto),
            decimal_text(self.qty),
            decimal_text(self.limit_price),
            self.need,
            repr(self.pnl),
            self.mode,
            int(self.force_immediate),
            self.created_ms,
            self.order_id,
            decimal_text(self.filled_qty),
            self.filled,
            int(self.is_ending),
        ]


def listed_order(
    order: BrokerOrder, need_of: Callable[[str, Decimal, Decimal, bool], int], now_ms: int = 0
) -> ListedOrder:
    """*order* as its claim should be; one whose id cannot be read is protected, as if forced.

    :param need_of: what side, quantity and limit need at worst, in micro-dollars; the last says
        whether it is crypto.
    :param now_ms: when an order was made whose id does not say it.
    """
    parts = decode(order.client_order_id)
    # An order of several legs has neither symbol nor side, and perhaps no quantity; its claim has.
    # A credit of several legs has a negative limit, and somebody's quantity may be beyond any order
    # of ours: exposure is never negative, and figures stay below what the ledger holds exactly.
    limit = abs(order.limit_price or order.filled_avg_price or Decimal(0))
    need = min(need_of(order.side, order.qty, limit, order.is_crypto), MAX_NEED)
    return ListedOrder(
        id=order.client_order_id,
        symbol=order.symbol or UNKNOWN.upper(),
        side=order.side or "buy",
        strategy=parts.strategy if parts else UNKNOWN,
        is_crypto=order.is_crypto,
        qty=order.qty or Decimal(1),
        limit_price=limit,
        need=need,
        pnl=parts.pnl if parts else 0.0,
        mode=parts.mode if parts else "normal",
        force_immediate=parts.force_immediate if parts else True,
        created_ms=parts.created_ms if parts else now_ms,
        order_id=order.id,
        filled_qty=order.filled_qty,
        filled=min(need_of(order.side, order.filled_qty, limit, order.is_crypto), need),
        is_ending=order.status == "pending_cancel",
    )
