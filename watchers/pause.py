"""How long a broker that said no, or nothing, is left alone."""

from __future__ import annotations

#: Seconds of the first pause and of the longest; each is twice the one before. Alpaca allows 200
#: requests a minute for a whole account (ALPACA.md), and a refused entry costs several.
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0


class Pause:
    """Grows with every failure in a row; *now* is on any monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = float("-inf")

    def begin(self, now: float) -> None:
        """It failed: pause, twice as long as the last time."""
        self._seconds = min(self._seconds * 2 or FIRST_SECONDS, LONGEST_SECONDS)
        self._until = now + self._seconds

    def forget(self) -> None:
        """It worked: the next failure is the first again."""
        self._seconds = 0.0

    def lasts(self, now: float) -> bool:
        """True while it is to be left alone."""
        return now < self._until
