"""What the keeper publishes for everybody: quotes of every symbol in use, and the session."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from decimal import Decimal

from stealer.broker.interface import Broker
from stealer.coordinator import WorkStealingCoordinator
from stealer.keeper.streaming import Polling
from stealer.model import Claim
from stealer.sessions import MarketClock, session_at

log = logging.getLogger(__name__)


#: Seconds for which what is said of the streams is good: several passes.
STREAMS_SECONDS = 30.0


class Feeds:
    """Reads quotes once for all watchers and keeps the session state in the ledger.

    :param streaming: what is heard and need not be read.
    """

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        clock: MarketClock,
        streaming: Polling | None = None,
    ) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._clock = clock
        self._streaming = streaming or Polling()
        self._unquoted: set[str] = set()

    def publish_session(self, term: int) -> None:
        """The session now, and the real seconds until it changes; and how the streams are."""
        session = session_at(self._clock.now())
        left = max(self._clock.seconds_until(session.until), 0.001)
        self._coordinator.publish_session(session.is_open, left, term)
        streams = self._streaming.health()
        if streams is not None:
            self._coordinator.publish_streams(streams, STREAMS_SECONDS, term)

    def publish_quotes(self, claims: Iterable[Claim]) -> None:
        """Quotes of all symbols that have a claim or a watcher, where no stream tells them.

        :raises BrokerError: none could be read; the old ones grow stale and protect by that.
        """
        used = {claim.symbol for claim in claims} | self._coordinator.watched_symbols()
        self._streaming.lead(used)
        wanted = self._streaming.unheard(used)
        if not wanted:
            return
        quotes = self._broker.quotes(sorted(wanted))
        newest = self._streaming.polled(quotes.values())
        now = self._clock.now().timestamp()
        # A quote's age is in market time; staleness is judged in real seconds.
        aged = [(q, max(now - q.at, 0.0) / self._clock.speed) for q in newest]
        self._coordinator.publish_quotes(aged)
        missing = wanted - quotes.keys()
        for symbol in sorted(missing - self._unquoted):
            log.warning("the broker has no quote for %s", symbol)
        self._unquoted = (self._unquoted & used) - quotes.keys() | missing

    def price_of(self, symbol: str) -> Decimal | None:
        """A price for a foreign order: the ask, being the dearer side."""
        quote = self._broker.quotes([symbol]).get(symbol)
        return quote.ask if quote else None
