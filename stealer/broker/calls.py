"""What a call to the broker is for, and who may make one: the edge's side of the API budget.

The broker takes so many requests a minute for a whole account, and a process alone cannot know what
the others use. So the edge is given a :class:`CallBudget`; whoever opens the connection decides
which (``stealer.budget`` shares one through Redis). Without one every call goes out.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from stealer.broker.interface import BrokerBudgetSpent, RequestBudget

log = logging.getLogger(__name__)

#: Seconds over which callers that were told the same moment come back.
SPREAD_SECONDS = 0.2


class Call(StrEnum):
    """What one request is for, the most urgent first; a class leaves requests to those above."""

    CANCEL = "cancel"
    SUBMIT = "submit"
    LOOK_UP = "look_up"  #: one order, because something hangs on it
    ACCOUNT = "account"  #: orders, positions and account of everybody's snapshot
    SWEEP = "sweep"  #: the keeper's look-ups of many orders
    READ = "read"  #: what can wait: assets, the clock
    OTHER = "other"  #: a person's commands
    QUOTES = "quotes"  #: market data, which has a limit of its own


#: Calls to the market data server; all others count against the trading limit.
DATA_CALLS = frozenset({Call.QUOTES})

#: Seconds for which a call may wait that asks nobody. After a 429 each process still sends one
#: cancel a second; an order never waits, because its launch may not be trusted for long.
HELD_PATIENCE = {Call.CANCEL: 1.5}


@dataclass(frozen=True, slots=True)
class Answered:
    """One call that was made, as it ended; times in seconds.

    :param stated: the request budget its headers stated, None without them.
    :param reset_in: from the moment it came to the stated reset, on the broker's own clock.
    :param status: of HTTP; None when no answer came.
    :param took: from before it was sent.
    """

    stated: RequestBudget | None
    reset_in: float | None
    status: int | None
    took: float

    @property
    def refused(self) -> bool:
        """True when the broker said that the budget is used up."""
        return self.status == 429


class CallBudget(Protocol):
    """The requests an account has left. No method raises, and none takes long."""

    def take(self, call: Call) -> float:
        """Ask for one request: 0.0 and it is counted, or the seconds until asking may help."""
        ...

    def held(self, call: Call) -> float:
        """For what does not ask: 0.0, or the seconds for which the broker refuses everything."""
        ...

    def answered(self, call: Call, answer: Answered, *, asked: bool) -> None:
        """A call was sent; one that was not *asked* for with ``take`` is counted now."""
        ...


class Admission:
    """How long one process's calls wait for the budget: a known time, said once, or not at all.

    :param patience: the longest wait in seconds; what would take longer is refused at once.
    :param sleep: waits that many seconds. :param tell: is told of each wait in a sentence.
    """

    def __init__(
        self,
        budget: CallBudget | None,
        patience: float,
        sleep: Callable[[float], None],
        tell: Callable[[str], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self._patience, self._sleep, self._monotonic = patience, sleep, monotonic
        self._tell = tell or (lambda sentence: log.info("%s", sentence))

    def enter(self, what: str, call: Call) -> None:
        """Return when *call* may be made and is counted.

        :raises BrokerBudgetSpent: not within the patience; nothing was sent.
        """
        if self.budget is not None:
            self._wait(what, call, self.budget.take, self._patience)

    def enter_held(self, call: Call) -> None:
        """The same for a cancel or an order, which only a 429 stops; it is counted afterwards.

        :raises BrokerBudgetSpent: the broker refuses everything for longer; nothing was sent.
        """
        if self.budget is not None:
            self._wait(call.value, call, self.budget.held, HELD_PATIENCE.get(call, 0.0))

    def _wait(self, what: str, call: Call, ask: Callable[[Call], float], patience: float) -> None:
        until = self._monotonic() + patience
        while (seconds := ask(call)) > 0:
            left = until - self._monotonic()
            if seconds > left:
                raise BrokerBudgetSpent(what, seconds)
            pause = min(seconds + random.uniform(0, SPREAD_SECONDS), left)
            self._tell(f"{what}: waits {pause:.1f} s for the account's API budget")
            self._sleep(pause)

    def left(self, call: Call, answer: Answered, *, asked: bool) -> None:
        """The call is over."""
        if self.budget is not None:
            self.budget.answered(call, answer, asked=asked)
