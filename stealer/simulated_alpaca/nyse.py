"""NYSE trading sessions with holidays and half days. Times are unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from holidays import HALF_DAY, financial_holidays

NEW_YORK = ZoneInfo("America/New_York")
OPEN = time(9, 30)
CLOSE = time(16, 0)
HALF_DAY_CLOSE = time(13, 0)
EXTENDED_OPEN = time(4, 0)
EXTENDED_CLOSE = time(20, 0)
#: No run of closed days in the NYSE's history since 1970 is longer than this.
LONGEST_CLOSURE_DAYS = 14


@dataclass(frozen=True)
class Session:
    """One trading day: regular hours [open, close) and extended hours, unix seconds."""

    day: date
    open: float
    close: float
    extended_open: float
    extended_close: float


@lru_cache(maxsize=64)
def _closed_days(year: int) -> frozenset[date]:
    return frozenset(financial_holidays("NYSE", years=year))


@lru_cache(maxsize=64)
def _half_days(year: int) -> frozenset[date]:
    return frozenset(financial_holidays("NYSE", years=year, categories=HALF_DAY))


def _at(day: date, clock: time) -> float:
    return datetime.combine(day, clock, NEW_YORK).timestamp()


@lru_cache(maxsize=16384)
def session_on(day: date) -> Session | None:
    """The session on a New York date, or None when the exchange is closed that day."""
    if day.weekday() >= 5 or day in _closed_days(day.year):
        return None
    close = HALF_DAY_CLOSE if day in _half_days(day.year) else CLOSE
    return Session(
        day, _at(day, OPEN), _at(day, close), _at(day, EXTENDED_OPEN), _at(day, EXTENDED_CLOSE)
    )


@lru_cache(maxsize=4096)
def _new_york_date_of_hour(hour: int) -> date:
    return datetime.fromtimestamp(hour * 3600, NEW_YORK).date()


def new_york_date(when: float) -> date:
    """The calendar date in New York at ``when``."""
    return _new_york_date_of_hour(int(when // 3600))


def current_session(when: float, extended: bool = False) -> Session | None:
    """The session that is open at ``when`` (in extended hours if asked), or None."""
    session = session_on(new_york_date(when))
    if session is None:
        return None
    start, end = (
        (session.extended_open, session.extended_close)
        if extended
        else (session.open, session.close)
    )
    return session if start <= when < end else None


def is_open(when: float) -> bool:
    """Whether regular hours are on at ``when``."""
    return current_session(when) is not None


def next_session(when: float) -> Session:
    """The first session whose open is after ``when``."""
    day = new_york_date(when)
    for ahead in range(LONGEST_CLOSURE_DAYS):
        session = session_on(day + timedelta(days=ahead))
        if session is not None and session.open > when:
            return session
    raise AssertionError("the NYSE calendar has no session in a fortnight")


def last_session(when: float) -> Session:
    """The latest session that opened at or before ``when``."""
    day = new_york_date(when)
    for back in range(LONGEST_CLOSURE_DAYS):
        session = session_on(day - timedelta(days=back))
        if session is not None and session.open <= when:
            return session
    raise AssertionError("the NYSE calendar has no session in a fortnight")


def last_close(when: float) -> float:
    """The latest close of regular hours at or before ``when``."""
    session = last_session(when)
    return session.close if session.close <= when else last_session(session.open - 1).close


def last_traded(when: float) -> float:
    """``when`` itself in extended hours, else the moment at which they ended last."""
    return when if current_session(when, True) else last_session(when).extended_close


def sessions_between(first: date, last: date) -> list[Session]:
    """Every session on the dates ``first`` to ``last``, both included."""
    days = ((first + timedelta(days=n)) for n in range((last - first).days + 1))
    return [session for day in days if (session := session_on(day)) is not None]
