"""`stealer forecasts`: a file is published as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from stealer.cli.views.forecasts import MAX_BYTES
from tests.cli.conftest import Desk


def listed(desk: Desk) -> list[tuple[str, str, float]]:
    rows = desk.json("forecasts", "list")["forecasts"]
    return [(r["symbol"], r["strategy"], r["pnl"]) for r in rows]


def test_set_list_and_remove_take_symbols_in_any_form(desk: Desk) -> None:
    assert desk.run("forecasts", "set", "BTC/USD", "2.5", "--ttl", "60").exit_code == 0
    assert desk.run("forecasts", "set", "aapl", "-1", "--strategy", "other").exit_code == 0
    assert listed(desk) == [("BTCUSD", "maxdiff", 2.5), ("AAPL", "other", -1.0)]
    assert 55 < desk.json("forecasts", "list")["forecasts"][0]["expires_seconds"] <= 60
    assert desk.run("forecasts", "remove", "btcusd").exit_code == 0
    assert desk.run("forecasts", "remove", "btcusd").exit_code == 1
    assert listed(desk) == [("AAPL", "other", -1.0)]


@pytest.mark.parametrize(
    "arguments",
    [("AAPL", "nan"), ("AAPL", "1e400"), ("AAPL", "x"), ("A B", "1"), ("AAPL", "1", "--ttl", "-1"),
     ("AAPL", "1", "--strategy", "a|b"), ("XYZ/USD", "1")],
)  # fmt: skip
def test_a_bad_forecast_is_bad_input(desk: Desk, arguments: tuple[str, ...]) -> None:
    result = desk.run("forecasts", "set", *arguments)
    assert result.exit_code == 2, result.output
    assert listed(desk) == []


GOOD_CSV = "symbol,strategy,pnl,ttl\nBTC/USD,maxdiff,2.5,60\n\n# a remark\nAAPL,,-1\n"
GOOD_JSON = '[{"symbol": "BTC/USD", "pnl": 2.5, "ttl": 60},\n {"symbol": "AAPL", "pnl": "-1"}]'


@pytest.mark.parametrize("text", [GOOD_CSV, GOOD_JSON, "\ufeff" + GOOD_CSV])
def test_a_good_file_is_published(desk: Desk, tmp_path: Path, text: str) -> None:
    file = tmp_path / "forecasts"
    file.write_text(text, encoding="utf-8")
    result = desk.run("forecasts", "load", str(file))
    assert result.exit_code == 0, result.output
    assert listed(desk) == [("BTCUSD", "maxdiff", 2.5), ("AAPL", "maxdiff", -1.0)]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("symbol,pnl\nAAPL,1\nMSFT,nan\n", 3, "pnl"),
        ("symbol,pnl\nAAPL,1\n?,1\n", 3, "symbol"),
        ("symbol,pnl,ttl\nAAPL,1,-5\n", 2, "ttl"),
        ("symbol,strategy,pnl\nAAPL,a b,1\n", 2, "strategy"),
        ("symbol,pnl\nAAPL,1\naapl,2\n", 3, "on line 2 already"),
        ("symbol,pnl\nAAPL,1,2,3\n", 2, "4 fields"),
        ("symbol,pnl\nAAPL\n", 2, "pnl"),
        ("symbol,profit\nAAPL,1\n", 1, "pnl is missing"),
        ("AAPL,1\n", 1, "header"),
        ("", 1, "empty"),
        ("symbol,pnl\n", 1, "no forecast"),
        ('symbol,pnl\n"AAPL,1\n', 2, "quote"),
        ('[{"symbol": "AAPL", "pnl": 1},\n {"symbol": "MSFT"}]', 2, "pnl"),
        ('[{"symbol": "AAPL", "pnl": NaN}]', 1, "pnl"),
        ('[{"symbol": "AAPL", "pnl": 1, "size": 2}]', 1, "size"),
        ('[{"symbol": "AAPL", "pnl": 1}\n', 2, "JSON"),
        ('[{"symbol": 5, "pnl": 1}]', 1, "symbol"),
        ("[\n1]", 2, "not an object"),
        ('{"symbol": "AAPL"}', 1, "array"),
        ("[] x", 1, "more text"),
        ("[" * 100_000, 1, "JSON"),
    ],
)
def test_nothing_is_published_from_a_bad_file_and_the_place_is_named(
    desk: Desk, tmp_path: Path, text: str, line: int, word: str
) -> None:
    file = tmp_path / "bad"
    file.write_text(text, encoding="utf-8")
    result = desk.run("forecasts", "load", str(file))
    assert result.exit_code == 2
    # "unexpected end of data" is all that csv says about an open quote.
    assert word in result.stderr or "end of data" in result.stderr
    assert f"{file}:{line}:" in result.stderr
    assert "nothing was published" in result.stderr
    assert listed(desk) == []


def test_every_problem_of_a_file_is_named(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("symbol,pnl,ttl\n?,x,y\nAAPL,1,0\n!,1,0\n", encoding="utf-8")
    stderr = desk.run("forecasts", "load", str(file)).stderr
    for place in ("2: symbol", "2: pnl", "2: ttl", "4: symbol"):
        assert f"{file}:{place}" in stderr


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_is_no_text_or_is_missing(
    desk: Desk, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "forecasts.csv"
    if content is not None:
        file.write_bytes(content)
    assert desk.run("forecasts", "load", str(file)).exit_code == 2


@pytest.mark.parametrize("given", ["/dev/zero", "-"])
def test_a_file_without_end_is_not_read_to_its_end(desk: Desk, given: str) -> None:
    result = desk.run("forecasts", "load", given, input="a" * (MAX_BYTES + 1))
    assert result.exit_code == 2
    assert "larger than 1,000,000 bytes" in result.stderr


def test_a_file_may_come_from_a_pipe(desk: Desk) -> None:
    assert desk.run("forecasts", "load", "-", input="symbol,pnl\nAAPL,1\n").exit_code == 0
    assert listed(desk) == [("AAPL", "maxdiff", 1.0)]
