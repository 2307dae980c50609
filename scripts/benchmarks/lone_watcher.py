"""What a watcher without this system does: a process of its own that polls the broker by itself.

Usage: python -m scripts.benchmarks.lone_watcher URL SYMBOL
"""

from __future__ import annotations

import sys
import time

from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.requests import CryptoLatestQuoteRequest
from alpaca.trading.client import TradingClient

#: Seconds between two looks at the price, and at the account.
QUOTE_SECONDS = 1.0
ACCOUNT_SECONDS = 15.0


def main() -> None:
    """Look at the price for ever; one line when the first look succeeded."""
    url, symbol = sys.argv[1:]
    quotes = CryptoHistoricalDataClient(url_override=url)
    trading = TradingClient("lone", f"lone-{symbol}", url_override=url)
    request = CryptoLatestQuoteRequest(symbol_or_symbols=symbol)
    account_at = 0.0
    while True:
        quotes.get_crypto_latest_quote(request)
        if not account_at:
            print("ready", flush=True)
        if time.monotonic() >= account_at:
            trading.get_account()
            account_at = time.monotonic() + ACCOUNT_SECONDS
        time.sleep(QUOTE_SECONDS)


if __name__ == "__main__":
    main()
