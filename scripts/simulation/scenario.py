"""What one seed sets up: watchers, account, settings, faults. Drawn once, then only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from scripts.simulation import faults
from scripts.simulation.faults import Fault
from stealer.sessions import MarketClock
from stealer.settings import Settings

STRATEGY = "maxdiff"
CRYPTO = ("BTCUSD", "ETHUSD", "UNIUSD")
STOCKS = ("AAPL", "MSFT", "NVDA", "TSLA")

#: Markets a run may begin in: in the session, on a weekend, shortly before opening and closing.
NOON = datetime(2024, 1, 3, 17, 0, tzinfo=UTC).timestamp()
SATURDAY = datetime(2024, 1, 6, 17, 0, tzinfo=UTC).timestamp()
OPENING = datetime(2024, 1, 3, 14, 29, 45, tzinfo=UTC).timestamp()
CLOSING = datetime(2024, 1, 3, 20, 59, 45, tzinfo=UTC).timestamp()

#: Forecasts, in dollars: most of them differ by more than a steal needs.
PNLS = (-0.5, 0.3, 0.6, 1.0, 1.05, 2.0, 4.0, 8.0, 12.0)

#: Seconds in which faults happen; a fight takes three steals, a cooldown apart.
ACTIVE_SECONDS = 30.0
FIGHT_SECONDS = 75.0


class SimulatedSettings(Settings):
    """Settings whose market clock is the simulation's."""

    market_time: Callable[[], float]

    @property
    def clock(self) -> MarketClock:
        """The market's clock on virtual time."""
        return MarketClock(time=self.market_time)


def settings(market_time: Callable[[], float], **changes: Any) -> SimulatedSettings:
    """The protocol's times, about a fifth of their defaults, in the same order."""
    values: dict[str, Any] = {
        "account": "sim",
        "cooldown_seconds": 12.0,
        "fight_threshold": 2,
        "fight_window_seconds": 60.0,
        "fight_cooldown_seconds": 25.0,
        "reserve_seconds": 6.0,
        "trust_seconds": 2.0,
        "orphan_seconds": 12.0,
        "account_stale_seconds": 4.0,
        "quote_stale_seconds": 4.0,
        "waiter_seconds": 3.0,
        "quarantine_seconds": 8.0,
        "max_concurrent_orders": 2,
        "crypto_fee_pct": 0.0,  # the venue takes none, so the judge's free dollars hold none
        "crypto_symbols": frozenset(CRYPTO),
    }
    made = SimulatedSettings(**(values | changes))
    object.__setattr__(made, "market_time", market_time)
    return made


@dataclass(frozen=True, slots=True)
class Entry:
    """One watcher's task."""

    name: str
    symbol: str
    crypto: bool
    qty: int
    limit: int
    pnl: float
    mode: str
    forced: bool
    poll_seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run, but for the order in which things happen, which the same seed decides.

    :param market: unix seconds at the market when the run begins.
    :param forced_by_rank: how many of the best crypto are forced while the stock market is closed.
    :param certified: the ledger is certified from the start.
    :param streams: keepers listen to the broker's streams, and poll as little as those allow.
    """

    seed: int
    entries: tuple[Entry, ...]
    keepers: tuple[str, ...]
    equity: int
    strict: bool
    lag_us: int
    market: float
    forced_by_rank: int
    certified: bool
    active_seconds: float
    plan: tuple[Fault, ...]
    streams: bool = False

    def with_plan(self, plan: tuple[Fault, ...]) -> Scenario:
        """The same with other faults."""
        return replace(self, plan=plan)

    def without(self, name: str) -> Scenario:
        """The same without one watcher or keeper, and what concerned it."""
        return replace(
            self,
            entries=tuple(e for e in self.entries if e.name != name),
            keepers=tuple(k for k in self.keepers if k != name),
            plan=tuple(f for f in self.plan if f.target != name),
        )


def draw(seed: int) -> Scenario:
    """What *seed* stands for."""
    rng = Random(f"{seed}/scenario")
    names = [f"w{i}" for i in range(1, rng.randint(3, 5) + 1)]
    crypto = rng.sample(CRYPTO, min(len(names) - 1, rng.choice((1, 2, 2, 3))))
    symbols = crypto + rng.sample(STOCKS, len(names) - len(crypto))
    rng.shuffle(symbols)
    entries = tuple(_entry(rng, name, symbol) for name, symbol in zip(names, symbols, strict=True))
    wanted = sum(e.qty * e.limit for e in entries)
    largest = max(e.qty * e.limit for e in entries)
    keepers = ("k1", "k2") if rng.random() < 0.6 else ("k1",)
    # Drawn apart, so that the seeds without a scene are what they would be without scenes.
    scene = faults.scene(Random(f"{seed}/scene"), names, keepers, ACTIVE_SECONDS)
    market = rng.choices((NOON, SATURDAY, OPENING, CLOSING), (86, 6, 4, 4))[0]
    scenario = Scenario(
        seed=seed,
        entries=entries,
        keepers=keepers,
        equity=max(int(wanted * rng.uniform(0.16, 0.32)), largest + rng.randint(1, 200)),
        strict=rng.random() < 0.3,
        lag_us=int(rng.choice((0.0, 0.3, 1.2)) * 1e6),
        market=market,
        forced_by_rank=_forced_by_rank(seed, market),
        certified=rng.random() < 0.75,
        active_seconds=ACTIVE_SECONDS,
        plan=(*faults.draw(rng, names, keepers, ACTIVE_SECONDS), *scene),
        streams=Random(f"{seed}/streams").random() < 0.3,
    )
    fights = any(fault.kind == "overtake" for fault in scene)
    return _with_two_rivals(scenario) if fights else scenario


def _forced_by_rank(seed: int, market: float) -> int:
    """Two now and then: who steals from the very best is better, so that one alone is safe anyway.

    Drawn apart, and only where it is of consequence.
    """
    return 2 if market != NOON and Random(f"{seed}/rank").random() < 0.5 else 1


def _with_two_rivals(scenario: Scenario) -> Scenario:
    """The same with two watchers of one pool, and room for only one of them."""
    for entry in scenario.entries[2:]:
        scenario = scenario.without(entry.name)
    rivals = tuple(
        replace(entry, symbol=symbol, crypto=True, mode="normal", forced=False)
        for entry, symbol in zip(scenario.entries, CRYPTO[:2], strict=True)
    )
    costs = sorted(e.qty * e.limit for e in rivals)
    return replace(
        scenario, entries=rivals, equity=costs[1] + costs[0] // 2, active_seconds=FIGHT_SECONDS
    )


def _entry(rng: Random, name: str, symbol: str) -> Entry:
    limit = rng.choice((50, 80, 100, 120))
    return Entry(
        name=name,
        symbol=symbol,
        crypto=symbol in CRYPTO,
        qty=rng.randint(500, 1200) // limit,
        limit=limit,
        pnl=rng.choice(PNLS),
        mode="probe" if rng.random() < 0.08 else "normal",
        forced=rng.random() < 0.05,
        poll_seconds=rng.choice((1.0, 1.5, 2.0)),
    )
