"""What is published into one account's ledger for everybody, and read there again.

Quotes, forecasts, session, account, what may be ordered and what is placed: each by whoever knows
it, most by the keeper. Nothing here holds or frees capacity of a claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from stealer import replies
from stealer.errors import raise_for
from stealer.evidence import Asset, Placed, Quote
from stealer.ledger import Ledger, micro
from stealer.model import decimal_text, finite_pnl, valid_strategy
from stealer.replies import AccountFigures, StreamHealth


class PublishingLedger(Ledger):
    """A ledger with its feeds."""

    def watch(self, symbols: Iterable[str], seconds: float) -> None:
        """Ask the keeper for fresh quotes of *symbols* for the next *seconds*."""
        names = [self.classify(symbol)[0] for symbol in symbols]
        self._run("watch", int(seconds * 1000), *names)

    def await_price(self, symbol: str, side: str, strategy: str, price: float | None) -> bool:
        """Wake this slot's ``wait`` once a quote reaches *price*; True when one has already.

        A buy waits for an ask at or below it, a sell for a bid at or above it. None: no more.
        """
        symbol, _ = self.classify(symbol)
        slot = f"{symbol}|{side}|{strategy}"
        wanted = "" if price is None else repr(price)
        return bool(self._run("await_price", slot, symbol, side, wanted)[0] == "now")

    def publish_quote(
        self,
        symbol: str,
        bid: Decimal | float | str,
        ask: Decimal | float | str,
        age_seconds: float = 0.0,
    ) -> None:
        """The best bid and ask of one symbol; *age_seconds* old when it was read."""
        quote = Quote(self.classify(symbol)[0], Decimal(str(bid)), Decimal(str(ask)), 0.0)
        self.publish_quotes([(quote, age_seconds)])

    def publish_quotes(self, quotes: Iterable[tuple[Quote, float]]) -> None:
        """Quotes with their ages in seconds. A quote without a positive bid and ask is left out."""
        arguments: list[str | int] = []
        for quote, age in quotes:
            if quote.bid > 0 and quote.ask > 0:
                bid, ask = decimal_text(quote.bid), decimal_text(quote.ask)
                arguments += [quote.symbol, bid, ask, int(age * 1000)]
        if arguments:
            self._run("quotes", *arguments)

    def publish_forecast(
        self,
        symbol: str,
        strategy: str,
        pnl: float | None,
        *,
        ttl_seconds: float = 0.0,
        source: str = "api",
        weak: bool = False,
    ) -> None:
        """The forecast PnL (dollars) of a symbol and strategy; None withdraws it.

        A *weak* one leaves a forecast from another source as it is.

        :raises InvalidIntent: a symbol, strategy or number that cannot be.
        """
        symbol, crypto = self.classify(symbol)
        worth = "" if pnl is None else repr(finite_pnl("pnl", pnl))
        ttl = int(ttl_seconds * 1000)
        self._run(
            "forecast", symbol, valid_strategy(strategy), int(crypto), worth, ttl, source, int(weak)
        )

    def begin_snapshot(self, term: int = 0, lag_ms: int | None = None) -> int:
        """Start reading an account snapshot; its sequence number.

        :param lag_ms: how long positions may lag behind fills, if not as in the settings.

        :raises Uncertified, Deposed:
        """
        lag = int(self.settings.position_lag_seconds * 1000) if lag_ms is None else lag_ms
        reply = self._run("begin", term, lag)
        raise_for(reply[0], "begin")
        return int(reply[1])

    def publish_account(
        self,
        figures: AccountFigures | None = None,
        *,
        sequence: int | None = None,
        term: int = 0,
        equity: float | Decimal | None = None,
        cash: float | Decimal | None = None,
        buying_power: float | Decimal | None = None,
        positions: float | Decimal = 0,
        crypto_positions: float | Decimal = 0,
    ) -> None:
        """Publish an account snapshot: exact *figures*, or a plain account in dollars.

        *sequence* is what ``begin_snapshot`` gave before the orders were read; without it this
        call begins the snapshot itself, for figures that are known to be of now.
        *positions* and *crypto_positions* are disjoint market values.

        :raises StaleSnapshot: a newer snapshot is published.
        :raises Uncertified, Deposed:
        """
        if figures is None:
            if equity is None:
                raise ValueError("publish_account: give figures, or at least equity")
            figures = self._plain_figures(equity, cash, buying_power, positions, crypto_positions)
        if sequence is None:
            sequence = self.begin_snapshot(term, lag_ms=0)
        f = figures
        reply = self._run(
            "publish",
            term,
            sequence,
            f.limit_total,
            f.limit_crypto,
            f.positions_total,
            f.positions_crypto,
            f.foreign_total,
            f.foreign_crypto,
            f.power_margin,
            f.power_cash,
        )
        raise_for(reply[0], "publish")

    def publish_session(self, is_open: bool, seconds_left: float = 0.0, term: int = 0) -> None:
        """Whether the stock market is open, and for how many seconds (0: unknown)."""
        raise_for(self._run("session", term, int(is_open), int(seconds_left * 1000))[0], "session")

    def publish_streams(
        self, streams: Iterable[StreamHealth], seconds: float, term: int = 0
    ) -> None:
        """How the keeper's streams are, good for *seconds*.

        :raises Deposed:
        """

        def ago(age: float | None) -> str:
            return "-" if age is None else str(int(age * 1000))

        rows = [
            words
            for s in streams
            for words in (
                s.name,
                f"{ago(s.connected_seconds)} {ago(s.heard_seconds)} {s.connects}",
            )
        ]
        raise_for(self._run("streams", term, int(seconds * 1000), *rows)[0], "streams")

    def asset(self, symbol: str, reading_seconds: float) -> tuple[Asset | None, bool]:
        """What is kept of a canonical *symbol*, if anything; and whether the caller is the one to
        read it from the broker, for which nobody else is chosen for *reading_seconds*.
        """
        reply = self._run("asset", symbol, int(reading_seconds * 1000))
        return (replies.asset(reply[1]) if reply[0] == "kept" else None), reply[0] == "read"

    def keep_asset(self, asset: Asset, seconds: float) -> None:
        """Keep what the broker said for everybody, for *seconds*."""
        self._run("keep_asset", asset.symbol, replies.asset_text(asset), int(seconds * 1000))

    def forget_asset(self, symbol: str) -> None:
        """What is kept of a canonical *symbol* may be wrong: let the next who needs it read it."""
        self._run("keep_asset", symbol, "", 0)

    def placed(self, symbol: str) -> Placed:
        """What the account has in a canonical *symbol*, by the keeper's last look."""
        kept = self.read(lambda r: r.hget(self.keys.placed, symbol))
        return replies.placed(kept) if kept else Placed()

    def publish_placed(self, placed: Mapping[str, Placed], seconds: float, term: int = 0) -> None:
        """All that the account has, by symbol, good for *seconds*.

        :raises Deposed:
        """
        rows = [text for symbol, p in placed.items() for text in (symbol, replies.placed_text(p))]
        raise_for(self._run("placed", term, int(seconds * 1000), *rows)[0], "placed")

    def publish_exits(
        self,
        rows: Iterable[str],
        seconds: float,
        *,
        age_seconds: float = 0,
        term: int | None = None,
    ) -> None:
        """What is known of exit orders: their ids and words in turn (``exit_records.exit_rows``).

        :param term: of the keeper that has listed all of them; None: some were heard of.
        :raises Deposed:
        """
        times = int(seconds * 1000), int(age_seconds * 1000)
        reply = self._run("exits", "" if term is None else term, *times, *rows)
        raise_for(reply[0], "exits")

    def _plain_figures(
        self,
        equity: float | Decimal,
        cash: float | Decimal | None,
        buying_power: float | Decimal | None,
        positions: float | Decimal,
        crypto_positions: float | Decimal,
    ) -> AccountFigures:
        """Figures of an account without foreign orders; crypto weighs 2 in margin power."""
        base, leverage = micro(equity), Decimal(str(self.settings.leverage))
        held, crypto = micro(positions), micro(crypto_positions)
        limit = int(base * leverage)
        money = base - held - crypto if cash is None else micro(cash)
        power = limit - held - 2 * crypto if buying_power is None else micro(buying_power)
        return AccountFigures(limit, money + crypto, held + crypto, crypto, 0, 0, power, money)
