"""New York hours: weekends, nights, holidays, early closes, daylight saving; the market clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stealer.sessions import (
    NEW_YORK,
    MarketClock,
    Session,
    in_extended_hours,
    is_out_of_hours,
    session_at,
)
from tests.support import ManualClock


def new_york(text: str) -> datetime:
    """A moment by the clock in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("moment", "is_open", "until"),
    [
        # An ordinary Wednesday, to the second.
        ("2024-01-03T09:29:59", False, "2024-01-03T09:30"),
        ("2024-01-03T09:30:00", True, "2024-01-03T16:00"),
        ("2024-01-03T15:59:59", True, "2024-01-03T16:00"),
        ("2024-01-03T16:00:00", False, "2024-01-04T09:30"),
        # Pre-market, after-hours, night.
        ("2024-01-03T04:00:00", False, "2024-01-03T09:30"),
        ("2024-01-03T19:59:00", False, "2024-01-04T09:30"),
        ("2024-01-04T00:00:00", False, "2024-01-04T09:30"),
        # A weekend.
        ("2024-01-05T16:00:00", False, "2024-01-08T09:30"),
        ("2024-01-06T12:00:00", False, "2024-01-08T09:30"),
        ("2024-01-07T12:00:00", False, "2024-01-08T09:30"),
        # Weekends with a change of daylight saving in them, both ways.
        ("2024-03-08T17:00:00", False, "2024-03-11T09:30"),
        ("2024-11-01T17:00:00", False, "2024-11-04T09:30"),
        # Thanksgiving, and the early close after it.
        ("2024-11-28T12:00:00", False, "2024-11-29T09:30"),
        ("2024-11-29T12:59:59", True, "2024-11-29T13:00"),
        ("2024-11-29T13:00:00", False, "2024-12-02T09:30"),
        # A day of mourning, announced ten days before.
        ("2025-01-08T16:00:00", False, "2025-01-10T09:30"),
        ("2025-01-09T12:00:00", False, "2025-01-10T09:30"),
        # Over the turn of a year; New Year's Day is a holiday.
        ("2024-12-31T16:30:00", False, "2025-01-02T09:30"),
        # Independence Day 2026 is a Saturday: the Friday is off, and no day closes early.
        ("2026-07-02T15:00:00", True, "2026-07-02T16:00"),
        ("2026-07-03T12:00:00", False, "2026-07-06T09:30"),
        # The longest closing since 1994.
        ("2001-09-11T09:00:00", False, "2001-09-17T09:30"),
    ],
)
def test_session(moment: str, is_open: bool, until: str) -> None:
    expected = Session(is_open, new_york(until).astimezone(UTC))
    assert session_at(new_york(moment)) == expected
    assert is_out_of_hours(new_york(moment)) is not is_open


@pytest.mark.parametrize(
    ("day", "opens_at_utc_hour"),
    [("2024-03-08", 14), ("2024-03-11", 13), ("2024-11-01", 13), ("2024-11-04", 14)],
)
def test_daylight_saving_moves_the_session_in_utc(day: str, opens_at_utc_hour: int) -> None:
    opens = datetime.fromisoformat(f"{day}T{opens_at_utc_hour}:30+00:00")
    assert session_at(opens).is_open
    assert not session_at(opens - timedelta(seconds=1)).is_open


def test_the_zone_of_the_moment_does_not_matter() -> None:
    moment = new_york("2024-01-03T12:00:00")
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    assert session_at(moment.astimezone(kathmandu)) == session_at(moment.astimezone(UTC))
    assert session_at(moment).until.tzinfo is UTC


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        session_at(datetime(2024, 1, 3, 12, 0))  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        is_out_of_hours(datetime(2024, 1, 3, 12, 0))  # noqa: DTZ001


def test_years_whose_hours_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="before 1994"):
        session_at(datetime(1993, 6, 1, tzinfo=UTC))


@settings(deadline=None)  # the first look at a year makes its calendar
@given(
    st.datetimes(
        min_value=datetime(1994, 1, 3),  # noqa: DTZ001
        max_value=datetime(2045, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    )
)
@example(datetime(2024, 11, 29, 17, 59, 59, 999_999, tzinfo=UTC))
def test_the_session_changes_at_until_and_not_before(moment: datetime) -> None:
    session = session_at(moment)
    assert moment < session.until
    assert session_at(session.until).is_open is not session.is_open
    assert session_at(session.until - timedelta(microseconds=1)) == session


def test_the_system_clock_shows_the_systems_time() -> None:
    clock = ManualClock(1_704_300_000.25)
    market = MarketClock.parse("system", clock.time)
    assert market.now() == datetime.fromtimestamp(1_704_300_000.25, UTC)
    assert (market.speed, market.text) == (1.0, "system")


def test_a_fast_clock_runs_from_its_anchor() -> None:
    clock = ManualClock(1_795_373_549.5)
    market = MarketClock.parse("2024-01-05T20:00:00Z@1795373549.5*600", clock.time)
    assert market.now() == datetime(2024, 1, 5, 20, 0, tzinfo=UTC)
    clock.advance(6)
    assert market.now() == datetime(2024, 1, 5, 21, 0, tzinfo=UTC)
    assert market.seconds_until(datetime(2024, 1, 5, 22, 0, tzinfo=UTC)) == pytest.approx(6)


def test_a_clock_starting_now_shows_its_start() -> None:
    clock = ManualClock(1_795_373_549.5)
    start = new_york("2024-01-05T15:00:00")
    market = MarketClock.starting(start, 600, clock.time)
    assert market.now() == start
    assert market.text == "2024-01-05T20:00:00Z@1795373549.5*600"


@given(
    start=st.datetimes(
        min_value=datetime(1994, 1, 3),  # noqa: DTZ001
        max_value=datetime(2045, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    anchor=st.floats(1.0e9, 4.0e9),
    speed=st.floats(0.01, 10.0),
)
def test_the_text_form_gives_the_same_clock_back(
    start: datetime, anchor: float, speed: float
) -> None:
    market = MarketClock(start, anchor, speed)
    again = MarketClock.parse(market.text)
    assert again == market
    assert again.text == market.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-01-05T20:00:00Z",
        "2024-01-05T20:00:00Z@1795373549.5",
        "2024-01-05T20:00:00@1795373549.5*600",
        "2024-01-05T20:00:00Z@x*600",
        "2024-01-05T20:00:00Z@1795373549.5*0",
        "2024-01-05T20:00:00Z@1795373549.5*-1",
        "2024-01-05T20:00:00Z@nan*1",
        "2024-01-05T20:00:00Z@1795373549.5*inf",
        "2024-01-05T20:00:00Z@-1e300*1",
    ],
)
def test_a_bad_text_is_refused_with_the_form_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is no market clock; allowed: system, or MARKET_TIME@"):
        MarketClock.parse(text)


def test_a_clock_without_start_has_the_systems_speed() -> None:
    with pytest.raises(ValueError, match="speed 1"):
        MarketClock(speed=math.pi)


@pytest.mark.parametrize(
    ("local", "extended"),
    [
        ("2024-01-05T03:59:59", False),
        ("2024-01-05T04:00:00", True),
        ("2024-01-05T12:00:00", True),  # regular hours are in it
        ("2024-01-05T19:59:59", True),
        ("2024-01-05T20:00:00", False),
        ("2024-01-06T12:00:00", False),  # Saturday
        ("2024-01-01T12:00:00", False),  # a holiday
        ("2024-07-03T16:59:59", True),  # closes at 13:00
        ("2024-07-03T17:00:00", False),
    ],
)
def test_extended_hours_end_four_hours_after_the_close(local: str, extended: bool) -> None:
    moment = datetime.fromisoformat(local).replace(tzinfo=NEW_YORK)

    assert in_extended_hours(moment) is extended
    assert in_extended_hours(moment.astimezone(UTC)) is extended


def test_extended_hours_of_a_naive_time_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="time zone"):
        in_extended_hours(datetime(2024, 1, 5, 12))  # noqa: DTZ001
