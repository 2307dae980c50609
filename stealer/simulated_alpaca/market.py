"""The market at a moment: mids, quotes, marks, hours, with prices that tests hold still."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from . import nyse
from .assets import asset_for
from .prices import MarketSource, Quote, mid_price, quote_around


@dataclass
class Market:
    """A source seen at ``now`` (market time, unix seconds), which `move` sets."""

    source: MarketSource
    spread_bps: Decimal
    now: float
    pins: dict[str, Decimal] = field(default_factory=dict)
    _last: dict[str, Decimal] = field(default_factory=dict)
    _mids: dict[str, Decimal | None] = field(default_factory=dict)
    _quotes: dict[str, Quote | None] = field(default_factory=dict)
    _open: dict[bool, bool] = field(default_factory=dict)

    def move(self, now: float) -> None:
        """Go to a moment; what was worked out for the last one is forgotten."""
        # Whole microseconds, so that a time that was printed and read again is the same time.
        self.now = round(now, 6)
        for known in (self._mids, self._quotes, self._open):
            known.clear()

    def pin(self, symbol: str, price: Decimal | None) -> None:
        """Hold a symbol's mid at ``price``, or let it go again with None."""
        if price is None:
            self.pins.pop(symbol, None)
        else:
            self.pins[symbol] = price
        self.move(self.now)

    def mid(self, symbol: str) -> Decimal | None:
        """The mid, a pinned one first; None before the symbol's first price."""
        if symbol not in self._mids:
            price = None if symbol in self.pins else self.source.price(symbol, self.now)
            known = self.pins.get(symbol, self._last.get(symbol))
            self._mids[symbol] = known if price is None else mid_price(asset_for(symbol), price)
        mid = self._mids[symbol]
        if mid is not None:
            # Something may be held that was bought at a pinned price before the first real one.
            self._last[symbol] = mid
        return mid

    def quote(self, symbol: str) -> Quote | None:
        """Bid and ask, or None before the first price. Out of hours no stock is quoted anew."""
        if symbol not in self._quotes:
            mid = self.mid(symbol)
            made = self.now if "/" in symbol else nyse.last_traded(self.now)
            self._quotes[symbol] = (
                None if mid is None else quote_around(symbol, made, mid, self.spread_bps)
            )
        return self._quotes[symbol]

    def marks(self) -> dict[str, Decimal]:
        """Every symbol's mid, without those that have no price yet."""
        mids = {symbol: self.mid(symbol) for symbol in self.source.symbols}
        return {symbol: mid for symbol, mid in mids.items() if mid is not None}

    def stocks_trade(self, extended: bool) -> bool:
        """Whether the NYSE is open, in extended hours if asked."""
        if extended not in self._open:
            self._open[extended] = nyse.current_session(self.now, extended) is not None
        return self._open[extended]
