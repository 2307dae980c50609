"""When the New York Stock Exchange is open, and what time it is there.

Rule: DESIGN part 1, "Market hours": open on weekdays from 9:30 to 16:00 New York time, and, which
we add, not on exchange holidays and only to 13:00 on early closes. Days come from the `holidays`
package, which also knows closings nobody could compute, such as days of mourning.

`holidays` is imported at the first question, not with this module: it costs about 0.2 s and 20
MB, which a fleet's parent pays once for all of its watchers, and a command that never asks does
not pay at all.
"""

from __future__ import annotations

import math
import time as system_time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import ClassVar
from zoneinfo import ZoneInfo

#: The exchange's own time zone; daylight saving moves the session in UTC.
NEW_YORK = ZoneInfo("America/New_York")

OPENS = time(9, 30)
CLOSES = time(16, 0)
CLOSES_EARLY = time(13, 0)

#: Alpaca takes extended-hours orders from here, until four hours after the close.
EXTENDED_OPENS = time(4, 0)
EXTENDED_FOR = timedelta(hours=4)

#: Before 1994 early closes were at other hours, and Saturdays and other hours of opening come up.
FIRST_YEAR = 1994

#: The longest closing of the exchange since 1994, six days after 11 September 2001, fits well.
_LONGEST_CLOSING_DAYS = 14


@dataclass(frozen=True, slots=True)
class Session:
    """Whether the exchange is open, and until when that stays so (an aware datetime in UTC)."""

    is_open: bool
    until: datetime


def session_at(moment: datetime) -> Session:
    """The session at *moment*, an aware datetime of any zone.

    An open session includes 9:30:00 and ends just before `until`.

    Raises ValueError for a naive datetime, whose zone could only be guessed, and for years before
    1994.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment!r} has no time zone: sessions need an aware datetime")
    local = moment.astimezone(NEW_YORK)
    for ahead in range(_LONGEST_CLOSING_DAYS):
        hours = _hours(local.date() + timedelta(days=ahead))
        if hours is None:
            continue
        opens, closes = hours
        if moment < opens:
            return Session(is_open=False, until=opens)
        if moment < closes:
            return Session(is_open=True, until=closes)
    raise ValueError(f"the exchange calendar has no session after {moment.isoformat()}")


def is_out_of_hours(moment: datetime) -> bool:
    """True when the exchange is closed at *moment*. Raises as `session_at`."""
    return not session_at(moment).is_open


def in_extended_hours(moment: datetime) -> bool:
    """True from 4:00 to four hours after the close of a trading day: 20:00, or 17:00 on a day that
    closes early. Regular hours are in it. Raises as `session_at`.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment!r} has no time zone: sessions need an aware datetime")
    day = moment.astimezone(NEW_YORK).date()
    hours = _hours(day)
    return hours is not None and (
        datetime.combine(day, EXTENDED_OPENS, NEW_YORK) <= moment < hours[1] + EXTENDED_FOR
    )


def _hours(day: date) -> tuple[datetime, datetime] | None:
    """Opening and closing time of *day* in UTC, or None when the exchange stays closed."""
    closed, early = _special_days(day.year)
    if day.weekday() >= 5 or day in closed:
        return None
    closes = CLOSES_EARLY if day in early else CLOSES
    return (
        datetime.combine(day, OPENS, NEW_YORK).astimezone(UTC),
        datetime.combine(day, closes, NEW_YORK).astimezone(UTC),
    )


@cache
def _special_days(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """The days of *year* without a session, and those that close early."""
    if year < FIRST_YEAR:
        raise ValueError(f"no NYSE session hours are known before {FIRST_YEAR}, asked for {year}")
    import holidays

    def days(category: str) -> frozenset[date]:
        return frozenset(holidays.financial_holidays("NYSE", years=year, categories=(category,)))

    return days(holidays.PUBLIC), days(holidays.HALF_DAY)


@dataclass(frozen=True, slots=True)
class MarketClock:
    """The market's time: the system's, or one that was started elsewhere and runs faster.

    A replay gives every process the same text, so that all of them see the same session without
    talking to each other. At unix time `anchor` the market's time was `start`; it runs `speed`
    times as fast. `time` returns unix seconds and is replaced in tests.
    """

    FORM: ClassVar[str] = (
        "system, or MARKET_TIME@UNIX_SECONDS*SPEED like 2024-01-05T20:00:00Z@1795373549.5*600"
    )

    start: datetime | None = None
    anchor: float = 0.0
    speed: float = 1.0
    time: Callable[[], float] = field(default=system_time.time, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.start is None:
            if (self.anchor, self.speed) != (0.0, 1.0):
                raise ValueError("a clock without a start is the system's, which has speed 1")
            return
        if self.start.utcoffset() is None:
            raise ValueError(f"{self.start!r} has no time zone: a clock needs an aware datetime")
        if not (math.isfinite(self.anchor) and math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(
                f"anchor {self.anchor} and speed {self.speed} must be finite, speed > 0"
            )
        try:
            self.now()
        except OverflowError:
            raise ValueError(f"{self.text} shows no date of the calendar by now") from None

    @classmethod
    def starting(
        cls, start: datetime, speed: float, time: Callable[[], float] = system_time.time
    ) -> MarketClock:
        """A clock that shows *start* now and runs *speed* times as fast from here."""
        return cls(start, time(), speed, time)

    @classmethod
    def parse(cls, text: str, time: Callable[[], float] = system_time.time) -> MarketClock:
        """The clock that *text* describes, see `FORM`. Raises ValueError when it describes none."""
        if text.strip() == "system":
            return cls(time=time)
        try:
            start, _, rest = text.strip().partition("@")
            anchor, _, speed = rest.partition("*")
            return cls(datetime.fromisoformat(start), float(anchor), float(speed), time)
        except ValueError as error:
            raise ValueError(f"{text!r} is no market clock; allowed: {cls.FORM}") from error

    @property
    def text(self) -> str:
        """The text form; `parse` of it gives an equal clock."""
        if self.start is None:
            return "system"
        start = self.start.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return f"{start}@{_shortest(self.anchor)}*{_shortest(self.speed)}"

    def now(self) -> datetime:
        """The market's time, aware, in UTC."""
        if self.start is None:
            return datetime.fromtimestamp(self.time(), UTC)
        elapsed = (self.time() - self.anchor) * self.speed
        return self.start.astimezone(UTC) + timedelta(seconds=elapsed)

    def seconds_until(self, moment: datetime) -> float:
        """Real seconds until the market's time is *moment*; negative when that has passed."""
        return (moment - self.now()).total_seconds() / self.speed


def _shortest(value: float) -> str:
    """The shortest text that reads back as *value*, without a trailing `.0`."""
    return repr(value).removesuffix(".0")
