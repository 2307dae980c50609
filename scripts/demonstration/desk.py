"""The demo's trading desk: it writes the fleets' plans, publishes forecasts and sells what filled.

It stands for the people and programs around the watchers: a strategy that sets intents anew when
the market has moved on, a forecaster, and somebody who closes positions, so that capacity comes
back and the competition goes on.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import requests

from scripts.demonstration.baseline import DEPTHS, History, Intent, make_intent
from scripts.demonstration.duel import STRATEGY, Duel
from scripts.demonstration.market import Market
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import StealerError

log = logging.getLogger(__name__)

#: Real seconds between two rounds of forecasts, two looks at the plans, and how long a filled
#: position is held.
FORECAST_SECONDS = 2.0
PLAN_SECONDS = 6.0
HOLD_SECONDS = 5.0

#: Forecasts of a dead desk lapse.
FORECAST_TTL = 30.0

#: Dollars each watcher wants, as a share of the account's cash.
WISH_SHARE = 0.2

FLEETS = ("alpha", "beta")


class Desk:
    """Intents of the baseline, or of a forecasts file, kept up to date while the market moves."""

    def __init__(
        self,
        market: Market,
        coordinator: WorkStealingCoordinator,
        histories: list[History],
        cash: float,
        directory: Path,
        fixed_pnl: dict[tuple[str, str], float],
        patience: float,
    ) -> None:
        self._market, self._coordinator = market, coordinator
        self._histories = {history.symbol: history for history in histories}
        self._symbols = {history.symbol: history.is_crypto for history in histories}
        self._dollars = cash * WISH_SHARE
        self._directory = directory
        self._fixed = fixed_pnl
        self._patience = patience
        self._held_since: dict[str, float] = {}
        self._next_forecast = self._next_plan = 0.0
        self._duel: Duel | None = None
        self._next_flip = 0.0
        self.intents: dict[tuple[str, str], Intent] = {}
        self.sold = 0

    def start_duel(self, cooldown: float) -> bool:
        """All but two watchers are taken out of the plans; False when there are no two cryptos."""
        prices = self._market.prices(self._symbols)
        cryptos = [h for h in self._histories.values() if h.is_crypto and h.symbol in prices]
        if len(cryptos) < 2:
            return False
        self._duel = Duel((cryptos[0], cryptos[1]), cooldown)
        cash = float(self._market.get("/v2/account")["cash"])
        held = sum(
            float(p["market_value"])
            for p in self._market.positions()
            if p["asset_class"] == "crypto"
        )
        for symbol, strategy in self.intents:
            self._coordinator.publish_forecast(symbol, strategy, None)
        found = self._duel.intents(prices, cash + held)
        self.intents = {(intent.symbol, STRATEGY): intent for intent in found}
        self._write_plans()
        self._next_flip = time.monotonic() + self._duel.flip_seconds + 2
        return True

    @property
    def wishes(self) -> int:
        """How many watchers there are."""
        return len(self.intents)

    def plan_file(self, fleet: str) -> Path:
        """The plan of one fleet."""
        return self._directory / f"{fleet}.toml"

    def open(self, watchers: int) -> None:
        """The first intents: *watchers* of them, taking turns through symbols and strategies."""
        prices = self._market.prices(self._symbols)
        depths = [depth for depth in DEPTHS if depth != STRATEGY]
        wanted = [(s, d) for d in depths for s in self._symbols if s in prices][:watchers]
        for symbol, strategy in wanted:
            history, price = self._histories[symbol], prices[symbol]
            self.intents[symbol, strategy] = make_intent(
                history, strategy, price, self._dollars, 1, self._patience
            )
        self._write_plans()

    def tend(self) -> None:
        """One round: whatever is due. A broker or ledger that does not answer is tried again."""
        now = time.monotonic()
        try:
            if self._duel:
                self._tend_duel(self._duel, now)
            elif now >= self._next_forecast:
                self._next_forecast = now + FORECAST_SECONDS
                prices = self._market.prices(self._symbols)
                self._publish(prices)
                self._sell_ripe(now)
                if now >= self._next_plan:
                    self._next_plan = now + PLAN_SECONDS
                    self._renew(prices)
        except (requests.RequestException, StealerError) as error:
            log.warning("desk: %s", error)

    def _tend_duel(self, duel: Duel, now: float) -> None:
        if now >= self._next_flip:
            duel.overtake()
            self._next_flip = now + duel.flip_seconds
        for symbol, pnl in duel.forecasts().items():
            self._coordinator.publish_forecast(
                symbol, STRATEGY, round(pnl, 2), ttl_seconds=FORECAST_TTL, source="desk"
            )
        self._sell_ripe(now)

    def _publish(self, prices: dict[str, float]) -> None:
        for (symbol, strategy), intent in self.intents.items():
            fixed = self._fixed.get((symbol, strategy))
            if fixed is None and symbol not in prices:
                continue
            pnl = intent.pnl(self._histories[symbol], prices[symbol]) if fixed is None else fixed
            self._coordinator.publish_forecast(
                symbol, strategy, round(pnl, 2), ttl_seconds=FORECAST_TTL, source="desk"
            )

    def _renew(self, prices: dict[str, float]) -> None:
        """New limits where the target was filled or the price has left the limit behind."""
        changed = False
        for key, intent in self.intents.items():
            if intent.symbol not in prices:
                continue
            history, price = self._histories[intent.symbol], prices[intent.symbol]
            if self._filled(intent) or intent.out_of_reach(history, price, self._patience):
                self.intents[key] = make_intent(
                    history,
                    intent.strategy,
                    price,
                    self._dollars,
                    intent.generation + 1,
                    self._patience,
                )
                changed = True
        if changed:
            self._write_plans()

    def _filled(self, intent: Intent) -> bool:
        task = self._coordinator.task(self._ticket(intent), 3600)
        return task.filled_qty >= intent.qty

    def _ticket(self, intent: Intent) -> str:
        return f"demo/{intent.name}"

    def _sell_ripe(self, now: float) -> None:
        """Close what has been held long enough, by hand so to say: not as an entry of ours."""
        stocks_trade = self._market.stocks_trade()
        open_now = {
            position["symbol"]: position
            for position in self._market.positions()
            if stocks_trade or position["asset_class"] == "crypto"
        }
        self._held_since = {s: self._held_since.get(s, now) for s in open_now}
        for symbol, position in open_now.items():
            if now - self._held_since[symbol] >= HOLD_SECONDS and self._market.sell(position):
                del self._held_since[symbol]
                self.sold += 1

    def _write_plans(self) -> None:
        """Every other intent to each fleet; fleets notice that their file has changed."""
        for number, fleet in enumerate(FLEETS):
            mine = list(self.intents.values())[number :: len(FLEETS)]
            text = "\n".join([f'fleet = "{fleet}"', *map(self._entry, mine), ""])
            draft = self.plan_file(fleet).with_suffix(".new")
            draft.write_text(text)
            draft.replace(self.plan_file(fleet))

    def _entry(self, intent: Intent) -> str:
        return (
            f'\n[[entry]]\nname = "{intent.name}"\nticket = "{self._ticket(intent)}"\n'
            f'symbol = "{intent.symbol}"\nstrategy = "{intent.strategy}"\n'
            f"limit_price = {intent.limit}\ntarget_qty = {intent.qty}\n"
            f"expiry_minutes = 60\npoll_seconds = 0.5"
        )
