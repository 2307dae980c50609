"""When the quote of a symbol that its stream does not tell is read by polling.

A symbol falls quiet after half the time in which its quote grows stale, and is then read less and
less often as long as reading finds nothing new. One request reads every quiet symbol of a kind
whose turn is near, and a kind has a pause between its requests: neither many quiet symbols nor many
that speak now and then use up the API budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: A symbol is quiet after this part of the time in which a quote grows stale.
UNHEARD_SHARE = 0.5

#: At most so many seconds between two reads of a quiet symbol.
LONGEST_POLL_SECONDS = 60.0

NEVER = float("-inf")


class Turns:
    """The turns of all symbols whose streams stand. Times are monotonic seconds.

    :param kind_of: the stream that tells a symbol.
    :param stale_seconds: a quote that is older protects by being stale.
    """

    def __init__(self, kind_of: Callable[[str], str], stale_seconds: float) -> None:
        self._kind_of = kind_of
        self._patience = UNHEARD_SHARE * stale_seconds
        self._pause = self._patience / 2
        self._heard_at: dict[str, float] = {}
        self._polls: dict[str, tuple[float, float]] = {}  # by symbol: next, seconds between
        self._asked: dict[str, tuple[float, float]] = {}  # the same, once they have been read
        self._asked_at: dict[str, float] = {}  # by kind
        self._tried: set[str] = set()  # symbols that were asked for, also in vain

    def quiet(self, symbols: set[str], now: float) -> set[str]:
        """Those of *symbols* that have not been heard of for long."""
        return {s for s in symbols if now >= self._heard_at.get(s, NEVER) + self._patience}

    def due(self, quiet: Iterable[str], now: float) -> set[str]:
        """Whose quotes are to be read now; they keep their turn until it is `done`."""
        turns = {s: self._polls.get(s, (now, self._pause)) for s in quiet}
        kinds = {
            self._kind_of(s) for s, (turn, _) in turns.items() if now >= turn and self._may(s, now)
        }
        self._asked_at.update(dict.fromkeys(kinds, now))
        # A request reads a kind's symbols all at once: those whose turn is near come along.
        betweens = {
            s: min(between * 2, LONGEST_POLL_SECONDS)
            for s, (turn, between) in turns.items()
            if self._kind_of(s) in kinds and turn - now <= max(between / 2, self._pause)
        }
        self._asked = {s: (now + between, between) for s, between in betweens.items()}
        self._tried.update(betweens)
        return set(betweens)

    def _may(self, symbol: str, now: float) -> bool:
        """Its kind has paused, or it is new: somebody waits for its first quote."""
        new = symbol not in self._tried and symbol not in self._heard_at
        return new or now >= self._asked_at.get(self._kind_of(symbol), NEVER) + self._pause

    def done(self) -> None:
        """What was due has been read."""
        self._polls.update(self._asked)
        self._asked = {}

    def found_new(self, symbol: str, now: float) -> None:
        """Reading found what its stream did not tell: it is read again soon."""
        self._polls[symbol] = (now + self._patience, self._pause)

    def heard(self, symbol: str, now: float) -> None:
        """Its stream tells it."""
        self._heard_at[symbol] = now
        self._polls.pop(symbol, None)
        self._asked.pop(symbol, None)  # it may be being read just now
