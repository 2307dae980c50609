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
