"""What the rest of the system may ask of a broker, and how that can fail.

Reads either answer with a whole record or raise one of the errors below: an error is never an
empty list, and never ``None``. ``submit`` and ``cancel`` do not raise for what happens on the
wire; their result says which of the four outcomes it was (:class:`stealer.evidence.Outcome`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from stealer.evidence import (
    AccountSnapshot,
    Asset,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    CancelResult,
    NewOrder,
    Quote,
    SubmitResult,
)

#: Makes the context manager that surrounds writing one POST to the connected socket. It is
#: entered after the connection stands and left before the answer is awaited, so a timer armed in
#: it covers exactly the moment in which a paused process could send too late. If making or
#: entering it raises, nothing is sent and the submit is DENIED with kind ``not_sent``.
Guard = Callable[[], AbstractContextManager[object]]


class BrokerError(Exception):
    """Something about the broker that an operator can act on; the text is a whole sentence."""


class BrokerMisconfigured(BrokerError, ValueError):
    """The way the edge was set up cannot work or is not safe; nothing was contacted."""


class BrokerUnavailable(BrokerError):
    """No trustworthy answer: no connection, a timeout, a 5xx, or something that is not JSON."""


class BrokerMalformed(BrokerUnavailable):
    """Well-formed JSON with a field missing or unreadable; the text names the field."""


class BrokerRateLimited(BrokerError):
    """The account's request budget is used up; ``reset_at`` is unix seconds, None if unsaid."""

    def __init__(self, what: str, reset_at: float | None = None) -> None:
        when = "for a while"
        if reset_at is not None:
            try:
                when = f"until {datetime.fromtimestamp(reset_at, UTC):%H:%M:%S} UTC"
            except (OverflowError, OSError, ValueError):
                reset_at = None
        super().__init__(
            f"{what}: the broker's request limit for this account is used up {when}; "
            "poll less often or spread over accounts"
        )
        self.reset_at = reset_at


class BrokerBudgetSpent(BrokerRateLimited):
    """Not sent: what is left of the account's API budget is kept for more urgent calls, or the
    broker refuses everything until its reset. ``wait_seconds``: until asking again may help."""

    def __init__(self, what: str, wait_seconds: float) -> None:
        BrokerError.__init__(
            self,
            f"{what}: not sent, the account's API budget has none left for this now; asking "
            f"again may help in {wait_seconds:.1f} s; `stealer status` shows it",
        )
        self.reset_at = None
        self.wait_seconds = wait_seconds


class BrokerUnauthorized(BrokerError):
    """The keys were refused. Paper keys work on the paper server only, live keys on live."""


class BrokerRefused(BrokerError):
    """The broker understood and said no: its own ``code`` (None if unsaid) and ``message``."""

    def __init__(
        self, what: str, status: int | None = None, code: int | None = None, message: str = ""
    ) -> None:
        number = code if code is not None else status
        super().__init__(f"{what}: refused{f' ({number})' if number else ''}: {message}")
        self.status = status
        self.code = code
        self.message = message


class BrokerNotFound(BrokerRefused):
    """A real "no such thing": 404 with Alpaca's own code. Any other 404 is *unavailable*."""


@dataclass(frozen=True, slots=True)
class MarketClock:
    """The stock exchange's clock as the broker tells it; all times are unix seconds."""

    is_open: bool
    at: float
    next_open: float
    next_close: float


@dataclass(frozen=True, slots=True)
class RequestBudget:
    """The account's request budget as the last answer stated it; None is "not stated"."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None


class Broker(Protocol):
    """One account at one broker. Symbols are canonical (``BTCUSD``) in both directions.

    Every read may raise :class:`BrokerUnavailable`, :class:`BrokerRateLimited`,
    :class:`BrokerUnauthorized` or :class:`BrokerRefused`, after its own bounded retries.
    """

    def submit(self, order: NewOrder, guard: Guard | None = None) -> SubmitResult:
        """Send *order* at most once and say how that ended; no failure on the wire raises."""
        ...

    def cancel(self, order_id: str) -> CancelResult:
        """Ask once for the order's end. Confirmed means requested: only a look-up shows the end."""
        ...

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """The order, or None when the broker positively knows none by that id *now*."""
        ...

    def order_by_id(self, order_id: str) -> BrokerOrder | None:
        """The order by the broker's own id, or None when the broker positively knows none."""
        ...

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every open order of the account, oldest first, all pages, also orders not ours."""
        ...

    def latest_client_ids(self) -> tuple[str, ...]:
        """The ``client_order_id`` of the newest orders in any status: one page, newest first."""
        ...

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Every open position, canonical symbols, shorts negative."""
        ...

    def account(self) -> BrokerAccount:
        """The account's figures in dollars."""
        ...

    def snapshot(self, between: Callable[[], None] = lambda: None) -> AccountSnapshot:
        """Orders, **then** positions, then the account (PROTOCOL, "Account snapshot").

        An order that fills between the two reads is then counted twice for a moment; the other
        way round it would be counted zero times, and the cap would break. *between* is called
        between orders and positions, to wait until positions show all that is in no list any more.
        """
        ...

    def quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """The latest two-sided quote of each symbol; a symbol without one is absent."""
        ...

    def asset(self, symbol: str) -> Asset:
        """What may be ordered of *symbol*.

        :raises BrokerNotFound: the broker lists no such symbol.
        """
        ...

    def clock(self) -> MarketClock:
        """The stock exchange's clock."""
        ...

    def market_is_open(self) -> bool:
        """True while the stock exchange is open, by the broker's clock."""
        ...
