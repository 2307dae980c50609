"""How large an exit's next order may be, and what stands against it.

Bounded by what is left to sell, by the position that no other order is closing, and by the largest
order the broker takes; rounded down to its increment. Position and orders are the broker's own,
read just before the POST: an order beyond the position would open one the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext

from stealer import order_rules
from stealer.asset_rules import AssetRules
from stealer.broker.interface import Broker, BrokerNotFound
from stealer.evidence import Asset, NewOrder, Placed
from stealer.keeper.placed import placed_of
from stealer.model import TimeInForce, decimal_text
from stealer.order_rules import STOCK_FRACTION, Limits, Objection, Surroundings
from watchers.exit_task import ExitTask, Position

#: Objections to a quantity that is less than the broker's smallest order.
TOO_SMALL = frozenset({"min_notional", "min_order_size"})

#: What is said when the position is not there at all, and when other orders are closing it.
GONE, HELD = "position", "held_quantity"

_NONE, _ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class Offer:
    """What may be sent now: units, what stands against it, and until when (monotonic seconds) the
    figures it was made of may be trusted.
    """

    qty: Decimal
    objections: tuple[Objection, ...] = ()
    until: float = 0.0


class ExitSizing:
    """Sizes of one task's orders.

    :param trust_seconds: how long a reading of the position may be used.
    :param wait_for_positions: called between the readings of orders and positions; it lasts as
        long as positions may lag behind fills.
    """

    def __init__(
        self,
        task: ExitTask,
        symbol: str,
        is_crypto: bool,
        broker: Broker,
        rules: AssetRules,
        limits: Limits,
        *,
        trust_seconds: float,
        wait_for_positions: Callable[[], object],
        monotonic: Callable[[], float],
    ) -> None:
        self._task, self._symbol, self._is_crypto = task, symbol, is_crypto
        self._broker, self.rules, self._limits = broker, rules, limits
        self._trust_seconds, self._monotonic = trust_seconds, monotonic
        self._wait_for_positions = wait_for_positions

    def at_any_size(self, left: Decimal) -> tuple[Objection, ...]:
        """What no quantity changes: symbol, the price's tick, time in force, extended hours.

        :param left: what is to be sold now: with something that an entry bought, the symbol was
            known once.
        :raises BrokerError: the asset's rules could not be read.
        """
        try:
            asset = self.rules.of(self._symbol)
        except BrokerNotFound:  # the broker's own word, as of an entry
            if self._task.qty is None and left > 0:
                raise
            return (order_rules.no_asset(self._symbol),)
        qty = self._task.qty or max(asset.min_order_size or _ONE, _ONE)
        around = Surroundings(True, Limits(_NONE, _NONE, _NONE, _NONE), closes=True)
        found = order_rules.check(self._order(qty), asset, around)
        return tuple(o for o in found if o.lasting)

    def early(self, left: Decimal, *, market_open: bool) -> tuple[Objection, ...]:
        """What stands against an order for *left* units whatever the account has.

        :raises BrokerError: the asset's rules could not be read.
        """
        asset = self.rules.of(self._symbol)
        wanted = self._whole(min(left, self.largest()), asset)
        return self._objections(wanted, asset, market_open, Placed())

    def offer(self, left: Decimal, *, market_open: bool) -> Offer:
        """The order for *left* units, as far as the broker's orders and position allow it now.

        :raises BrokerError: something could not be read.
        """
        asset = self.rules.of(self._symbol)
        wanted = self._whole(min(left, self.largest()), asset)
        orders = self._broker.open_orders()
        # A closing order that has just filled is listed no more, and the position may not show it
        # yet: read at once, it would be sold a second time. The entry's fills show late as well.
        self._wait_for_positions()
        began = self._monotonic()
        placed = placed_of(orders, self._broker.positions()).get(self._symbol, Placed())
        qty = wanted
        free = self.closable(placed)
        if free < wanted:
            qty = self.rounded(free, asset)
        until = began + self._trust_seconds
        if qty <= 0:
            return Offer(qty, (self._nothing_there(placed, asset),), until)
        return Offer(qty, self._objections(qty, asset, market_open, placed), until)

    def closable(self, placed: Placed) -> Decimal:
        """Units of the position that no open order is closing; 0 if it is the other way round."""
        return placed.closable if self._held(placed) > 0 else _NONE

    def largest(self) -> Decimal:
        """Units of the largest order the broker takes at the limit price."""
        most = self._limits.max_crypto if self._is_crypto else self._limits.max_stock
        return most / self._task.limit_price if most else Decimal("Infinity")

    def is_worthwhile(self, qty: Decimal) -> bool:
        """True when *qty* alone would be an order that the broker takes.

        :raises BrokerError: the asset's rules could not be read.
        """
        asset = self.rules.of(self._symbol)
        least = self._limits.min_crypto if self._is_crypto else self._limits.min_stock
        return qty * self._task.limit_price >= least and qty >= (asset.min_order_size or _NONE)

    def rounded(self, qty: Decimal, asset: Asset | None = None) -> Decimal:
        """*qty* down to what the broker counts in."""
        asset = asset or self.rules.of(self._symbol)
        if self._is_crypto:
            step = asset.min_trade_increment or STOCK_FRACTION
        else:
            fractions = asset.fractionable and self._task.time_in_force != TimeInForce.GTC
            step = STOCK_FRACTION if fractions else _ONE
        with localcontext() as context:
            context.prec = 60
            return (qty / step).to_integral_value(ROUND_FLOOR) * step

    def _whole(self, wanted: Decimal, asset: Asset) -> Decimal:
        """A quantity that somebody asked for is theirs to put right; any other is rounded."""
        return wanted if wanted == self._task.qty else self.rounded(wanted, asset)

    def _objections(
        self, qty: Decimal, asset: Asset, market_open: bool, placed: Placed
    ) -> tuple[Objection, ...]:
        if qty <= 0:
            words = f"what is left of {self._symbol} is less than the broker counts in"
            return (Objection("min_order_size", words, lasting=False),)
        around = Surroundings(market_open, self._limits, placed, closes=True)
        return order_rules.check(self._order(qty), asset, around)

    def _nothing_there(self, placed: Placed, asset: Asset) -> Objection:
        held = self._held(placed)
        kind = self._task.position.value
        if self.rounded(max(held, _NONE), asset) <= 0:
            return Objection(GONE, f"there is no {kind} position in {self._symbol}", lasting=False)
        words = (
            f"other orders are closing all of the {kind} position in {self._symbol}, "
            f"{decimal_text(held)}"
        )
        return Objection(HELD, words, lasting=False)

    def _held(self, placed: Placed) -> Decimal:
        return placed.position if self._task.position is Position.LONG else -placed.position

    def _order(self, qty: Decimal) -> NewOrder:
        task = self._task
        return NewOrder(
            "",
            self._symbol,
            task.side,
            qty,
            task.limit_price,
            self._is_crypto,
            task.time_in_force,
            task.extended_hours,
        )
