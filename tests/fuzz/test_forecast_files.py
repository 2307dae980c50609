"""Forecast files as any bytes, CSV or JSON: all of it is taken, or none and it says why."""

# ruff: noqa: PT017 - an error is one of two good endings here, and its words are checked
from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fakeredis
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from stealer.cli.app import main
from stealer.cli.context import App
from stealer.cli.views.forecasts import BadFile, read_file
from stealer.coordinator import WorkStealingCoordinator
from tests.coordination.desk import Desk
from tests.fuzz.effort import effort
from tests.fuzz.garbage import words

classify = WorkStealingCoordinator(fakeredis.FakeRedis(decode_responses=True)).classify

fields = st.sampled_from(["symbol", "strategy", "pnl", "ttl", "pln", "SYMBOL", ""])
good = {"symbol": "AAPL", "pnl": 1.5}
json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(fields, inner, max_size=3),
    max_leaves=4,
)
row = st.dictionaries(fields, json_value, max_size=4).map(lambda changes: good | changes)
json_file = st.one_of(json_value, st.lists(row, max_size=3)).map(json.dumps)
csv_file = st.lists(st.lists(words, min_size=1, max_size=5).map(",".join), max_size=4).flatmap(
    lambda lines: st.sampled_from(["symbol,pnl\n", "symbol,strategy,pnl,ttl\n", ""]).map(
        lambda header: header + "\n".join(lines)
    )
)
content = st.one_of(
    st.binary(max_size=100),
    st.one_of(json_file, csv_file).map(lambda t: t.encode("utf-8", "replace")),
)


@effort(600)
@given(content)
@example(b"[" * 5000)
@example(b"[" + b'{"a":' * 5000)
@example(b'[{"symbol": "AAPL", "pnl": ' + b"9" * 5000 + b"}]")
@example(b'[{"symbol": "AAPL", "pnl": NaN}]')
@example(b'[{"symbol": "AAPL", "pnl": 1e999}]')
@example(b'[{"symbol": ["AAPL"], "pnl": 1}]')
@example(b'[{"symbol": "\\ud800", "pnl": 1}]')
@example(b'symbol,pnl\n"AAPL,1\n')
@example(b"symbol,pnl\nAAPL," + b"9" * 200_000)
@example(b"symbol,pnl\r\nAAPL\0,1")
def test_any_content_is_forecasts_or_says_what_is_wrong(content: bytes) -> None:
    try:
        entries = read_file("f.csv", content, classify)
    except BadFile as error:
        assert error.problems
        for problem in error.problems:
            assert problem.startswith("f.csv:"), problem
            assert len(problem) < 500, "a value is shown in short"
        return
    for entry in entries:
        assert entry.pnl == entry.pnl
        assert abs(entry.pnl) <= 1e12
        assert entry.ttl >= 0


@effort(40)
@given(content)
def test_the_command_publishes_all_or_nothing(content: bytes) -> None:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    desk = Desk(client).open_shop()
    with TemporaryDirectory() as directory:
        path = Path(directory, "f.csv")
        path.write_bytes(content)
        app = App(connect=lambda _: client)
        result: Any = CliRunner().invoke(main, ["forecasts", "load", str(path)], obj=app)
    assert result.exception is None or isinstance(result.exception, SystemExit), content
    assert result.exit_code in (0, 2), result.output
    assert "Traceback" not in result.output
    published = client.zcard(desk.keys.forecasts)
    assert (published > 0) == (result.exit_code == 0)
