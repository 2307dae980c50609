"""What a run of the exchange can choose."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class ExchangeConfig:
    """Latencies, pauses and windows in real seconds, cash in USD, spreads and fees in bps."""

    cash: Decimal = Decimal(100_000)
    seed: int = 0
    accept_latency: float = 0.05
    cancel_latency: float = 0.15
    #: After a cancel is confirmed, funds and quantity stay held this long.
    release_latency: float = 0.1
    partial_probability: float = 0.1
    #: Pause between two fills of a partially filled order.
    partial_pause: float = 0.5
    spread_bps: Decimal = Decimal(4)
    crypto_fee_bps: Decimal = Decimal(25)
    enforce_buying_power: bool = True
    #: Unconfirmed at Alpaca: whether stock buys reduce non-marginable buying power.
    all_buys_reduce_cash: bool = False
    #: Unconfirmed at Alpaca: whether a cancel of a stock order off hours waits for the session.
    offhours_cancel_waits: bool = False
    leverage: Decimal = Decimal(2)
    judge_window: float = 5.0
    log_size: int = 20_000


@dataclass(frozen=True)
class StreamConfig:
    """The WebSockets. Limits are counts, 0 for none; times are real seconds."""

    trade_connections: int = 1
    #: Unconfirmed at Alpaca: "refuse" the connection that is one too many, or let it "replace".
    second_trade_stream: str = "refuse"
    #: For each data endpoint and key.
    data_connections: int = 1
    #: Symbols in the trade and quote subscriptions of one data connection.
    data_symbols: int = 0
    #: Whether the subscription covers the feed "sip".
    sip: bool = True
    #: Least time between two quotes of a symbol, unless its price is set by hand.
    quote_interval: float = 0.25
    auth_timeout: float = 10.0
    #: A client with more messages unsent is too slow.
    backlog: int = 10_000


@dataclass(frozen=True)
class ServerConfig:
    """The server. Limits are requests a minute, 0 for none; ``tick`` is real seconds."""

    rate_limit: int = 200
    data_rate_limit: int = 0
    key: str = ""
    secret: str = ""
    #: The longest time between two looks at the market.
    tick: float = 0.05
    streams: StreamConfig = StreamConfig()

    def accepts(self, key: object, secret: object) -> bool:
        """Whether the keys will do: any non-empty pair where none is configured."""
        if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
            return False
        return self.key in ("", key) and self.secret in ("", secret)
