"""What the leading keeper hears from the broker's streams, carried into the ledger at once.

Streams make news fast, polling makes it certain. While the streams stand, the account is read a few
times a minute and at once after fills, and quotes are read only of symbols that are not heard of.
What polling finds and a stream did not tell in time shows that the stream is mute: it is replaced.
Without streams everything is polled (`Polling`).

Handlers run in the streams' threads beside the keeper's passes. That is safe as two keepers' hosts
are safe: every verb is one script, and only the leader's streams are listened to.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from stealer.broker.interface import BrokerError
from stealer.broker.streams import CRYPTO, STOCKS, TRADES, StreamState
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import ClaimGone, LedgerUnavailable, Refused
from stealer.evidence import BrokerOrder, Quote
from stealer.exit_ids import is_exit
from stealer.exit_records import HEARD_SECONDS, exit_rows
from stealer.keeper.endings import unasked
from stealer.keeper.turns import Turns
from stealer.order_ids import is_ours
from stealer.replies import StreamHealth
from stealer.sessions import MarketClock

log = logging.getLogger(__name__)

#: The account is read so long before it would be stale, besides what its reading takes by itself.
#: (With a very short staleness: at half of it.)
SPARE_SECONDS = 2.0

#: Seconds for which news may be on its way before a stream that did not tell them counts as mute.
ON_ITS_WAY_SECONDS = 3.0

#: Seconds before a symbol may have its stream replaced again, doubled each time until the stream
#: tells it: a stream that never tells one symbol is of use to the others.
AGAIN_SECONDS = 60.0
LONGEST_AGAIN_SECONDS = 3600.0

#: Ends that are remembered as heard.
ENDS_REMEMBERED = 10_000


class Streams(Protocol):
    """See :class:`stealer.broker.streams.AlpacaStreams`."""

    def want(self, symbols: Iterable[str]) -> None: ...
    def states(self) -> Mapping[str, StreamState]: ...
    def restart(self, name: str) -> None: ...
    def stop(self) -> None: ...


#: Connects: given what to call with quotes, with an order's event, and with a stream's name.
OpenStreams = Callable[
    [
        Callable[[list[Quote]], object],
        Callable[[str, BrokerOrder], object],
        Callable[[str], object],
    ],
    Streams,
]


class Polling:
    """No streams: the account is due at every pass, and so are all quotes."""

    def lead(self, symbols: set[str]) -> None:
        """This keeper leads, and *symbols* are in use."""

    def stand_by(self) -> None:
        """Another keeper leads, or this one ends."""

    def health(self) -> list[StreamHealth] | None:
        """How the streams are; None when there are none to be."""
        return None

    def account_due(self) -> bool:
        """True when the account is to be read in this pass; it then counts as begun."""
        return True

    def due_in(self) -> float:
        """Seconds until the account is due, for a pass that waits for nothing else."""
        return 0.0

    def unheard(self, symbols: set[str]) -> set[str]:
        """Those of *symbols* whose quotes must be read by polling now."""
        return symbols

    def account_read(self) -> None:
        """What was due has been published, and all that it showed has been looked at."""

    def polled(self, quotes: Iterable[Quote]) -> list[Quote]:
        """Of what polling has found, what is not older than what was heard."""
        return list(quotes)

    def found_ended(self, order: BrokerOrder) -> None:
        """Polling has found the end of an order that the ledger did not know of."""


class Streaming(Polling):
    """The streams of one keeper, connected while it leads.

    :param leads: asked before anything heard is believed.
    """

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        open_streams: OpenStreams,
        leads: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coordinator = coordinator
        self._open, self._leads, self._monotonic = open_streams, leads, monotonic
        self._clock: MarketClock = coordinator.settings.clock
        self._streams: Streams | None = None
        self._news = True
        self._account_at = self._began_at = self._filled_at = float("-inf")
        self._turns = Turns(self._kind, coordinator.settings.quote_stale_seconds)
        self._quoted_at: dict[str, float] = {}  # by symbol, the market's time
        self._ended: deque[str] = deque(maxlen=ENDS_REMEMBERED)
        # By symbol or order id: found by polling, its stream, why it is missed, and since when.
        self._untold: dict[str, tuple[str, str, float]] = {}
        self._blamed: dict[str, tuple[float, float]] = {}  # by symbol: next, seconds between
        self._trouble = self._unopened = ""

    # ---- the keeper's passes

    def lead(self, symbols: set[str]) -> None:
        if self._streams is None:
            self._news = True
            try:
                self._streams = self._open(self._on_quotes, self._on_order, self._on_connect)
            except BrokerError as error:  # without them everything is polled
                if str(error) != self._unopened:
                    log.error("no streams: %s", error)
                self._unopened = str(error)
                return
            self._unopened = ""
        self._streams.want(symbols)
        self._forget_unwanted(symbols)
        self._replace_mute()

    def stand_by(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams.stop()

    def account_due(self) -> bool:
        if self.due_in() > 0:
            return False
        # Before anything is read: what is heard meanwhile may not be in it, and the positions
        # may not show yet what was filled just before. Unless it is published it stays due.
        self._began_at, self._account_at = self._monotonic(), float("-inf")
        lag = self._coordinator.settings.position_lag_seconds
        self._news = self._began_at - self._filled_at <= lag
        return True

    def account_read(self) -> None:
        self._account_at = self._began_at

    def due_in(self) -> float:
        if self._news or not self._stands(TRADES):
            return 0.0
        settings = self._coordinator.settings
        stale = settings.account_stale_seconds
        calm = max(stale / 2, stale - settings.position_lag_seconds - SPARE_SECONDS)
        return max(self._account_at + calm - self._monotonic(), 0.0)

    def unheard(self, symbols: set[str]) -> set[str]:
        now = self._monotonic()
        quiet = self._turns.quiet(symbols, now)
        fallen = {s for s in quiet if not self._stands(self._kind(s))}
        return fallen | self._turns.due(quiet - fallen, now)

    def polled(self, quotes: Iterable[Quote]) -> list[Quote]:
        now = self._monotonic()
        self._turns.done()
        newest = []
        for quote in quotes:
            before = self._quoted_at.get(quote.symbol)
            # A time to come, of a clock that was wrong, keeps nothing out.
            if before is not None and quote.at < before <= self._clock.now().timestamp():
                continue
            newest.append(quote)
            self._quoted_at[quote.symbol] = quote.at
            if before is not None and quote.at > before:
                self._turns.found_new(quote.symbol, now)
                why = f"a quote of {quote.symbol} was not told"
                self._untold.setdefault(quote.symbol, (self._kind(quote.symbol), why, now))
        return newest

    def found_ended(self, order: BrokerOrder) -> None:
        why = f"the end of an order in {order.symbol} was not told"
        self._untold.setdefault(order.id, (TRADES, why, self._monotonic()))

    # ---- what is heard, in the streams' threads

    def _on_quotes(self, quotes: list[Quote]) -> None:
        for quote in quotes:
            self._untold.pop(quote.symbol, None)
            self._blamed.pop(quote.symbol, None)
        if not self._leads():
            return
        now = self._clock.now().timestamp()
        aged = [(q, max(now - q.at, 0.0) / self._clock.speed) for q in quotes]
        if self._told(lambda: self._coordinator.publish_quotes(aged)):
            for quote in quotes:
                self._turns.heard(quote.symbol, self._monotonic())
                self._quoted_at[quote.symbol] = quote.at

    def _on_order(self, event: str, order: BrokerOrder) -> None:
        account = self._coordinator.settings.account
        ours, exits = (f(order.client_order_id, account) for f in (is_ours, is_exit))
        # An order of a person is exposure, and every fill moves positions. An exit is none.
        if order.filled_qty:
            self._filled_at = self._monotonic()
        if order.filled_qty or not (ours or exits):
            self._news = True
        if order.is_terminal:
            self._ended.append(order.id)
        if ours and self._leads():
            log.debug("%s %s: %s", order.symbol, order.client_order_id, event)
            self._told(lambda: self._carry(order))
        elif exits and self._leads():
            rows = exit_rows([order])
            self._told(lambda: self._coordinator.publish_exits(rows, HEARD_SECONDS))

    def _carry(self, order: BrokerOrder) -> None:
        """The order's evidence; a replaced one is the reconciler's, who waits for its successor."""
        if order.status == "replaced":
            self._news = True
        elif order.is_terminal:
            self._coordinator.close(order.client_order_id, order, unasked(order))
        else:
            self._coordinator.confirm(order.client_order_id, order)

    def _on_connect(self, name: str) -> None:
        """Nothing is replayed: what happened meanwhile is read."""
        if name == TRADES:
            self._news = True

    def _told(self, tell: Callable[[], object]) -> bool:
        """Tell the ledger; what it does not take now is found by the next pass."""
        try:
            tell()
        except ClaimGone:
            return True  # closed by its owner already
        except (LedgerUnavailable, Refused) as error:
            self._news = True
            if str(error) != self._trouble:
                log.warning("%s", error)
            self._trouble = str(error)
            return False
        self._trouble = ""
        return True

    # ---- the streams' health

    def health(self) -> list[StreamHealth] | None:
        now = self._monotonic()

        def ago(at: float | None) -> float | None:
            return None if at is None else max(now - at, 0.0)

        states = self._streams.states() if self._streams else {}
        return [
            StreamHealth(name, ago(state.connected_at), ago(state.heard_at), state.connects)
            for name, state in states.items()
        ]

    def _kind(self, symbol: str) -> str:
        return CRYPTO if self._coordinator.classify(symbol)[1] else STOCKS

    def _stands(self, name: str) -> bool:
        state = self._streams.states().get(name) if self._streams else None
        return state is not None and state.connected_at is not None

    def _has_stood(self, name: str) -> bool:
        """Long enough that what polling finds must have been told."""
        state = self._streams.states().get(name) if self._streams else None
        if state is None or state.connected_at is None:
            return False
        account = self._coordinator.settings.account_stale_seconds
        return self._monotonic() - state.connected_at > account + ON_ITS_WAY_SECONDS

    def _forget_unwanted(self, symbols: set[str]) -> None:
        """No stream is asked to tell the others: were they wanted again, what they were quoted
        meanwhile would count as not told."""
        for symbol in self._quoted_at.copy().keys() - symbols:
            self._quoted_at.pop(symbol, None)
            self._untold.pop(symbol, None)

    def _replace_mute(self) -> None:
        """Replace each stream that has not told in time what polling has found."""
        now = self._monotonic()
        mute: dict[str, str] = {}
        for what, (name, why, since) in list(self._untold.items()):
            if now - since <= ON_ITS_WAY_SECONDS:
                continue
            self._untold.pop(what, None)
            if what not in self._ended and self._has_stood(name) and self._may_blame(what):
                mute[name] = why
        for name, why in mute.items():
            log.warning("%s: connected but mute (%s): connecting anew", name, why)
            if self._streams:
                self._streams.restart(name)

    def _may_blame(self, what: str) -> bool:
        now = self._monotonic()
        due, between = self._blamed.get(what, (now, AGAIN_SECONDS))
        if now < due:
            return False
        if what in self._quoted_at:  # an order ends only once
            self._blamed[what] = (now + between, min(between * 2, LONGEST_AGAIN_SECONDS))
        return True
