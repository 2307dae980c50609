"""The last act: two watchers whose forecasts overtake each other, until that is stopped as a fight.

Each wants more than half of the crypto pool, so only one order can be open. Out of hours the best
crypto forecast enters whatever its price, so whoever is ahead steals from the other, as soon as the
cooldown allows; the steal that makes it more than three in the window sets the long cooldown, and
from then on the other one has to wait, however good its forecast.
"""

from __future__ import annotations

from scripts.demonstration.baseline import History, Intent, make_intent

STRATEGY = "duel"

#: What each wants of the crypto pool.
SHARE = 0.6

#: Limits are this far below the price, as a share of the median daily range: far from a fill.
PATIENCE = 3.0

#: The forecast of the first, and by what factor each overtakes the other.
FIRST_PNL, OVERTAKES = 100.0, 1.3

#: Steals that make a fight, one more flip to show that it is stopped, and two to spare.
FLIPS = 7


class Duel:
    """Two duellists and their forecasts.

    :param cooldown: real seconds until a victim may be the thief.
    """

    def __init__(self, pair: tuple[History, History], cooldown: float) -> None:
        self._pair = pair
        self.flip_seconds = cooldown * 1.2 + 0.7
        self._ahead = 0
        self._pnl = [FIRST_PNL, FIRST_PNL / OVERTAKES]

    @staticmethod
    def seconds_needed(cooldown: float) -> float:
        """How long the act takes."""
        return FLIPS * (cooldown * 1.2 + 0.7) + 5

    def intents(self, prices: dict[str, float], pool_dollars: float) -> list[Intent]:
        """The two wishes at the present prices."""
        return [
            make_intent(h, STRATEGY, prices[h.symbol], pool_dollars * SHARE, 1, PATIENCE)
            for h in self._pair
        ]

    def overtake(self) -> None:
        """The one behind gets ahead."""
        behind = 1 - self._ahead
        self._pnl[behind] = self._pnl[self._ahead] * OVERTAKES
        self._ahead = behind

    def forecasts(self) -> dict[str, float]:
        """Symbol -> PnL in dollars now."""
        return {h.symbol: pnl for h, pnl in zip(self._pair, self._pnl, strict=True)}
