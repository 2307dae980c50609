"""The simulated broker: the truth about orders and positions, adversarial where it may be.

It follows the documented behaviour of Alpaca (asynchronous cancels that may end in a fill, partial
fills at any time, refused duplicates, positions that lag) and shares no code with what it judges.
Quantities are whole units, prices whole dollars. Positions are valued at cost, so that exposure
changes only by orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from scripts.simulation.kernel import Kernel

#: The longest that positions and account figures may lag behind fills, in microseconds.
LONGEST_LAG_US = 1_500_000


@dataclass(slots=True)
class Order:
    """One order at the broker."""

    id: str
    client_id: str
    symbol: str
    side: str
    qty: int
    limit: int
    crypto: bool
    ours: bool
    sender: str
    rng: Random = field(repr=False)
    arrived: int
    status: str = "new"
    filled: int = 0
    deletes: int = 0
    stuck: bool = False
    ending: str = ""
    replaced_by: str | None = None

    @property
    def live(self) -> bool:
        """True while it can fill."""
        return self.status not in ("filled", "canceled", "rejected", "expired")

    @property
    def rest(self) -> int:
        """What could still fill, in dollars."""
        return (self.qty - self.filled) * self.limit if self.live else 0


@dataclass(slots=True)
class Fill:
    """A change of position and cash; ``qty`` is negative for a sale, ``cost`` in dollars."""

    at: int
    symbol: str
    qty: int
    cost: int
    crypto: bool
    ours: bool


@dataclass(slots=True)
class Hooks:
    """Who is told what happens here."""

    arrived: Callable[[Order], None] = lambda order: None
    changed: Callable[[Order, str], None] = lambda order, what: None


@dataclass(slots=True)
class Venue:
    """One account.

    :param strict: it refuses what exceeds its own buying power; else only the ledger keeps the cap.
    """

    kernel: Kernel
    seed: object
    equity: int
    strict: bool
    lag_us: int
    hooks: Hooks = field(default_factory=Hooks)
    orders: dict[str, Order] = field(default_factory=dict)
    by_client: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    equities: list[tuple[int, int]] = field(default_factory=list)
    #: No more fills by themselves, and cancels end soon.
    calm: bool = False
    #: Until then no cancel takes effect.
    sticks_until: int = 0
    arrivals: dict[str, int] = field(default_factory=dict)

    # ---- requests, as they arrive

    def submit(
        self,
        client_id: str,
        symbol: str,
        side: str,
        qty: int,
        limit: int,
        crypto: bool,
        sender: str,
        waits: bool = False,
    ) -> tuple[str, Order | None]:
        """``new`` with the order; or ``duplicate``; or ``power``. One that *waits* has no fills of
        its own accord.
        """
        known = self.by_client.get(client_id)
        if known is not None:
            return "duplicate", known
        cost = qty * limit
        if side == "buy" and self.strict and cost > (self.cash_left() if crypto else self.power()):
            return "power", None
        number = self.arrivals[symbol] = self.arrivals.get(symbol, 0) + 1
        ours = client_id.startswith("mx_")
        order = Order(
            f"o{len(self.orders) + 1}",
            client_id,
            symbol,
            side,
            qty,
            limit,
            crypto,
            ours,
            sender,
            Random(f"{self.seed}/fate/{symbol}/{ours}/{number}"),
            self.kernel.now,
        )
        self.orders[order.id] = self.by_client[client_id] = order
        self.hooks.arrived(order)
        if not waits:
            self._draw_fate(order)
        return "new", order

    def cancel(self, order_id: str) -> str:
        """``requested``, ``over`` (it had ended) or ``unknown``."""
        order = self.orders.get(order_id)
        if order is None:
            return "unknown"
        if not order.live:
            return "over"
        order.deletes += 1
        stuck = (order.stuck and order.deletes < 3) or self.kernel.now < self.sticks_until
        if stuck and not self.calm:
            return "requested"
        if order.status != "pending_cancel":
            order.status = "pending_cancel"
            self.hooks.changed(order, "pending_cancel")
            draw = order.rng.random()
            ending = order.ending or (
                "canceled" if draw < 0.8 else "filled" if draw < 0.9 else "partial"
            )
            wait = int(order.rng.uniform(0.02, 0.8 if draw < 0.9 else 2.5) * 1e6)
            self.kernel.after(wait, lambda: self._end_cancel(order, ending))
        return "requested"

    # ---- what happens by itself

    def _draw_fate(self, order: Order) -> None:
        rng = order.rng
        draw = rng.random()
        if not order.ours:
            parts = [order.qty] if draw < 0.7 else []
        elif draw < 0.7:
            parts = []
        elif draw < 0.84:
            parts = [rng.randint(1, order.qty - 1)] if order.qty > 1 else []
        elif draw < 0.91:
            parts = [rng.randint(1, max(order.qty // 2, 1)) for _ in range(2)]
        else:
            parts = [order.qty]
        delay = 0.0 if rng.random() < 0.15 else rng.expovariate(1 / 7.0)
        for part in parts:
            self.kernel.after(int(delay * 1e6), partial(self.fill_unless_calm, order, part))
            delay += rng.expovariate(1 / 4.0)

    def fill_unless_calm(self, order: Order, qty: int) -> None:
        """Fill while fills happen by themselves."""
        if not self.calm:
            self.fill(order, qty)

    def fill(self, order: Order, qty: int, *, ours: bool | None = None) -> None:
        """Fill up to *qty* of a live order. *ours*: of the stock an entry of ours bought, which a
        person may sell too; whose order it is, if None.
        """
        qty = min(qty, order.qty - order.filled)
        if not order.live or qty <= 0:
            return
        order.filled += qty
        if order.filled == order.qty:
            order.status = "filled"
        elif order.status == "new":
            order.status = "partially_filled"
        sign = 1 if order.side == "buy" else -1
        self.fills.append(
            Fill(
                self.kernel.now,
                order.symbol,
                sign * qty,
                sign * qty * order.limit,
                order.crypto,
                order.ours if ours is None else ours,
            )
        )
        self.hooks.changed(order, f"filled {qty}")

    def _end_cancel(self, order: Order, ending: str) -> None:
        if not order.live:
            return
        if ending == "filled":
            self.fill(order, order.qty)
        elif ending == "partial" and order.qty - order.filled > 1:
            self.fill(order, order.rng.randint(1, order.qty - order.filled - 1))
        if order.live:
            order.status = "canceled"
            self.hooks.changed(order, "canceled")

    def change_equity(self, by: int) -> None:
        """Money comes or goes."""
        self.equities.append((self.kernel.now, by))
        self.equity += by

    # ---- figures, true (lag 0) or as told

    def held(self, lag: int = 0) -> dict[str, tuple[int, int, bool]]:
        """symbol -> (qty, dollars at cost, is crypto)."""
        until, found = self.kernel.now - lag, dict[str, tuple[int, int, bool]]()
        for fill in self.fills:
            if fill.at <= until or not fill.ours:
                qty, cost, crypto = found.get(fill.symbol, (0, 0, fill.crypto))
                found[fill.symbol] = (qty + fill.qty, cost + fill.cost, crypto)
        return {symbol: row for symbol, row in found.items() if row[0]}

    def cash(self, lag: int = 0) -> int:
        """Dollars not in positions; negative when borrowed."""
        return self.told_equity(lag) - sum(cost for _, cost, _ in self.held(lag).values())

    def told_equity(self, lag: int = 0) -> int:
        """Equity as it was *lag* ago."""
        late = sum(by for at, by in self.equities if at > self.kernel.now - lag)
        return self.equity - late

    def open_buys(self, crypto_only: bool = False) -> int:
        """Dollars that live buys may still cost."""
        return sum(
            o.rest
            for o in self.orders.values()
            if o.live and o.side == "buy" and (o.crypto or not crypto_only)
        )

    def power(self) -> int:
        """Buying power: what the strict broker checks; plenty when it is not strict."""
        if not self.strict:
            return 100 * self.equity
        used = sum(cost for _, cost, _ in self.held().values())
        return 2 * self.equity - used - self.open_buys()

    def cash_left(self) -> int:
        """Non-marginable buying power."""
        if not self.strict:
            return 100 * self.equity
        return self.cash() - self.open_buys()
