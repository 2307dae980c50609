"""Plan files as any bytes, any TOML, and good plans with something changed."""

# ruff: noqa: PT017 - an error is one of two good endings here, and its words are checked
from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.effort import effort
from tests.fuzz.garbage import ODD_TEXTS, words
from watchers.cli import main
from watchers.plan import KEYS, Plan, PlanError, plan_from_bytes
from watchers.plan_file import PlanFile

CRYPTO = frozenset({"BTCUSD", "ETHUSD", "UNIUSD"})

#: Bytes of a plan cut and doubled at any place are the commonest accident.
GOOD = b"""fleet = "morning"
[defaults]
expiry_minutes = 390
[[entry]]
symbol = "BTC/USD"
limit_price = 60000.5
target_qty = "0.25"
forecast_pnl = 12.5
[[entry]]
name = "second"
symbol = "AAPL"
side = "sell"
limit_price = 200
target_qty = 10
tolerance_pct = 0.01
mode = "probe"
force_immediate = true
"""

#: TOML as somebody writes it: values of every kind, also where others belong.
leaf = st.one_of(
    st.sampled_from(["nan", "-nan", "inf", "-inf", "true", "false", "1e400", "1e-400", "0x10", "-0",
                     "-0.0", "1_000", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[]", "{}",
                     "[[1]]", "9" * 5000, "1." + "0" * 500 + "1", "'''x\ny'''"]),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    words.map(lambda text: '"' + _escaped(text) + '"'),
)  # fmt: skip


def _escaped(text: str) -> str:
    shown = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return "".join(c for c in shown if not c.startswith("\\U0000D")).replace("\\U0000", "\\U0000")


keys = st.one_of(st.sampled_from([*KEYS, "fleet", "defaults", "entry"]), st.just("symbl"))


@st.composite
def plans(draw: st.DrawFn) -> bytes:
    """Tables and values with the right names, most of them wrong."""
    lines = []
    for header in draw(
        st.lists(st.sampled_from(["[defaults]", "[[entry]]", "[entry]", "[x]", ""]), max_size=4)
    ):
        lines.append(header)
        if header == "[[entry]]":
            lines += ['symbol = "AAPL"', "limit_price = 1"]
        lines += [f"{draw(keys)} = {draw(leaf)}" for _ in range(draw(st.integers(0, 3)))]
    return "\n".join(lines).encode("utf-8", "replace")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The good plan with a value replaced, a line doubled, or cut somewhere."""
    how = draw(st.sampled_from(["value", "value", "value", "cut", "splice", "double"]))
    at = draw(st.integers(0, len(GOOD)))
    if how == "cut":
        return GOOD[:at]
    if how == "splice":
        return GOOD[:at] + draw(st.binary(min_size=1, max_size=4)) + GOOD[at:]
    lines = GOOD.decode().splitlines()
    which = draw(st.integers(0, len(lines) - 1))
    if how == "double":
        lines.insert(which, lines[which])
    elif "=" in lines[which]:
        lines[which] = f"{lines[which].partition('=')[0]}= {draw(leaf)}"
    return "\n".join(lines).encode("utf-8", "replace")


any_content = st.one_of(st.binary(max_size=200), plans(), mutated())


def read(content: bytes) -> Plan | tuple[str, ...]:
    """The plan, or the problems: each names the file, and a value's mistake its entry and key."""
    try:
        plan = plan_from_bytes(content, Path("plan.toml"), CRYPTO)
    except PlanError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.startswith("plan.toml: "), problem
            assert len(problem) < 400, "a value is shown in short"
            assert "\n" not in problem
        return error.problems
    for entry in plan.entries:
        assert entry.task.intent.qty > 0
        assert entry.task.intent.limit_price > 0
    return plan


@effort(400)
@given(any_content)
@example(b"a=" + b"[" * 3000)
@example(b"a=" + b"{a=" * 3000)
@example(b"\xef\xbb\xbf" + GOOD)
@example(GOOD.replace(b"\n", b"\r\n"))
@example(GOOD.replace(b"\n", b"\r"))
@example(b"[[entry]]\nsymbol='AAPL'\ntarget_qty=1\nlimit_price=" + b"9" * 5000)
@example(b"[[entry]]\nsymbol='AAPL'\ntarget_qty=1\nlimit_price=1e" + b"9" * 30)
@example(b"[[entry]]\nsymbol='AAPL'\ntarget_qty=1e12\nlimit_price=1e12")
def test_any_content_is_a_plan_or_says_what_is_wrong(content: bytes) -> None:
    read(content)


@effort(300)
@given(st.sampled_from(sorted(KEYS)), st.sampled_from(["[[entry]]", "[defaults]"]), leaf)
def test_a_bad_value_is_said_with_its_entry_and_key(key: str, table: str, value: str) -> None:
    own = {"symbol": '"AAPL"', "limit_price": "1", "target_qty": "1"}
    own.pop(key, None)
    rest = "\n".join(f"{k} = {v}" for k, v in own.items())
    text = f"{table}\n{key} = {value}\n" + ("" if table == "[[entry]]" else "[[entry]]\n") + rest
    found = read(text.encode("utf-8", "replace"))
    if isinstance(found, Plan) or "is not TOML" in found[0]:
        return
    if key in ("name", "ticket") and table == "[defaults]":
        assert "each entry's own" in found[0]
    else:
        where = "entry 1" if table == "[[entry]]" else r"\[defaults\]"
        assert any(re.search(f"{where}.*{key}|qty x limit_price", said) for said in found), found


@effort(40)
@given(any_content)
def test_the_command_ends_with_2_and_the_problems(content: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "p.toml")
        path.write_bytes(content)
        for more in ([], ["--json"]):
            result: Any = CliRunner().invoke(main, ["check", str(path), *more])
            assert result.exception is None or isinstance(result.exception, SystemExit), content
            assert result.exit_code in (0, 2)
            assert "Traceback" not in result.output
            if result.exit_code == 2:
                assert "p.toml" in result.output


@effort(60)
@given(content=any_content)
def test_a_broken_edit_is_said_once_and_the_next_good_one_is_taken(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """What `Fleet` relies on: an edit is a whole new plan, or an error and the old one stays."""
    path = tmp_path_factory.mktemp("plan") / "p.toml"
    path.write_bytes(GOOD)
    file = PlanFile(path, CRYPTO)
    running = file.load()
    path.write_bytes(content)
    answers: list[Plan | PlanError | None] = []
    for _ in range(4):
        try:
            answers.append(file.poll())
        except PlanError as error:
            answers.append(error)
    told = [answer for answer in answers if answer is not None]
    assert len(told) == (0 if content == GOOD else 1), answers
    path.write_bytes(GOOD + b"\n# mended\n")
    later = [file.poll() for _ in range(3)]
    assert [p.entries for p in later if p] == [running.entries]


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("key", ["symbol", "name", "strategy", "ticket", "side"])
def test_no_name_reaches_a_terminal_or_a_key_as_it_is(key: str, text: str) -> None:
    own = {"symbol": '"AAPL"', "limit_price": "1", "target_qty": "1"}
    own[key] = '"' + _escaped(text) + '"'
    found = read(("[[entry]]\n" + "\n".join(f"{k} = {v}" for k, v in own.items())).encode())
    if isinstance(found, Plan):
        assert found.entries[0].task.ticket.isprintable()
        assert found.entries[0].name.isprintable()
    else:
        assert all(problem.isprintable() for problem in found), found
