"""The command line: ``python -m stealer.simulated_alpaca``."""

from __future__ import annotations

import math
import signal
import time
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from .assets import canonical_symbol
from .clock import MarketClock, parse_instant
from .exchange import ExchangeConfig
from .generator import PROFILES, GeneratedMarket
from .prices import MarketSource
from .replay import BarsError, ReplayedMarket
from .server import DEFAULT_START, listen, make_server, make_world
from .settings import ServerConfig, StreamConfig

#: Option defaults come from the engine's, so that the two cannot drift apart.
_EXCHANGE = ExchangeConfig()
_SERVER = ServerConfig()
_STREAMS = _SERVER.streams


def number(text: str | Decimal) -> Decimal:
    """An option's finite decimal of 0 or more. Raises click.BadParameter."""
    try:
        parsed = Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"{text!r} is not a number") from None
    if not parsed.is_finite() or parsed < 0:
        raise click.BadParameter(f"{text!r} is not a finite number of 0 or more")
    return parsed


class FiniteRange(click.FloatRange):
    """A range without NaN, which no bound excludes, and without infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; a usage error for anything else."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


SECONDS = FiniteRange(min=0)


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free port.")
@click.option("--cash", type=number, default=_EXCHANGE.cash, help="Cash at the start, USD.")
@click.option("--seed", type=int, default=_EXCHANGE.seed, help="Seed of market and fills.")
@click.option(
    "--speed",
    type=FiniteRange(min=0, min_open=True),
    default=1.0,
    help="Market seconds a real second.",
)
@click.option(
    "--start",
    help=f"Market time at the start, ISO 8601.  [default: the bars' first "
    f"common moment, else {DEFAULT_START}]",
)
@click.option(
    "--clock",
    "clock_text",
    help="A shared market clock, ISO@UNIX*SPEED or 'system'; instead of --start and --speed.",
)
@click.option(
    "--bars",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="CSV or CSV.GZ of bars to play; repeatable.",
)
@click.option("--symbols", help="Comma separated; default: all of the market.")
@click.option(
    "--rate-limit",
    type=click.IntRange(min=0),
    default=_SERVER.rate_limit,
    help="Trading requests a minute and key; 0 for none.",
)
@click.option(
    "--data-rate-limit",
    type=click.IntRange(min=0),
    default=_SERVER.data_rate_limit,
    help="Market data requests a minute and key; 0 for none.",
)
@click.option(
    "--accept-latency",
    type=SECONDS,
    default=_EXCHANGE.accept_latency,
    help="Real seconds from submitted to new.",
)
@click.option(
    "--cancel-latency",
    type=SECONDS,
    default=_EXCHANGE.cancel_latency,
    help="Real seconds from pending_cancel to canceled.",
)
@click.option(
    "--release-latency",
    type=SECONDS,
    default=_EXCHANGE.release_latency,
    help="Real seconds that a canceled order's funds stay held.",
)
@click.option(
    "--partial-probability",
    type=FiniteRange(0, 1),
    default=_EXCHANGE.partial_probability,
    help="Chance that a fill is partial.",
)
@click.option(
    "--spread-bps",
    type=number,
    default=_EXCHANGE.spread_bps,
    help="Bid to ask, basis points of the mid.",
)
@click.option(
    "--crypto-fee-bps",
    type=number,
    default=_EXCHANGE.crypto_fee_bps,
    help="Fee on crypto, taken from what is received.",
)
@click.option(
    "--leverage",
    type=number,
    default=_EXCHANGE.leverage,
    help="The judge's cap on the total pool, times equity.",
)
@click.option(
    "--judge-window",
    type=SECONDS,
    default=_EXCHANGE.judge_window,
    help="Real seconds of prices that a client may have acted on.",
)
@click.option(
    "--buying-power-checks/--no-buying-power-checks",
    default=_EXCHANGE.enforce_buying_power,
    help="Off: accept orders beyond the buying power, for the judge to see.",
)
@click.option(
    "--all-buys-reduce-cash",
    is_flag=True,
    help="Stock buys, too, reduce non-marginable buying power.",
)
@click.option(
    "--offhours-cancel-waits",
    is_flag=True,
    help="A stock's cancel off hours waits for the session.",
)
@click.option(
    "--trade-streams",
    type=click.IntRange(min=0),
    default=_STREAMS.trade_connections,
    help="Trade update connections at once; 0 for any number.",
)
@click.option(
    "--second-trade-stream",
    type=click.Choice(["refuse", "replace"]),
    default=_STREAMS.second_trade_stream,
    help="What becomes of the connection that is one too many.",
)
@click.option(
    "--data-streams",
    type=click.IntRange(min=0),
    default=_STREAMS.data_connections,
    help="Market data connections at once, by endpoint and key; 0 for any number.",
)
@click.option(
    "--data-symbols",
    type=click.IntRange(min=0),
    default=_STREAMS.data_symbols,
    help="Symbols of one data connection's trades and quotes; 0 for any number.",
)
@click.option("--sip/--no-sip", default=_STREAMS.sip, help="Whether the keys may use /v2/sip.")
@click.option(
    "--quote-interval",
    type=SECONDS,
    default=_STREAMS.quote_interval,
    help="Least real seconds between two streamed quotes of a symbol.",
)
@click.option("--key", default="", help="Accept only this API key.")
@click.option("--secret", default="", help="Accept only this API secret.")
def main(**options: Any) -> None:
    """An Alpaca-shaped paper broker for demo, tests and replay."""
    source = _source(options["bars"], options["symbols"], options["seed"])
    clock = _clock(options, source)
    config = ExchangeConfig(
        enforce_buying_power=options["buying_power_checks"],
        **{
            name: options[name]
            for name in (
                "cash",
                "seed",
                "accept_latency",
                "cancel_latency",
                "release_latency",
                "partial_probability",
                "spread_bps",
                "crypto_fee_bps",
                "leverage",
                "judge_window",
                "all_buys_reduce_cash",
                "offhours_cancel_waits",
            )
        },
    )
    server_config = ServerConfig(
        options["rate_limit"],
        options["data_rate_limit"],
        options["key"],
        options["secret"],
        streams=StreamConfig(
            options["trade_streams"],
            options["second_trade_stream"],
            options["data_streams"],
            options["data_symbols"],
            options["sip"],
            options["quote_interval"],
        ),
    )
    try:
        listener = listen(options["host"], options["port"])
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {options['host']}:{options['port']}: {error.strerror or error}"
        ) from error
    server = make_server(make_world(source, config, clock), server_config)
    url = f"http://{options['host']}:{listener.getsockname()[1]}"
    for number_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_, lambda *_: server.stop())
    # Connections that come before uvicorn accepts wait in the backlog, so the line is no lie.
    listener.listen(1024)
    click.echo(f"simulated Alpaca on {url}")
    server.run(sockets=[listener])


def _source(bars: tuple[str, ...], symbols: str | None, seed: int) -> MarketSource:
    """The market that the options describe. Raises click.UsageError."""
    option = "--symbols"
    try:
        names = [canonical_symbol(name) for name in symbols.split(",")] if symbols else None
        if bars:
            option = "--bars"
            return ReplayedMarket.load(bars, names)
        return GeneratedMarket(seed, tuple(names or PROFILES))
    except (BarsError, ValueError) as error:
        raise click.UsageError(f"{option}: {error}") from error


def _clock(options: dict[str, Any], source: MarketSource) -> MarketClock:
    """The market clock that the options describe. Raises click.UsageError."""
    text, start = options["clock_text"], options["start"]
    option = "--clock" if text else "--start"
    try:
        if text:
            if start or options["speed"] != 1.0:
                raise ValueError("replaces --start and --speed; give one or the other")
            return MarketClock.parse(text)
        if start:
            market = parse_instant(start)
        elif isinstance(source, ReplayedMarket):
            market = source.first_common
        else:
            market = parse_instant(DEFAULT_START)
        return MarketClock.starting(market, options["speed"], real=time.time())
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error
