"""Every command and option of both command lines, as the command trees know them.

New commands are covered by being there. The network is refused and nothing really sleeps; all else
is the real thing.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import fakeredis
import pytest
import redis
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.interface import Broker
from stealer.cli.app import main as stealer
from stealer.cli.context import App
from stealer.entry import Entries
from stealer.keeper.keeper import Keeper
from stealer.signals import StopFlag
from tests.cli.conftest import FakeBroker
from tests.coordination.desk import Desk
from tests.fuzz.effort import effort
from tests.fuzz.garbage import words
from watchers.cli import main as watchers
from watchers.entry_watcher import EntryWatcher

#: click's own types of a float, and what is derived from them.
FLOAT_TYPES = (type(click.FLOAT), click.FloatRange)

#: What both `--help` pages document.
EXIT_CODES = {0, 1, 2, 3, 4}

KEYS = {"APCA_API_KEY_ID": "a-key-id", "APCA_API_SECRET_KEY": "hunter2-hunter2"}

#: Their pause is a default, bound when they are loaded: so before a test patches `time.sleep`, or
#: they would keep the patch for ever.
SLEEPERS: tuple[Any, ...] = (AlpacaBroker, Entries, Keeper, EntryWatcher)


@dataclass(frozen=True)
class Leaf:
    """One command: how it is called, and what it takes."""

    root: click.Command
    path: tuple[str, ...]
    params: tuple[click.Parameter, ...]

    def __str__(self) -> str:
        return " ".join(self.path)

    __repr__ = __str__


def leaves(command: click.Command, *path: str) -> Iterator[Leaf]:
    """Every command below *command*, itself included when it can be called."""
    context = click.Context(command, info_name=path[-1])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            for leaf in leaves(found, *path, name):
                yield Leaf(command, leaf.path, leaf.params)
        return
    params = tuple(command.params)
    if path[-1] == "simulated-alpaca":  # it hands its arguments on
        from stealer.simulated_alpaca.cli import main as simulated

        params = tuple(simulated.params)
    yield Leaf(command, path, params)


LEAVES = [
    Leaf(root, leaf.path[1:], leaf.params)
    for root, name in ((stealer, "stealer"), (watchers, "watchers"))
    for leaf in leaves(root, name)
]


class Refused(OSError):
    """This test has no network."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, no real pause, no environment of this machine, an empty directory."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError(111, "Connection refused")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def stop(flag: StopFlag, *_: Any) -> bool:
        flag.set()
        return True

    for name in list(os.environ):
        if name.startswith(("STEALER_", "WORK_", "REDIS_", "ALPACA_", "APCA_", "CRYPTO_", "BEST_")):
            monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)
    monkeypatch.setattr(time, "sleep", interrupt)
    for waits in SLEEPERS:
        # A broker that cannot be reached is asked again, without the pause.
        pause = (lambda seconds: None) if waits is AlpacaBroker else interrupt
        monkeypatch.setitem(waits.__init__.__kwdefaults__, "sleep", pause)
    monkeypatch.setattr(StopFlag, "wait", stop)
    monkeypatch.setattr("stealer.simulated_alpaca.cli.listen", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def client() -> redis.Redis:
    """A certified account with one open order."""
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    Desk(client).open_shop().open("AAPL")
    return client


def call(root: click.Command, arguments: list[str], client: redis.Redis | None = None) -> Result:
    """One call in this process; *client* instead of a Redis that refuses connections."""
    app = None
    if client is not None:
        found = client
        app = App(connect=lambda _: found, broker=lambda _: cast(Broker, FakeBroker()))
    return CliRunner().invoke(root, arguments, obj=app, input="n\n")


def check(result: Result, arguments: object) -> None:
    """It ended in a way that is documented, and said why when it could not do it."""
    unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
    if unexpected is not None:
        raise AssertionError(f"{arguments!r} raised {unexpected!r}") from unexpected
    assert result.exit_code in EXIT_CODES, (arguments, result.exit_code)
    assert "Traceback" not in result.output, (arguments, result.output)
    assert KEYS["APCA_API_SECRET_KEY"] not in result.output
    if result.exit_code == 2:
        assert result.stderr.strip(), arguments


#: Arguments may be any bytes but NUL: Python shows those that are no UTF-8 as lone surrogates.
raw = st.binary(max_size=12).map(lambda b: b.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
values = st.one_of(words.map(lambda word: word.replace("\0", "")), raw)


@st.composite
def argument_lists(draw: st.DrawFn, leaf: Leaf) -> list[str]:
    """A call of *leaf* with some of its options, its arguments, and now and then something else."""
    given: list[str] = []
    for param in leaf.params:
        if isinstance(param, click.Argument):
            count = draw(st.sampled_from([1, 1, 1, 0, 2]))
            given += [draw(values) for _ in range(count)]
        elif isinstance(param, click.Option) and draw(st.integers(0, 3)) == 0:
            given.append(draw(st.sampled_from([*param.opts, *param.secondary_opts])))
            if not param.is_flag or draw(st.integers(0, 9)) == 0:
                good = list(param.type.choices) if isinstance(param.type, click.Choice) else []
                given.append(draw(st.sampled_from(good) if good else values))
    given += draw(st.lists(values, max_size=1))
    return [*leaf.path, *given]


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
@pytest.mark.parametrize("redis_is", ["there", "dead"])
def test_any_arguments_end_in_a_sentence_and_a_documented_code(
    leaf: Leaf, redis_is: str, client: redis.Redis
) -> None:
    @effort(25)
    @given(argument_lists(leaf))
    def attempt(arguments: list[str]) -> None:
        root = watchers if leaf.root is watchers else stealer
        there = client if redis_is == "there" and root is stealer else None
        check(call(root, arguments, there), arguments)

    attempt()


@effort(60)
@given(st.sampled_from([stealer, watchers]), st.lists(values, max_size=4))
def test_any_words_at_all(root: click.Command, arguments: list[str]) -> None:
    check(call(root, arguments), arguments)


TYPED = [
    (leaf, option)
    for leaf in LEAVES
    for option in leaf.params
    if isinstance(option, click.Option) and not option.is_flag and not option.hidden
]


@pytest.mark.parametrize(
    ("leaf", "option"), TYPED, ids=[f"{leaf} {option.opts[0]}" for leaf, option in TYPED]
)
def test_a_value_no_option_takes_is_refused_by_name(
    leaf: Leaf, option: click.Option, client: redis.Redis
) -> None:
    """Text with spaces and control characters is no number, symbol, strategy, name or address."""
    root = watchers if leaf.root is watchers else stealer
    needed = [part for param in leaf.params for part in _good(param) if param is not option]
    result = call(root, [*leaf.path, *needed, option.opts[0], "no \x01 good"], client)
    check(result, (leaf, option))
    if option.opts[0] in ANY_TEXT:
        return
    assert result.exit_code == 2, result.output
    said = re.sub(r"[-_]", "", result.stderr.lower())
    stem = re.sub(r"[-_]", "", option.opts[0].lower())
    short = stem.removesuffix("seconds").removesuffix("minutes").removeprefix("target")
    assert stem in said or short.removeprefix("forecast") in said, result.stderr


FLOATS = [(leaf, option) for leaf, option in TYPED if isinstance(option.type, FLOAT_TYPES)]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("leaf", "option"), FLOATS, ids=[f"{leaf} {option.opts[0]}" for leaf, option in FLOATS]
)
def test_no_option_takes_a_number_that_is_none_or_endless(
    leaf: Leaf, option: click.Option, number: str, client: redis.Redis
) -> None:
    root = watchers if leaf.root is watchers else stealer
    needed = [part for param in leaf.params for part in _good(param)]
    needed += ["AAPL"] if leaf.path == ("stop",) else []  # or it asks first which
    result = call(root, [*leaf.path, *needed, f"{option.opts[0]}={number}"], client)
    check(result, (leaf, option))
    assert result.exit_code == 2, result.output
    assert option.opts[0].removeprefix("--") in result.stderr


#: Options that take any text, within bounds.
ANY_TEXT = ("--ticket", "--key", "--secret", "--host", "--why", "--reason", "--config-path",
            "--status-dir")  # fmt: skip

#: Values with which a command comes as far as looking at the option under test.
GOOD = {"symbol": "AAPL", "pnl_value": "1", "limit_price": "100", "target_qty": "1",
        "shell": "bash", "reason": "a test", "claim": "AAPL", "target": "AAPL"}  # fmt: skip


def _good(param: click.Parameter) -> list[str]:
    if not param.required:
        return []
    value = GOOD.get(str(param.name), "AAPL")
    return [value] if isinstance(param, click.Argument) else [param.opts[0], value]
