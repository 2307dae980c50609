"""``scripts/demo``: the main job, live, from one command."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from scripts.demonstration import screen
from scripts.demonstration.desk import FLEETS, Desk
from scripts.demonstration.duel import Duel
from scripts.demonstration.market import KEY_ID, SECRET_KEY, Market
from scripts.demonstration.stage import Stage, StageError
from scripts.demonstration.summary import sentences, summarise
from scripts.json_file import JsonFile, write
from stealer.cli.floats import FiniteRange
from stealer.cli.operator import Operator
from stealer.cli.views.forecasts import read_file
from stealer.connect import connect
from stealer.embedded import EmbeddedServerError
from stealer.errors import StealerError
from stealer.model import InvalidIntent
from stealer.sessions import session_at
from stealer.settings import Settings, SettingsError
from stealer.signals import StopFlag, on_stop

#: Real seconds: the demo is on one machine, so little time is needed for what may be in flight.
TIMES = {
    "STEALER_TRUST_SECONDS": "2",
    "STEALER_POSITION_LAG_SECONDS": "0.2",
    "STEALER_ACCOUNT_STALE_SECONDS": "4",
    "STEALER_QUOTE_STALE_SECONDS": "4",
    "STEALER_QUARANTINE_SECONDS": "8",
    "STEALER_WAITER_SECONDS": "4",
}

#: Prices the judge lets a client have acted on: account age, trust and the call itself.
JUDGE_SECONDS = 8

#: Requests a minute. Alpaca's 200 are for real time; here a day passes in minutes.
RATE_LIMIT = 20_000

#: Market seconds in a real one: real markets are calmer than the seeded one.
SEEDED_SPEED, BARS_SPEED = 120.0, 180.0

#: How much deeper limits are set on the seeded market, which moves more within the hour.
SEEDED_PATIENCE = 1.7

#: Days of bars kept before the start, as the baseline's history.
HISTORY = timedelta(days=15)

#: The day on which the seeded market is shown: an ordinary Thursday.
SEEDED_DAY = datetime(2024, 1, 4, 15, 0, tzinfo=UTC)

#: Real seconds the ledger has, at the end, to see the last fills as positions.
SETTLE_SECONDS = 12.0

#: The competition of all watchers is at least this long, or there is no second act.
MAIN_ACT_SECONDS = 12.0

#: Seconds between two pictures, and between two lines.
PICTURE_SECONDS, LINE_SECONDS = 0.5, 5.0


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--seconds",
    type=FiniteRange(5, 86400),
    default=60.0,
    show_default=True,
    help="How long the competition runs, after the start.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the market and its fills.")
@click.option(
    "--speed",
    type=FiniteRange(1, 3600),
    help="Market seconds in a real one; cooldowns and fight windows are scaled with it.  "
    "[default: 120, with bars 180]",
)
@click.option(
    "--bars",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Play real bars (CSV or CSV.GZ); repeatable.",
)
@click.option(
    "--start",
    help="Market time at the start, ISO 8601. Default: so that the stock "
    "market closes on the way; with bars, after 15 days of history.",
)
@click.option(
    "--forecasts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PnL from a file (symbol,strategy,pnl) instead of the baseline's forecast.",
)
@click.option("--watchers", type=click.IntRange(2, 36), default=16, show_default=True)
@click.option("--cash", type=FiniteRange(1000, 1e8), default=100_000.0, show_default=True)
@click.option(
    "--json",
    "json_file",
    type=JsonFile(),
    help="Write the summary there, for programs.",
)
@click.option("--keep", is_flag=True, help="Keep the logs and say where they are.")
def main(**options: Any) -> None:
    """Watchers compete for one account's buying power, through a real Redis-protocol server and a
    simulated Alpaca that the real alpaca-py client talks to.

    Intents are a simple baseline without look-ahead: limits and targets from the trailing median
    daily range. What fills is sold by hand some seconds later, so that capacity comes back.

    Exit status: 0 all well, 1 the cap was broken, something leaked or a process died, 2 bad input.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options["speed"] = options["speed"] or (BARS_SPEED if options["bars"] else SEEDED_SPEED)
    directory = Path(tempfile.mkdtemp(prefix="stealer-demo-"))
    stage = Stage(directory)
    try:
        summary, troubles = perform(stage, options)
    except (StageError, EmbeddedServerError, StealerError, InvalidIntent, SettingsError) as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(2 if isinstance(error, InvalidIntent | SettingsError | StageError) else 1)
    finally:
        stage.close()
        if options["keep"]:
            click.echo(f"logs: {directory}", err=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print_summary(summary, troubles)
    write(options["json_file"], summary)
    sys.exit(0 if all_well(summary) and not troubles else 1)


def perform(stage: Stage, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Start everything, let it compete, stop it in order; the summary and what went wrong."""
    say = Console(stderr=True).print
    say("starting: Redis-protocol server, simulated Alpaca ...")
    redis_url = stage.start_redis()
    market = Market(stage.start_broker(broker_arguments(options)))
    settings = prepare(stage, options, redis_url, market)
    say(
        f"cooldown {settings.cooldown_seconds:g} s, fight window {settings.fight_window_seconds:g} "
        f"s: scaled by the speed, {options['speed']:g} x"
    )
    client = connect(settings, name="demo")
    ledger = Operator(client, settings, owner="demo")
    symbols = market.symbols()
    histories = market.histories(symbols, settings.clock.now())
    if not histories:
        raise InvalidIntent("the bars hold no history: a --start some days after their beginning?")
    desk = Desk(
        market,
        ledger,
        histories,
        options["cash"],
        stage.directory,
        fixed_forecasts(options["forecasts"], ledger),
        1.0 if options["bars"] else SEEDED_PATIENCE,
    )
    desk.open(options["watchers"])
    stage.start("keeper", "stealer.cli", ["keeper", "--poll-seconds", "0.5"])
    for fleet in FLEETS:
        stage.start(f"fleet-{fleet}", "watchers", ["run", str(desk.plan_file(fleet))])
    say(
        f"started: a keeper and {desk.wishes} watchers in 2 fleets; they begin when the ledger is "
        f"certified, after {settings.quarantine_seconds:g} s"
    )
    watchers = desk.wishes
    stop = StopFlag()
    troubles: list[str] = []
    with on_stop(stop.set):
        await_certificate(ledger, desk, stop)
        elapsed = watch(ledger, market, desk, stop, settings, options["seconds"])
        troubles += stage.check()
    say("stopping: watchers take their orders back ...")
    stage.stop([f"fleet-{fleet}" for fleet in FLEETS])
    settle(ledger)
    run = {
        "watchers": watchers,
        "fleets": len(FLEETS),
        "seconds": round(elapsed, 1),
        "speed": options["speed"],
        "seed": options["seed"],
        "source": ", ".join(p.name for p in options["bars"]) or "the seeded market",
        "market_time": settings.clock.now().isoformat(timespec="seconds"),
        "sold_by_hand": desk.sold,
    }
    summary = summarise(ledger, market.report(), market.orders_seen(), run)
    if os.environ.get("REDIS_URL"):
        forget(ledger)
    return summary, troubles


def broker_arguments(options: dict[str, Any]) -> list[str]:
    """The simulated Alpaca's command line."""
    arguments = [
        "--cash", str(options["cash"]), "--seed", str(options["seed"]),
        "--speed", str(options["speed"]), "--rate-limit", str(RATE_LIMIT),
        "--judge-window", str(JUDGE_SECONDS),
    ]  # fmt: skip
    for file in options["bars"]:
        arguments += ["--bars", str(file)]
    start = options["start"]
    if start is None:
        first = first_bar(options["bars"]) + HISTORY if options["bars"] else SEEDED_DAY
        start = default_start(first, options["seconds"] * options["speed"]).isoformat()
    return [*arguments, "--start", start]


def first_bar(files: tuple[Path, ...]) -> datetime:
    """The first moment that all files have; each is sorted by time.

    :raises InvalidIntent: a file without a readable first bar.
    """
    import csv
    import gzip

    moments = []
    for file in files:
        opener: Callable[..., Any] = gzip.open if file.suffix == ".gz" else open
        try:
            with opener(file, "rt", newline="") as lines:
                row = next(csv.DictReader(lines))
            moments.append(datetime.fromisoformat(row["timestamp"]).astimezone(UTC))
        except (OSError, StopIteration, KeyError, ValueError, UnicodeDecodeError) as error:
            raise InvalidIntent(f"{file}: no bars to be read ({error!r})") from None
    return max(moments)


def default_start(first: datetime, market_seconds: float) -> datetime:
    """So that the first session from *first* on closes when half of the demo is over."""
    session = session_at(first)
    if not session.is_open:
        session = session_at(session.until)
    return session.until - timedelta(seconds=market_seconds * 0.5)


def prepare(stage: Stage, options: dict[str, Any], redis_url: str, market: Market) -> Settings:
    """The environment of every process, and the settings it amounts to."""
    account = "demo" if not os.environ.get("REDIS_URL") else f"demo_{os.getpid()}"
    crypto = [s for s, is_crypto in market.symbols().items() if is_crypto]
    plain = Settings()
    scaled = plain.scaled(options["speed"])
    stage.environment |= {
        "REDIS_URL": redis_url,
        "STEALER_ACCOUNT": account,
        "ALPACA_URL": market.url,
        "ALPACA_DATA_URL": market.url,
        "STEALER_MARKET_CLOCK": market.clock_text(),
        "CRYPTO_SYMBOLS": ",".join(sorted(crypto)) or "none",
        "WORK_STEALING_COOLDOWN": f"{scaled.cooldown_seconds:.3f}",
        "WORK_STEALING_FIGHT_WINDOW": f"{scaled.fight_window_seconds:.3f}",
        "WORK_STEALING_FIGHT_COOLDOWN": f"{scaled.fight_cooldown_seconds:.3f}",
        **TIMES,
    }
    return Settings.from_env(stage.environment, alpaca_key_id=KEY_ID, alpaca_secret_key=SECRET_KEY)


def fixed_forecasts(file: Path | None, ledger: Operator) -> dict[tuple[str, str], float]:
    """Forecasts of a file, by symbol and strategy.

    :raises InvalidIntent: the file is no forecasts file; the message names line and field.
    """
    if file is None:
        return {}
    entries = read_file(str(file), file.read_bytes(), ledger.classify)
    return {(entry.symbol, entry.strategy): entry.pnl for entry in entries}


def await_certificate(ledger: Operator, desk: Desk, stop: StopFlag) -> None:
    """Forecasts are published meanwhile, so that the first rank is a real one."""
    deadline = time.monotonic() + 60
    while not ledger.server().certified and not stop.is_set():
        if time.monotonic() > deadline:
            raise StageError("the ledger was not certified within 60 s; see the keeper's log")
        desk.tend()
        stop.wait(0.2)


def watch(
    ledger: Operator,
    market: Market,
    desk: Desk,
    stop: StopFlag,
    settings: Settings,
    seconds: float,
) -> float:
    """Show the competition for *seconds*, or until Ctrl-C; how long it was."""
    console = Console()
    started = time.monotonic()

    def frame() -> screen.Frame:
        elapsed = time.monotonic() - started
        return screen.read_frame(ledger, market.report(), settings.clock.now(), elapsed, seconds)

    duel_at = started + seconds - Duel.seconds_needed(settings.cooldown_seconds)
    acts = [duel_at] if duel_at - started >= MAIN_ACT_SECONDS else []

    def next_act() -> None:
        if acts and time.monotonic() >= acts[0] and not session_at(settings.clock.now()).is_open:
            acts.clear()
            if desk.start_duel(settings.cooldown_seconds):
                console.print("last act: two watchers whose forecasts overtake each other")

    def over() -> bool:
        return stop.is_set() or time.monotonic() - started >= seconds

    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while not over():
                next_act()
                desk.tend()
                live.update(screen.picture(frame()), refresh=True)
                stop.wait(PICTURE_SECONDS)
    else:
        shown = float("-inf")
        while not over():
            next_act()
            desk.tend()
            if time.monotonic() - shown >= LINE_SECONDS:
                shown = time.monotonic()
                screen.show(console, frame())
            stop.wait(PICTURE_SECONDS)
    return time.monotonic() - started


def settle(ledger: Operator) -> None:
    """Wait until nothing is live in the ledger and the last fills are absorbed, within a bound."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline and ledger.claims():
        time.sleep(0.2)


def forget(ledger: Operator) -> None:
    """Take the demo's keys out of somebody's own Redis."""
    for key in ledger.client.scan_iter(match=f"{ledger.keys.prefix}:*", count=500):
        ledger.client.delete(key)


def all_well(summary: dict[str, Any]) -> bool:
    """No broken cap, nothing left behind."""
    left = ("cap_violations", "leaked_micro", "claims_left", "live_orders_left")
    return not any(summary[name] for name in left)


def print_summary(summary: dict[str, Any], troubles: list[str]) -> None:
    """In words, on standard output."""
    for sentence in sentences(summary):
        click.echo(sentence)
    for trouble in troubles:
        click.echo(f"trouble: {trouble}", err=True)


if __name__ == "__main__":
    main(prog_name="scripts/demo")
