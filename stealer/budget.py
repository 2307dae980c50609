"""One API budget for all processes of an account, shared through Redis (docs/budget.md).

Reads ask before they are sent, in one short round trip. Cancels and orders ask nobody: they are
counted afterwards, and only a 429 stops them. Redis' answers are remembered, so that this process
knows of a 429 without asking; without Redis it goes on by itself, with a small allowance for reads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import redis

from stealer.broker.calls import DATA_CALLS, Answered, Call
from stealer.errors import StealerError
from stealer.scripts import Scripts

log = logging.getLogger(__name__)

#: Whoever reads many orders: its look-ups come after everybody's snapshot.
AS_KEEPER: Mapping[Call, Call] = {Call.LOOK_UP: Call.SWEEP}

#: A person's command: what it reads can wait, the look-up before a cancel cannot.
AS_PERSON: Mapping[Call, Call] = {Call.ACCOUNT: Call.OTHER, Call.READ: Call.OTHER}

#: Seconds for which Redis is not asked again after it did not answer.
AWAY_SECONDS = 5.0

#: Reads that one process makes in a minute on its own, while Redis cannot be asked.
ALONE_CALLS, ALONE_SECONDS = 20, 60.0

#: Seconds for which a 429 that names no reset stops this process; the script's BUDGET_HOLD.
UNSTATED_HOLD_SECONDS = 2.0

#: The longest stated reset that is believed; the script's BUDGET_LONGEST.
LONGEST_HOLD_SECONDS = 120.0

#: Seconds between two cancels of this process after a 429: one that is refused costs nothing, and
#: the reset may be earlier than it was said to be.
PROBE_SECONDS = 1.0

#: What an answer must state below our count before Redis is told at once and not with the next
#: question: this many requests, or this part of the limit.
NOTABLE_CALLS, NOTABLE_PART = 3, 0.025

#: A reset that differs by so many seconds is news as well.
NOTABLE_SECONDS = 5.0


@dataclass(slots=True)
class _Told:
    """What an answer stated, on its way to Redis; times on the monotonic clock."""

    limit: int | None
    remaining: int | None
    reset_in: float | None
    status: int | None
    came_at: float
    begun_at: float

    def arguments(self, now: float) -> list[str | int]:
        def whole(value: int | None) -> str | int:
            return "" if value is None else value

        answered = self.status is not None and self.status < 500
        reset_ms = None if self.reset_in is None else int(self.reset_in * 1000)
        age, since_begun = (int((now - at) * 1000) for at in (self.came_at, self.begun_at))
        refused = int(self.status == 429) if answered else None
        return [
            *(whole(self.limit), whole(self.remaining), whole(reset_ms)),
            *(age, whole(refused), since_begun),
        ]


@dataclass(slots=True)
class Window:
    """The budget of one interface as this process heard of it last.

    :param left: requests before the window ends; :param room: of these, what each call may use.
    :param ends_at, held_until: on the monotonic clock. :param limit: 0 for none.
    """

    known: bool = False
    limit: int = 0
    left: int = 0
    ends_at: float = 0.0
    held_until: float = 0.0
    room: dict[Call, int] = field(default_factory=dict)
    wanted: int = 0  #: calls of this process since it began, refused ones included
    told: _Told | None = None
    alone_since: float = float("-inf")
    alone_calls: int = 0


class ApiBudget:
    """The budget of *account* on one connection; a :class:`stealer.broker.calls.CallBudget`.

    Safe for threads. No call raises; none takes longer than the connection's own time limits.

    :param client: a connection of its own with short time limits: a cancel must not wait for it.
    :param who: names this process to operators. :param role: what its calls count as.
    """

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        *,
        who: str,
        role: Mapping[Call, Call] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = Scripts(client, account)
        self._who = "".join(c if c.isprintable() and c != " " else "-" for c in who)
        self._role = role or {}
        self._monotonic = monotonic
        self._windows = {"trading": Window(), "data": Window()}
        self._away_until = float("-inf")
        self._waiting: set[Call] = set()
        self._probe_at = float("-inf")
        self._lock = threading.Lock()

    def take(self, call: Call) -> float:
        """Ask for one request: 0.0 and it is counted, or the seconds until asking may help."""
        call = self._role.get(call, call)
        window, now = self._window(call), self._monotonic()
        told, window.told = window.told, None
        window.wanted += 1
        reply = self._asked(call, "take", told)
        if reply is None:
            window.told = told
        wait = self._alone(window, now) if reply is None else int(reply[1]) / 1000
        self._say(call, wait, window)
        return wait

    def held(self, call: Call) -> float:
        """For a cancel or an order: 0.0, or the seconds for which the broker refuses everything.

        Asks nobody. Of cancels one a second is let through all the same.
        """
        now = self._monotonic()
        wait = self._window(call).held_until - now
        if wait <= 0:
            return 0.0
        if call is not Call.CANCEL:
            return wait
        with self._lock:
            if now < self._probe_at:
                return self._probe_at - now
            self._probe_at = now + PROBE_SECONDS
        return 0.0

    def answered(self, call: Call, answer: Answered, *, asked: bool) -> None:
        """A call was sent; one that was not *asked* for with ``take`` is counted now."""
        call = self._role.get(call, call)
        window, now = self._window(call), self._monotonic()
        stated = answer.stated
        told = None
        if stated is not None or answer.status is not None:
            told = _Told(
                stated.limit if stated else None,
                stated.remaining if stated else None,
                answer.reset_in,
                answer.status,
                now,
                now - answer.took,
            )
        if answer.refused:
            self._hold(window, told, now)
        mode = "told"
        if not asked:
            window.wanted += 1
            mode = "spent"
        elif told is None or not self._is_news(window, told, now):
            window.told = told  # goes with the next question
            return
        if self._asked(call, mode, told) is None:
            window.told = told

    # ---- what this process knows by itself

    def window(self, interface: str = "trading") -> Window:
        """What was heard last of ``trading`` or ``data``."""
        return self._windows[interface]

    def _window(self, call: Call) -> Window:
        return self._windows["data" if call in DATA_CALLS else "trading"]

    def _hold(self, window: Window, told: _Told | None, now: float) -> None:
        """A 429 stops this process at once, also when Redis cannot be told."""
        named = told is not None and told.reset_in and not told.remaining
        seconds = told.reset_in if named and told and told.reset_in else UNSTATED_HOLD_SECONDS
        window.held_until = max(window.held_until, now + min(seconds, LONGEST_HOLD_SECONDS))
        self._probe_at = max(self._probe_at, now + PROBE_SECONDS)

    def _is_news(self, window: Window, told: _Told, now: float) -> bool:
        """True for what the others should know before this process asks again."""
        if told.status == 429 or not window.known:
            return told.status == 429 or told.remaining is not None
        if told.limit is not None and told.limit != window.limit:
            return True
        if told.remaining is None or told.reset_in is None or window.limit == 0:
            return False
        if abs(now + told.reset_in - window.ends_at) > NOTABLE_SECONDS:
            return True
        slack = max(NOTABLE_CALLS, window.limit * NOTABLE_PART)
        return told.remaining < window.left - slack

    def _alone(self, window: Window, now: float) -> float:
        """Without Redis: nothing while a 429 lasts, else a few reads a minute."""
        if window.held_until > now:
            return window.held_until - now
        if now - window.alone_since >= ALONE_SECONDS:
            window.alone_since, window.alone_calls = now, 0
        if window.alone_calls >= ALONE_CALLS:
            return window.alone_since + ALONE_SECONDS - now
        window.alone_calls += 1
        return 0.0

    # ---- Redis

    def _asked(self, call: Call, mode: str, told: _Told | None) -> list[str] | None:
        """The script's reply; None when Redis cannot be asked now."""
        now = self._monotonic()
        if now < self._away_until:
            return None
        api = "data" if call in DATA_CALLS else "trading"
        stated = told.arguments(now) if told else []
        try:
            reply = self._run("budget", api, mode, call.value, self._who, *stated)
        except StealerError as error:
            if self._away_until == float("-inf"):
                log.warning("api budget: not shared for now, this process goes on alone: %s", error)
            self._away_until = self._monotonic() + AWAY_SECONDS
            return None
        if self._away_until != float("-inf"):
            log.info("api budget: shared again")
            self._away_until = float("-inf")
        self._heard(self._windows[api], call, reply)
        return reply

    def _heard(self, window: Window, call: Call, reply: list[str]) -> None:
        left, limit, ends_ms, held_ms, room, known = (int(text) for text in reply[2:8])
        now = self._monotonic()
        window.left, window.limit, window.known = left, limit, known == 1
        window.ends_at = now + ends_ms / 1000
        window.held_until = now + held_ms / 1000
        window.room[call] = room

    def _say(self, call: Call, wait: float, window: Window) -> None:
        """A wait is said once, and its end."""
        with self._lock:
            moved = (call in self._waiting) != (wait > 0)
            (self._waiting.add if wait > 0 else self._waiting.discard)(call)
        if moved and wait > 0:
            ends = max(window.ends_at - self._monotonic(), 0)
            log.warning(
                "api budget: %s calls wait, asked again in %.1f s; %s of %s left, reset in %.0f s",
                *(call.value, wait, window.left, window.limit, ends),
            )
        elif moved:
            log.info("api budget: %s calls go on", call.value)
