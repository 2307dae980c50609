"""What may be ordered of a symbol: asked of the broker once, and shared through Redis.

A hundred watchers must not make a hundred requests: Alpaca counts them for the whole account. The
first who needs a symbol's rules reads and keeps them for all; the others wait for that a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stealer.broker.interface import Broker
from stealer.errors import LedgerSpoiled
from stealer.evidence import Asset
from stealer.publishing import PublishingLedger

#: Seconds for which everybody goes by one reading: two requests an hour for each symbol in use.
SHARED_SECONDS = 1800.0

#: Seconds for which a process goes by what it has seen, so that it learns soon of a new reading.
SEEN_SECONDS = 60.0

#: Seconds that one reading of the broker may take before another process is told to try.
READING_SECONDS = 5.0

#: Looks at what another process is reading, and seconds between them; then it is read again.
LOOKS = 10
LOOK_SECONDS = 0.2


class AssetRules:
    """The rules of each symbol for one process.

    :param sleep, monotonic: the clock, in seconds.
    """

    def __init__(
        self,
        ledger: PublishingLedger,
        broker: Broker,
        *,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._broker = ledger, broker
        self._sleep, self._monotonic = sleep, monotonic
        self._seen: dict[str, tuple[float, Asset]] = {}

    def of(self, symbol: str) -> Asset:
        """What may be ordered of a canonical *symbol*.

        :raises BrokerError: nothing is kept, and the broker could not be read.
        :raises LedgerUnavailable: Redis could not be asked.
        """
        seen_at, asset = self._seen.get(symbol, (float("-inf"), None))
        if asset is not None and self._monotonic() < seen_at + SEEN_SECONDS:
            return asset
        asset = self._kept(symbol)
        if asset is None:
            asset = self._broker.asset(symbol)
            self._ledger.keep_asset(asset, SHARED_SECONDS)
        self._seen[symbol] = (self._monotonic(), asset)
        return asset

    def forget(self, symbol: str) -> None:
        """The broker has refused an order that these rules let pass: read them anew."""
        if self._seen.pop(symbol, None):
            self._ledger.forget_asset(symbol)

    def _kept(self, symbol: str) -> Asset | None:
        """What somebody keeps, or comes to keep while we wait; None: it is ours to read."""
        for _ in range(LOOKS):
            try:
                asset, ours = self._ledger.asset(symbol, READING_SECONDS)
            except LedgerSpoiled:  # not as this system writes it, so as good as nothing
                return None
            if ours or (asset is not None and asset.symbol == symbol):
                return asset
            self._sleep(LOOK_SECONDS)
        return None
