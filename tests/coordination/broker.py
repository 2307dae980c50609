"""A pretended broker that keeps its own truth of orders and positions, for random histories."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from stealer.evidence import BrokerOrder
from tests.coordination.words import Held


@dataclass
class Order:
    """One order; ``fills`` are (time in ms, units)."""

    claim: Held
    fills: list[tuple[int, int]] = field(default_factory=list)
    status: str = "new"
    exited: int = 0

    @property
    def live(self) -> bool:
        return self.status in ("new", "partially_filled")

    @property
    def filled(self) -> int:
        return sum(units for _, units in self.fills)

    def cost(self, units: int) -> int:
        return units * self.claim.unit_cost


class Broker:
    """Orders by claim id. Positions are what orders filled, less what was sold since."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}

    def submit(self, claim: Held) -> None:
        assert claim.id not in self.orders, "one order per claim, ever"
        self.orders[claim.id] = Order(claim)

    def fill(self, order: Order, units: int, now: int) -> None:
        units = min(units, order.claim.units - order.filled)
        order.fills.append((now, units))
        order.status = "filled" if order.filled == order.claim.units else "partially_filled"

    def truth(self) -> dict[str, int]:
        """What is at stake in each pool: positions and what live orders may still fill."""
        pools = {"total": 0, "crypto": 0}
        for order in self.orders.values():
            units = order.claim.units if order.live else order.filled
            for pool, amount in order.claim.share(order.cost(units - order.exited)).items():
                pools[pool] += amount
        return pools

    def positions(self, now: int, lag: int, prompt: bool) -> dict[str, int]:
        """Positions as the broker lists them: fills younger than *lag* only when it is prompt."""
        pools = {"total": 0, "crypto": 0}
        for order in self.orders.values():
            shown = sum(units for at, units in order.fills if prompt or at <= now - lag)
            held = order.cost(max(shown - order.exited, 0))
            for pool, amount in order.claim.share(held).items():
                pools[pool] += amount
        return pools

    def report(self, order: Order) -> BrokerOrder:
        claim = order.claim
        return BrokerOrder(
            id=f"b-{claim.id}",
            client_order_id=claim.id,
            symbol=claim.symbol,
            side=claim.side,
            qty=Decimal(claim.units),
            status=order.status,
            filled_qty=Decimal(order.filled),
            limit_price=Decimal(100),
            is_crypto=claim.crypto,
        )
