"""What the market data streams say: quotes, trades, books of one level and minute bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .exchange import Exchange
from .prices import Quote
from .prices import bars as source_bars
from .serialize import SHOWN_SIZE, bar_json, quote_json
from .wire import Moment

MINUTE = 60
#: Bars of one symbol sent at once after a pause of the server.
MAX_BARS = 60
#: A market at rest is quoted again so often: in a real one sizes change though the price does not.
RESTING_SECONDS = 5.0
_BOTH = ("trades", "quotes", "bars", "updatedBars", "dailyBars")
#: Channels by whether the feed is crypto. Those that never say anything are in the documentation.
CHANNELS = {
    True: (*_BOTH, "orderbooks"),
    False: (*_BOTH, "statuses", "lulds", "corrections", "cancelErrors"),
}


@dataclass(frozen=True)
class Message:
    """A message's body, and the channel and symbol it belongs to."""

    channel: str
    symbol: str
    body: dict[str, Any]


class Feed:
    """Notes what was sent, so that a message is sent when something changed.

    Moments that its methods take are seconds on one clock of the caller's.
    """

    def __init__(self, exchange: Exchange, quote_interval: float) -> None:
        self._exchange = exchange
        self._interval = quote_interval
        self._next_quotes = 0.0
        self._shown: dict[str, tuple[Decimal, Decimal]] = {}
        self._told_at: dict[str, float] = {}
        self._minute = self._present_minute()
        self._trades = 0

    def _present_minute(self) -> int:
        return int(self._exchange.market_time // MINUTE)

    def news(self, symbols: Iterable[str], now: float) -> Iterator[Message]:
        """Bars that ended, and the quotes that changed if it is time for quotes again."""
        wanted = list(symbols)
        yield from self._bars(wanted)
        if now >= self._next_quotes:
            self._next_quotes = now + self._interval
            yield from self.quotes(wanted, now)

    def remember(self, symbols: Iterable[str]) -> None:
        """Take present quotes as shown: a subscription begins with the next change."""
        for symbol in symbols:
            quote = self._exchange.market.quote(symbol)
            if quote is not None:
                self._shown.setdefault(symbol, (quote.bid, quote.ask))

    def quotes(self, symbols: Iterable[str], now: float) -> Iterator[Message]:
        """A quote, a book and a trade for each symbol whose quote changed; a quote after a rest."""
        wanted = list(symbols)
        self._forget_all_but(wanted)
        for symbol in wanted:
            quote = self._exchange.market.quote(symbol)
            if quote is None:
                continue
            changed = self._shown.get(symbol) != (quote.bid, quote.ask)
            if not changed and not self._is_due(symbol, now):
                continue
            self._shown[symbol], self._told_at[symbol] = (quote.bid, quote.ask), now
            head = {"S": symbol, "t": Moment(quote.when)}
            yield Message("quotes", symbol, {"T": "q"} | quote_json(quote) | head)
            if not changed:
                continue
            yield Message("trades", symbol, {"T": "t"} | self._trade(quote) | head)
            yield Message("orderbooks", symbol, {"T": "o"} | _book(quote) | head)

    def _forget_all_but(self, wanted: Iterable[str]) -> None:
        """Who listens again hears no change that nobody listened to."""
        for told in (self._shown, self._told_at):
            for symbol in told.keys() - wanted:
                del told[symbol]

    def _is_due(self, symbol: str, now: float) -> bool:
        """It has been silent for long, and its market is open."""
        is_open = "/" in symbol or self._exchange.market.stocks_trade(True)
        return is_open and now - self._told_at.setdefault(symbol, now) >= RESTING_SECONDS

    def _trade(self, quote: Quote) -> dict[str, Any]:
        self._trades += 1
        crypto = "/" in quote.symbol
        trade = {"i": self._trades, "p": float(quote.mid), "s": SHOWN_SIZE[crypto]}
        return trade | ({"tks": "B"} if crypto else {"x": "V", "c": ["@"], "z": "C"})

    def _bars(self, symbols: list[str]) -> Iterator[Message]:
        first, present = self._minute, self._present_minute()
        self._minute = present
        if present == first:
            return
        start, end = first * MINUTE, (present - 1) * MINUTE
        exchange = self._exchange
        for symbol in symbols:
            found = source_bars(
                exchange.source, symbol, start, end, MINUTE, exchange.market_time, MAX_BARS
            )
            for bar in found:
                head = {"T": "b", "S": symbol, "t": Moment(bar.start)}
                yield Message("bars", symbol, bar_json(symbol, bar) | head)


def _book(quote: Quote) -> dict[str, Any]:
    """A book of one level; ``r``: it replaces the one before."""
    size = SHOWN_SIZE["/" in quote.symbol]
    return {
        "b": [{"p": float(quote.bid), "s": size}],
        "a": [{"p": float(quote.ask), "s": size}],
        "r": True,
    }
