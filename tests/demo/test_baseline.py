"""The demo's baseline: limits and forecasts from finished days and the present price only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.demonstration.__main__ import default_start, first_bar
from scripts.demonstration.baseline import DAYS, Day, History, days_of, make_intent
from scripts.demonstration.duel import Duel
from stealer.model import InvalidIntent
from stealer.sessions import session_at

CALM = History("BTCUSD", True, tuple(Day(100.0, 102.0, 98.0) for _ in range(10)))
WILD = History("ETHUSD", True, tuple(Day(100.0, 110.0, 90.0) for _ in range(10)))


def test_a_limit_is_below_the_price_and_deeper_where_days_are_wilder() -> None:
    calm = make_intent(CALM, "near", 100.0, 10_000, 1)
    wild = make_intent(WILD, "near", 100.0, 10_000, 1)
    assert wild.limit < calm.limit < 100
    assert calm.target > calm.limit
    assert calm.qty * calm.limit == pytest.approx(10_000, abs=1)


def test_the_forecast_falls_as_the_price_leaves_the_limit() -> None:
    intent = make_intent(CALM, "near", 100.0, 10_000, 1)
    near, far = intent.pnl(CALM, 100.0), intent.pnl(CALM, 110.0)
    assert near > far > 0
    assert not intent.out_of_reach(CALM, 100.0)
    assert intent.out_of_reach(CALM, 110.0)
    assert intent.out_of_reach(CALM, 90.0), "the price has fallen through"


def test_only_the_latest_finished_days_count() -> None:
    bars = [{"o": 100.0, "h": 200.0, "l": 50.0}] * 5 + [{"o": 100.0, "h": 101.0, "l": 99.0}] * DAYS
    history = History("BTCUSD", True, days_of(bars))
    assert len(history.days) == DAYS
    assert history.median_range == pytest.approx(0.02)


def test_a_sub_dollar_price_keeps_its_decimals() -> None:
    coin = History("XUSD", True, tuple(Day(0.5, 0.51, 0.49) for _ in range(5)))
    assert make_intent(coin, "near", 0.5123, 1_000, 1).limit.as_tuple().exponent == -4


def test_duellists_overtake_each_other_and_neither_pair_fits() -> None:
    duel = Duel((CALM, WILD), cooldown=2.0)
    leaders = []
    for _ in range(4):
        forecasts = duel.forecasts()
        leaders.append(max(forecasts, key=lambda symbol: forecasts[symbol]))
        duel.overtake()
    assert leaders == ["BTCUSD", "ETHUSD", "BTCUSD", "ETHUSD"]
    wishes = duel.intents({"BTCUSD": 100.0, "ETHUSD": 100.0}, 50_000)
    assert sum(float(w.qty * w.limit) for w in wishes) > 50_000


def test_the_session_closes_when_half_of_the_demo_is_over() -> None:
    saturday = datetime(2024, 1, 6, tzinfo=UTC)
    start = default_start(saturday, 3600)
    session = session_at(start)
    assert session.is_open
    assert (session.until - start).total_seconds() == 1800


def test_a_file_without_bars_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("nothing,here\n")
    with pytest.raises(InvalidIntent, match=r"bars\.csv"):
        first_bar((file,))
