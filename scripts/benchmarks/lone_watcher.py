"""What a watcher without this system does: a process of its own that polls the broker by itself.

Usage: python -m scripts.benchmarks.lone_watcher URL SYMBOL
"""

from __future__ import annotations

import sys
import time

from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.requests import CryptoLatestQuoteRequest
from alpaca.trading.client import TradingClient

#: Seconds between two looks at the price, and at the account.
QUOTE_SECONDS = 1.0
ACCOUNT_SECONDS = 15.0


def main() -> None:
    """Look at the price for ever; one line when the first look succeeded.

    What the broker refuses, after alpaca-py's own repeats, is asked for again at the next look.
    """
    url, symbol = sys.argv[1:]
    quotes = CryptoHistoricalDataClient(url_override=url)
    trading = TradingClient("lone", f"lone-{symbol}", url_override=url)
    request = CryptoLatestQuoteRequest(symbol_or_symbols=symbol)
    account_at, is_ready = 0.0, False
    while True:
        try:
            quotes.get_crypto_latest_quote(request)
            if not is_ready:
                print("ready", flush=True)
                is_ready = True
            if time.monotonic() >= account_at:
                trading.get_account()
                account_at = time.monotonic() + ACCOUNT_SECONDS
        except APIError as error:
            if error.status_code != 429:
                raise
        time.sleep(QUOTE_SECONDS)


if __name__ == "__main__":
    main()
