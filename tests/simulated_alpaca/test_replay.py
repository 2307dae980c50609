"""Real bars from files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stealer.simulated_alpaca import BarsError, ReplayedMarket
from stealer.simulated_alpaca.clock import parse_instant
from stealer.simulated_alpaca.prices import bars

HEADER = "timestamp,symbol,open,high,low,close,volume\n"
ROWS = (
    "2024-01-01T00:00:00Z,ETHUSD,100,110,90,105,12\n"
    "2024-01-01T00:05:00Z,ETHUSD,105,108,104,106,6\n"
    "2024-01-01T00:10:00Z,ETHUSD,106,107,100,101,3\n"
)
START = parse_instant("2024-01-01T00:00:00Z")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def load(path: Path, text: str) -> ReplayedMarket:
    path.write_text(text)
    return ReplayedMarket.load([path])


def test_the_path_visits_open_extremes_and_close(tmp_path: Path) -> None:
    market = load(tmp_path / "bars.csv", HEADER + ROWS)
    assert market.symbols == ("ETH/USD",)
    path = [market.price("ETH/USD", START + n / 10) or 0 for n in range(3000)]
    assert path[0] == 100
    assert min(path) == pytest.approx(90, abs=0.1)
    assert max(path) == pytest.approx(110, abs=0.1)
    assert path[-1] == pytest.approx(105, abs=0.1)
    assert market.price("ETH/USD", START - 1) is None
    assert market.price("ETH/USD", START + 86400) == 101


def test_what_comes_later_does_not_show_earlier(tmp_path: Path) -> None:
    full = load(tmp_path / "full.csv", HEADER + ROWS)
    first_two = load(tmp_path / "two.csv", HEADER + "".join(ROWS.splitlines(keepends=True)[:2]))
    times = [START + n for n in range(600)]
    assert [full.price("ETH/USD", t) for t in times] == [
        first_two.price("ETH/USD", t) for t in times
    ]
    # The way through a bar does not depend on its close.
    other = load(tmp_path / "other.csv", HEADER + ROWS.replace("90,105,12", "90,91,12"))
    assert [full.price("ETH/USD", START + n) for n in range(160)] == [
        other.price("ETH/USD", START + n) for n in range(160)
    ]


def test_a_bar_is_shown_only_after_its_end(tmp_path: Path) -> None:
    market = load(tmp_path / "bars.csv", HEADER + ROWS)
    assert bars(market, "ETH/USD", START, START + 900, 300, START + 299, 10) == []
    [bar] = bars(market, "ETH/USD", START, START + 900, 300, START + 300, 10)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (100, 110, 90, 105, 12)
    [quarter] = bars(market, "ETH/USD", START, START + 900, 900, START + 900, 10)
    assert (quarter.open, quarter.high, quarter.low, quarter.close, quarter.volume) == (
        100,
        110,
        90,
        101,
        21,
    )


def test_a_file_without_open_starts_at_the_close_before(tmp_path: Path) -> None:
    market = load(
        tmp_path / "bars.csv",
        (
            "timestamp,symbol,high,low,close,volume,predicted_high_p50_h1\n"
            "2024-01-01T00:00:00Z,UNIUSD,6.2,6.0,6.1,3,9\n"
            "2024-01-01T01:00:00Z,UNIUSD,6.8,6.5,6.6,3,9\n"
        ),
    )
    assert market.price("UNI/USD", START) == 6.1
    assert market.price("UNI/USD", START + 3600) == 6.5


def test_gzip_many_files_and_a_choice_of_symbols(tmp_path: Path) -> None:
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    plain = tmp_path / "b.csv"
    plain.write_text(HEADER + "2024-01-02T14:30:00Z,AAPL,187,188,186,187.5,1\n")
    market = ReplayedMarket.load([packed, plain])
    assert market.symbols == ("AAPL", "ETH/USD")
    assert market.first_common == parse_instant("2024-01-02T14:30:00Z")
    assert ReplayedMarket.load([packed, plain], ["AAPL"]).symbols == ("AAPL",)
    with pytest.raises(BarsError, match="no bars of TSLA"):
        ReplayedMarket.load([packed, plain], ["TSLA"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the header lacks timestamp"),
        ("timestamp,symbol,open,high,low\n", "line 1: the header lacks close"),
        (HEADER, "no bars"),
        (HEADER + ROWS + "2024-01-01,ETHUSD,1,2\n", "line 5: 4 fields where the header has 7"),
        (
            HEADER + "yesterday,ETHUSD,1,2,1,1,1\n",
            "line 2: timestamp 'yesterday' is not an ISO 8601",
        ),
        (HEADER + "2024-01-01,??,1,2,1,1,1\n", "line 2: not a symbol: '??'"),
        (HEADER + "2024-01-01,ETHUSD,1,2,x,1,1\n", "line 2: low 'x' is not a number"),
        (HEADER + "2024-01-01,ETHUSD,1,nan,1,1,1\n", "line 2: high 'nan' is not a price above 0"),
        (HEADER + "2024-01-01,ETHUSD,1,2,-1,1,1\n", "line 2: low '-1' is not a price above 0"),
        (HEADER + "2024-01-01,ETHUSD,1,1,2,1,1\n", "line 2: high 1.0 is below low 2.0"),
        (HEADER + "2024-01-01,ETHUSD,1,2,1,1,-4\n", "line 2: volume '-4' is below 0"),
        (HEADER + ROWS + ROWS, "line 5: a second bar of ETH/USD"),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(BarsError) as error:
        load(tmp_path / "bars.csv", text)
    assert "bars.csv" in str(error.value)
    assert problem in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"x" * 1000)[:20])
    for path in (tmp_path / "absent.csv", broken):
        with pytest.raises(BarsError, match="cannot be read"):
            ReplayedMarket.load([path])


@pytest.mark.parametrize(
    "name",
    ["stocks_1h_2024-01_2024-04.csv.gz", "crypto_1h_with_forecasts_2025-11-27_2026-01-10.csv.gz"],
)
def test_the_real_files_play(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"real bars are not here: {name}")
    market = ReplayedMarket.load([DATA / name])
    for symbol in market.symbols:
        start = market.first(symbol)
        days = bars(market, symbol, start, start + 30 * 86400, 86400, start + 30 * 86400, 100)
        assert len(days) > 15
        assert all(0 < bar.low <= bar.open <= bar.high < 2 * bar.low for bar in days)
