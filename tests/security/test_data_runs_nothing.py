"""Plans, forecasts and what is in Redis are data: nothing runs, nothing steers a terminal."""

from __future__ import annotations

import ast
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

import stealer
from stealer.cli.app import main
from stealer.cli.context import App
from stealer.coordinator import WorkStealingCoordinator
from stealer.printable import PrintableFormatter, printable_json
from stealer.settings import Settings
from watchers.cli import main as watchers
from watchers.plan import PlanError, load_plan

#: Clears the screen, sets a title, hides text, turns direction, begins a sequence in one letter.
NASTY = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\r\x00"
STEERING = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00")

ROOT = Path(stealer.__file__).resolve().parents[1]


def harmless(text: str) -> None:
    assert [letter for letter in STEERING if letter in text] == [], repr(text)


def test_nothing_in_the_project_evaluates_text() -> None:
    """eval, exec, pickle and the like, a shell, or YAML's objects: not anywhere."""
    names, modules = (
        {"eval", "exec", "compile", "__import__"},
        {"pickle", "marshal", "shelve", "yaml"},
    )
    found = []
    for file in [*ROOT.glob("stealer/**/*.py"), *ROOT.glob("watchers/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id in names:  # type: ignore[attr-defined]
                found.append((file.name, node.func.id))  # type: ignore[attr-defined]
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = {a.name for a in node.names} | {getattr(node, "module", "") or ""}
                found += [(file.name, m) for m in imported & modules]
            if isinstance(node, ast.keyword) and node.arg == "shell":
                found.append((file.name, "shell="))
    assert found == []


CODE = [
    "__import__('os').system('touch TOUCHED')",
    "$(touch TOUCHED)",
    "`touch TOUCHED`",
    "${HOME}",
    "{0.__class__}",
    "%(asctime)s",
    "!!python/object/apply:os.system ['touch TOUCHED']",
]


@pytest.mark.parametrize("code", CODE)
def test_code_in_a_plan_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "p.toml"
    entry = {"symbol": "AAPL", "limit_price": 100, "target_qty": 1, "ticket": code}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in entry.items())
    plan.write_text(f"[[entry]]\n{lines}\n")
    loaded = load_plan(plan, frozenset())
    assert loaded.entries[0].task.ticket == code, "kept digit for digit, not run or expanded"
    for key in ("name", "symbol", "strategy", "side", "mode", "limit_price"):
        plan.write_text(
            f"[[entry]]\n{lines}\n".replace(f"{key} =", "#") + f"{key} = {json.dumps(code)}"
        )
        with pytest.raises(PlanError):
            load_plan(plan, frozenset())
    assert [file.name for file in tmp_path.iterdir()] == ["p.toml"]


def test_a_nasty_plan_is_refused_without_steering_the_terminal(tmp_path: Path) -> None:
    plan = tmp_path / "p.toml"
    shown = json.dumps(NASTY)  # TOML's escapes are JSON's
    plan.write_text(f"fleet = {shown}\n{shown} = 1\n[[entry]]\nname = {shown}\nsymbol = {shown}\n")
    for words in (["check", str(plan)], ["run", str(plan)]):
        result = CliRunner().invoke(watchers, words)
        assert result.exit_code == 2
        harmless(result.output)
    missing = CliRunner().invoke(watchers, ["check", str(tmp_path / f"no{NASTY[:-1]}.toml")])
    assert missing.exit_code == 2
    harmless(missing.output)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_nasty_forecasts_are_refused(redis_client: redis.Redis, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"f.{kind}"
    rows = [{"symbol": NASTY, "pnl": CODE[0], "strategy": NASTY}]
    text = json.dumps(rows) if kind == "json" else f'symbol,pnl\n"{NASTY}",1\n'
    file.write_text(text, newline="")
    app = App(connect=lambda settings: redis_client)
    result = CliRunner().invoke(main, ["forecasts", "load", str(file)], obj=app)
    assert result.exit_code == 2, result.output
    harmless(result.output)


@pytest.fixture
def spoiled(redis_client: redis.Redis) -> Any:
    """An account in which every text was written by somebody who means harm."""
    ledger = WorkStealingCoordinator(redis_client, Settings())
    ledger.certify()
    ledger.publish_account(equity=5000)
    keys = ledger.keys
    redis_client.hset(keys.ledger, "halted", NASTY)
    redis_client.set(keys.keeper, NASTY, px=60_000)
    redis_client.set(keys.of("cooldown", f"A{NASTY}"), NASTY, px=60_000)
    redis_client.set(keys.of("cooldown", "A"), f"A stolen by {NASTY} (", px=60_000)
    redis_client.set(keys.of("fight", "A", f"B{NASTY}"), NASTY, px=60_000)
    redis_client.xadd(keys.steals, {"thief": NASTY, "victims": NASTY, "at": NASTY, NASTY: NASTY})
    redis_client.xadd(keys.audit, {"who": NASTY, "what": NASTY, "why": NASTY, "at": NASTY})
    redis_client.zadd(keys.forecasts, {f"{NASTY}|{NASTY}": 1.0})
    redis_client.zadd(keys.waiters, {f"{NASTY}|buy|x": 1.0})
    redis_client.hset(keys.waiting, f"{NASTY}|buy|x", "1 0 9999999999999")
    redis_client.hset(
        keys.watchers, f"{NASTY}", json.dumps({"host": NASTY, "seen": 9e9, "policy": "x"})
    )
    redis_client.hset(keys.decisions, "AAPL|buy|maxdiff", f"1 denied {NASTY} {NASTY}")
    redis_client.hset(keys.counters, f"denied:{NASTY}", 1)
    redis_client.hset(keys.policy, "leverage", NASTY)
    redis_client.zadd(keys.claims, {f"mx_{NASTY}": 1})
    redis_client.hset(keys.of("claim", f"mx_{NASTY}"), mapping={
        "symbol": NASTY, "side": NASTY, "strategy": NASTY, "state": "evicting", "qty": "1",
        "limit": "1", "need": "1", "pnl": "1", "owner": NASTY, "fence": NASTY, "cause": NASTY,
        "mode": NASTY, "forced": "0", "crypto": "0", "slot": NASTY, "created_ms": "1",
    })  # fmt: skip
    return redis_client


@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["orders"], ["candidates"], ["why", "AAPL"], ["cooldowns"], ["fights"],
        ["steals"], ["audit"], ["forecasts", "list"], ["release", f"mx_{NASTY[:-1]}"], ["doctor"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_what_others_wrote_into_redis_does_not_steer_a_terminal(
    spoiled: Any, words: list[str], as_json: bool
) -> None:
    app = App(connect=lambda settings: spoiled)
    result = CliRunner().invoke(
        main, [*words, *(["--json"] if as_json else [])], obj=app, input="n\n"
    )
    assert result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    harmless(result.output)


def test_json_means_the_same() -> None:
    value = {"a": NASTY, "b": "Grüße €\n", "c": "\U000e0001"}
    text = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert "Grüße €" in text
    harmless(text)


def test_a_log_line_stays_one_harmless_line() -> None:
    form = PrintableFormatter("%(levelname)s %(message)s")
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%s", (NASTY + "\nERROR forged",), None)
    line = form.format(record)
    harmless(line)
    assert "\n" not in line
    try:
        raise ValueError(NASTY)
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "f", 1, "m", (), info)
    harmless(form.format(record))
    assert "Traceback" in form.format(record)
