"""How often the keeper reads the account: as often as it was told to, if the API budget allows it.

What it may still use in this minute (the more urgent calls' shares are not in it) is spread evenly
over what is left of the minute. So it never spends early what it needs late, and slows down when
orders, or somebody else with the same keys, use the account.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stealer.broker.calls import Call
from stealer.budget import ApiBudget

log = logging.getLogger(__name__)

#: Requests of a pass that reads the account: orders, positions and the account itself. A pass that
#: was refused its first one would have made as many.
LEAST_REQUESTS = 3

#: Slowing down to this many times the asked seconds is said.
NOTABLE = 1.5


def slowest(stale_seconds: float, lease_seconds: float) -> float:
    """The longest time between passes: an account twice as old is not stale yet, and the lease
    does not run out."""
    return min(stale_seconds / 2, 0.75 * lease_seconds)


class Pace:
    """From the seconds between passes that are wanted to those that can be had.

    Called after each pass; what that one wanted is taken for what the next one will.

    :param longest: never slower than this, in seconds; calls beyond the budget are then refused.
    """

    def __init__(
        self, budget: ApiBudget, longest: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget
        self._longest = longest
        self._monotonic = monotonic
        self._before = 0
        self._slow = False

    def __call__(self, wanted: float) -> float:
        """Seconds from the start of the last pass to that of the next."""
        window = self._budget.window("trading")
        used, self._before = window.wanted - self._before, window.wanted
        seconds = wanted
        left = window.ends_at - self._monotonic()
        room = window.room.get(Call.ACCOUNT)
        if used and window.limit and left > 0 and room is not None:
            used = max(used, LEAST_REQUESTS)
            even = left * used / room if room else self._longest
            seconds = max(wanted, min(even, self._longest))
        self._say(seconds, wanted)
        return seconds

    def _say(self, seconds: float, wanted: float) -> None:
        slow = seconds >= NOTABLE * wanted
        if slow and not self._slow:
            log.warning("reads every %.1f s: the API budget does not allow more", seconds)
        elif self._slow and not slow:
            log.info("reads every %.1f s again", seconds)
        self._slow = slow
