"""Plans: what is read, and that every mistake is said at once and nothing else ever raised."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from watchers.cli import main
from watchers.plan import KEYS, Plan, PlanEntry, PlanError, load_plan, parse_plan
from watchers.plan_file import PlanFile

CRYPTO = frozenset({"BTCUSD", "ETHUSD"})

GOOD = """
fleet = "morning"
[defaults]
mode = "probe"
expiry_minutes = 390
[[entry]]
symbol = "BTC/USD"
limit_price = 60000.10
target_qty = "0.250000001"
forecast_pnl = -3
[[entry]]
name = "short"
symbol = "AAPL"
side = "sell"
limit_price = 0.1
target_qty = 10
strategy = "gap"
mode = "normal"
tolerance_pct = 0.01
poll_seconds = 0.5
force_immediate = true
time_in_force = "day"
extended_hours = true
ticket = "my own"
"""


def read(text: str, source: str = "p.toml") -> Plan:
    document = tomllib.loads(text, parse_float=Decimal)
    return parse_plan(document, source, CRYPTO, default_fleet="file")


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(PlanError) as caught:
        read(text)
    return caught.value.problems


def entry(**changes: Any) -> str:
    """One good entry with *changes* as TOML text; None leaves a key out."""
    fields = {"symbol": '"AAPL"', "limit_price": "100", "target_qty": "1"} | changes
    return "[[entry]]\n" + "".join(f"{k} = {v}\n" for k, v in fields.items() if v is not None)


# ---- good plans


def test_a_good_plan_is_read_digit_for_digit() -> None:
    plan = read(GOOD)

    assert (plan.fleet, [e.name for e in plan.entries]) == (
        "morning",
        ["BTCUSD-buy-maxdiff", "short"],
    )
    coin, short = (e.task for e in plan.entries)
    assert coin.intent.limit_price == Decimal("60000.10")
    assert coin.intent.qty == Decimal("0.250000001")
    assert (coin.intent.symbol, coin.intent.forecasted_pnl) == ("BTCUSD", -3.0)
    assert (coin.expiry_seconds, coin.intent.mode) == (390 * 60, "probe")
    assert (coin.ticket, coin.offers_forecast) == ("morning/BTCUSD-buy-maxdiff", True)
    assert short.intent.limit_price == Decimal("0.1")
    assert (short.intent.side, short.intent.strategy, short.intent.mode) == (
        "sell",
        "gap",
        "normal",
    )
    assert (short.tolerance_pct, short.poll_seconds, short.ticket) == (0.01, 0.5, "my own")
    assert short.intent.force_immediate
    assert (short.intent.time_in_force, short.intent.extended_hours) == ("day", True)
    assert (coin.intent.time_in_force, coin.intent.extended_hours) == ("", False)
    assert not short.offers_forecast


def test_the_fleet_is_called_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "evening-2.toml"
    path.write_text(entry())

    plan = load_plan(path, CRYPTO)

    assert (plan.fleet, plan.entries[0].task.ticket) == ("evening-2", "evening-2/AAPL-buy-maxdiff")


def test_equal_plans_are_equal_and_an_edit_shows() -> None:
    assert read(GOOD).entries == read(GOOD.replace("60000.10", "60000.1")).entries
    assert read(GOOD).entries != read(GOOD.replace("60000.10", "60000.2")).entries


# ---- mistakes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", '"a b"'),
        ("name", '""'),
        ("symbol", '"DOGE/USD"'),
        ("symbol", "7"),
        ("symbol", '"no such thing"'),
        ("side", '"long"'),
        ("side", "[]"),
        ("limit_price", "0"),
        ("limit_price", "-1"),
        ("limit_price", "nan"),
        ("limit_price", "inf"),
        ("limit_price", "1e300"),
        ("limit_price", "1e-30"),
        ("limit_price", "true"),
        ("limit_price", '"a lot"'),
        ("target_qty", "{}"),
        ("target_qty", "2024-01-05"),
        ("forecast_pnl", "inf"),
        ("forecast_pnl", '"1e400"'),
        ("strategy", '"max diff"'),
        ("mode", '"Probe!"'),
        ("tolerance_pct", "1"),
        ("tolerance_pct", "-0.1"),
        ("expiry_minutes", "0"),
        ("expiry_minutes", "1e9"),
        ("poll_seconds", "0.01"),
        ("force_immediate", '"yes"'),
        ("force_immediate", "1"),
        ("time_in_force", '"fok"'),
        ("time_in_force", "1"),
        ("extended_hours", '"no"'),
        ("ticket", '""'),
    ],
)
def test_a_bad_value_is_said_with_file_entry_key_and_what_is_allowed(key: str, value: str) -> None:
    (sentence,) = mistakes(entry(**{key: value}))

    assert sentence.startswith("p.toml: entry 1")
    assert f"{key} = " in sentence
    assert "is not allowed: " in sentence


def test_all_mistakes_are_said_at_once() -> None:
    text = entry(limit_price="0", side='"up"') + entry(symbol=None) + entry(targt_qty="1")

    said = mistakes(text)

    assert len(said) == 4
    assert "entry 3: unknown key 'targt_qty'; did you mean target_qty?" in said[3]
    assert "entry 2: symbol is missing" in said[2]


def test_a_bad_default_is_said_once() -> None:
    said = mistakes('[defaults]\nmode = "x"\nname = "y"\nsybmol = "AAPL"\n' + entry() * 2)

    assert [s for s in said if "mode" in s] == [
        "p.toml: [defaults]: mode = 'x' is not allowed: give normal or probe"
    ]
    assert any("name is each entry's own" in s for s in said)
    assert any("did you mean symbol?" in s for s in said)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no [[entry]]"),
        ("entry = []", "has no [[entry]]"),
        ("[entry]\nsymbol = 'AAPL'", "double brackets"),
        ("entry = [1]", "double brackets"),
        ("defaults = 1\n" + entry(), "defaults must be a table"),
        ("[[entries]]\nsymbol = 'AAPL'", "did you mean entry?"),
        ("fleet = 'a/b'\n" + entry(), "fleet = 'a/b' is not allowed"),
        (
            entry() + entry(name='"other"'),
            "symbol, side and strategy 'AAPL buy maxdiff' is already",
        ),
        (entry(name='"a"') + entry(name='"a"', strategy='"b"'), "name 'a' is already"),
        (entry(ticket='"t"') + entry(ticket='"t"', strategy='"b"'), "ticket 't' is already"),
        (entry(symbol='"BTC/USD"') + entry(symbol='"btcusd"', name='"b"'), "BTCUSD buy maxdiff"),
        (entry(symbol='"BTC/USD"', side='"sell"'), "cannot be sold short"),
        (entry(symbol='"BTC/USD"', time_in_force='"day"'), "crypto takes gtc or ioc"),
        (entry(symbol='"BTC/USD"', extended_hours="true"), "trades at all hours"),
        (entry(time_in_force='"ioc"'), "stocks are sent as day or gtc only here"),
        (entry(time_in_force='"gtc"', extended_hours="true"), "only with time in force day"),
        (entry(time_in_force='"gtc"', target_qty="1.5"), "day orders only"),
        (entry(limit_price="1000000", target_qty="1000000"), "above the largest order"),
        (entry() * 1001, "1000 is the most"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    assert any(words in sentence for sentence in mistakes(text))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[[entry]\n", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a = " + b"9" * 5000, "is not TOML"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"#" * 1_000_001, "too large"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(content)

    with pytest.raises(PlanError, match=words):
        load_plan(path, CRYPTO)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(PlanError, match="cannot be read"):
            load_plan(path, CRYPTO)


# ---- anything at all

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.builds(lambda: 10**5000)  # hypothesis could not show it as `just`
    | st.floats()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.just(Decimal("sNaN"))
    | st.text(max_size=30)
    | st.sampled_from(["AAPL", "BTC/USD", "buy", "sell", "probe", "0.5", "1e999999999"])
    | st.dates()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_TABLES = st.dictionaries(st.sampled_from([*KEYS, "nonsense"]) | st.text(max_size=10), _VALUES)
_LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["AAPL", "MSFT", "BTC/USD"]) | _VALUES,
        "limit_price": st.decimals(min_value=1, max_value=1000, places=2) | _VALUES,
        "target_qty": st.integers(1, 100) | _VALUES,
        "side": st.sampled_from(["buy", "sell"]) | _VALUES,
        "name": st.sampled_from(["a", "b"]) | _VALUES,
        "ticket": _VALUES,
    },
)


@given(
    st.dictionaries(st.text(max_size=10), _VALUES, max_size=2),
    _TABLES | _VALUES,
    st.lists(_TABLES | _LIKELY, max_size=4) | _VALUES,
    st.just("fleet") | _VALUES,
)
def test_whatever_a_plan_holds_it_is_read_or_refused(
    more: dict[str, Any], defaults: Any, entries: Any, fleet: Any
) -> None:
    document = more | {"defaults": defaults, "entry": entries, "fleet": fleet}
    problems: tuple[str, ...] = ()
    found: tuple[PlanEntry, ...] = ()
    try:
        found = parse_plan(document, "p.toml", CRYPTO).entries
    except PlanError as error:
        problems = error.problems

    assert bool(found) != bool(problems)
    assert all(p.startswith("p.toml: ") and len(p) < 1000 for p in problems)
    assert len({e.slot for e in found}) == len({e.task.ticket for e in found}) == len(found)


# ---- the edited file


def test_an_edit_counts_once_it_has_settled(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(entry())
    file = PlanFile(path, CRYPTO)
    first = file.load()

    assert file.poll() is None
    path.write_text(entry() + entry(strategy='"half"'))
    assert file.poll() is None
    path.write_text(entry() + entry(strategy='"half"') + entry(strategy='"whole"'))
    assert file.poll() is None
    plan = file.poll()
    assert plan
    assert len(plan.entries) == 3
    assert file.poll() is None
    path.write_text(entry())
    assert file.poll() is None
    again = file.poll()
    assert again
    assert again.entries == first.entries


def test_a_broken_edit_is_refused_once(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(entry())
    file = PlanFile(path, CRYPTO)
    file.load()

    path.write_text("nonsense")
    assert file.poll() is None
    with pytest.raises(PlanError):
        file.poll()
    assert file.poll() is None
    path.unlink()
    with pytest.raises(PlanError, match="cannot be read"):
        file.poll()
    assert file.poll() is None


# ---- the command


def test_check_shows_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(GOOD)

    for_people = CliRunner().invoke(main, ["check", str(path)])
    for_programs = CliRunner().invoke(main, ["check", str(path), "--json"])

    assert (for_people.exit_code, for_programs.exit_code) == (0, 0)
    assert "BTCUSD-buy-maxdiff" in for_people.output
    record = json.loads(for_programs.output)
    assert record["entries"][0]["limit_price"] == "60000.1"
    assert record["entries"][1]["time_in_force"] == "day"
    assert record["entries"][1]["extended_hours"] is True
    assert "day extended_hours" in for_people.output


def test_check_says_every_mistake_and_ends_with_two(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(entry(limit_price="0", side='"up"'))

    for_people = CliRunner().invoke(main, ["check", str(path)])
    for_programs = CliRunner().invoke(main, ["check", str(path), "--json"])

    assert (for_people.exit_code, for_programs.exit_code) == (2, 2)
    assert for_people.output.count("is not allowed") == 2
    assert len(json.loads(for_programs.output)["problems"]) == 2


@pytest.mark.parametrize(
    ("environment", "words", "code"),
    [
        ({"APCA_API_KEY_ID": "", "APCA_API_SECRET_KEY": ""}, "Alpaca keys", 4),
        ({"STEALER_ACCOUNT": "a b"}, "STEALER_ACCOUNT", 2),
        ({"REDIS_URL": "http://x"}, "REDIS_URL", 2),
    ],
)
def test_run_refuses_what_no_child_could_work_with_in_one_sentence(
    tmp_path: Path, environment: dict[str, str], words: str, code: int
) -> None:
    path = tmp_path / "p.toml"
    path.write_text(entry())

    result = CliRunner().invoke(main, ["run", str(path)], env=environment)

    assert result.exit_code == code, result.output
    assert words in result.output
    assert result.output.count("\n") == 1
