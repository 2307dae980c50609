"""Every setting, with any text: valid settings, or one sentence that names the variable."""

# ruff: noqa: PT017 - an error is one of two good endings here, and its words are checked
from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.connection import URL_QUERY_ARGUMENT_PARSERS

from stealer.connect import ANSWER_SECONDS, connect
from stealer.settings import Settings, SettingsError, _specs, file_variables, variables
from tests.fuzz.effort import effort
from tests.fuzz.garbage import words

SPECS = dict(_specs())
SECRET = {spec.env for spec in SPECS.values() if spec.secret}
BY_ENV = {spec.env: (name, spec) for name, spec in SPECS.items()}

#: What somebody's password looks like; it is put into every secret and must never be shown.
PASSWORD = "hunter2-hunter2"


@effort(1500)
@given(st.sampled_from(sorted(variables())), words)
@example("STEALER_MARKET_CLOCK", "2024-01-03T00:00:00Z@" + "9" * 400 + "*1")
@example("STEALER_MARKET_CLOCK", "0001-01-01T00:00:00+23:59@0*1")
@example("ALPACA_URL", "http://[")
@example("REDIS_URL", f"redis://:{PASSWORD}@[/0")
@example("REDIS_URL", f"http://:{PASSWORD}@h/0")
@example("REDIS_URL", f"redis+sentinel://u:{PASSWORD}@h1,[::1/0")
@example("REDIS_KEY_FILE", "a.key")
@example("REDIS_CA_FILE", "ca.crt")
@example("STEALER_ACCOUNT_STALE_SECONDS", "1")
@example("STEALER_TRADING", "live")
@example("WORK_STEALING_LEVERAGE", "nan")
@example("WORK_STEALING_FIGHT_THRESHOLD", "9" * 5000)
def test_one_variable_with_any_text(name: str, text: str) -> None:
    field, spec = BY_ENV[name]
    try:
        settings = Settings.from_env({name: text})
    except SettingsError as error:
        said = str(error)
        assert name in said, said
        assert "allowed" in said
        if name in SECRET and len(text.strip()) > 3:
            assert text.strip() not in said.replace(spec.rule.allowed, "")
        return
    if text.strip():
        assert spec.rule.check(getattr(settings, field)) == getattr(settings, field)
        value, again = (
            getattr(settings, field),
            spec.rule.read(spec.rule.write(getattr(settings, field))),
        )
        same = again == pytest.approx(value) if isinstance(value, float) else again == value
        assert same, "what is stored as policy reads back the same"
    settings.policy()
    assert PASSWORD not in settings.redis_url_shown + repr(settings)


@effort(200)
@given(st.dictionaries(st.sampled_from(sorted(variables())), words, max_size=6))
def test_many_variables_at_once(environment: dict[str, str]) -> None:
    try:
        settings = Settings.from_env(environment)
    except SettingsError as error:
        assert any(name in str(error) for name in variables())
        return
    assert isinstance(settings.http_budget_seconds, float)
    settings.clock.text  # noqa: B018 - it can be made


@effort(100)
@given(st.sampled_from(sorted(file_variables())), words)
def test_the_file_of_a_secret_may_have_any_name(variable: str, path: str) -> None:
    try:
        Settings.from_env({variable: path})
    except SettingsError as error:
        assert variable in str(error)
    else:
        assert not path.strip(), "there is no such file"


@effort(100)
@given(
    st.sampled_from(sorted(file_variables())),
    st.one_of(words.map(lambda word: word.encode("utf-8", "replace")), st.binary(max_size=20)),
)
@example("REDIS_PASSWORD_FILE", b"\xff" + PASSWORD.encode())
@example("REDIS_URL_FILE", f"redis://:{PASSWORD}@[/0".encode())
@example("APCA_API_SECRET_KEY_FILE", f"{PASSWORD} {PASSWORD}".encode())
@example("APCA_API_SECRET_KEY_FILE", PASSWORD.encode() * 500)
def test_the_file_of_a_secret_may_hold_anything(variable: str, content: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "secret")
        path.write_bytes(content)
        try:
            settings = Settings.from_env({variable: str(path)})
        except SettingsError as error:
            said = str(error)
            assert variable.removesuffix("_FILE") in said
            assert PASSWORD not in said
            return
    assert content.strip(), "an empty file is no secret"
    assert PASSWORD not in settings.redis_url_shown + repr(settings)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Addresses of Redis, most of them odd in one part or two."""
    scheme = draw(st.sampled_from(["redis", "rediss", "unix", "redis+sentinel"]))
    user = draw(st.sampled_from(["", f"u:{PASSWORD}@", f":{PASSWORD}@"]))
    host = draw(st.one_of(st.sampled_from(["", "h", "h:1", "h1:1,h2", "[::1]", "a..b"]), words))
    path = draw(st.one_of(st.sampled_from(["", "/", "/0", "/mx/1", "/run/redis.sock"]), words))
    parser = st.sampled_from([*URL_QUERY_ARGUMENT_PARSERS, "encoding", "retry", "path", "host"])
    query = draw(st.lists(st.tuples(st.one_of(parser, words), words), max_size=2))
    asked = "&".join(f"{name}={value}" for name, value in query)
    return f"{scheme}://{user}{host}{path}" + (f"?{asked}" if asked else "")


@effort(600)
@given(addresses())
@example("redis://h/0?socket_timeout=nan")
@example("unix:///run/redis.sock")
@example("unix:///a%00b")
def test_any_address_of_redis_makes_a_connection_or_a_sentence(url: str) -> None:
    """Nothing is contacted: what a connection is made with must only be of use to it."""
    try:
        pool = connect(Settings.from_env({"REDIS_URL": url})).connection_pool
    except SettingsError as error:
        assert "REDIS_URL" in str(error)
        assert PASSWORD not in str(error)
        return
    pool.connection_class(**pool.connection_kwargs)
    assert pool.connection_kwargs["socket_timeout"] == ANSWER_SECONDS


@effort(200)
@given(
    st.sampled_from(sorted(SPECS)),
    st.one_of(
        words,
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.binary(max_size=4),
        st.lists(words, max_size=2),
        st.frozensets(words, max_size=2),
        st.dictionaries(words, words, max_size=1),
    ),
)
def test_any_value_given_to_the_constructor(field: str, value: Any) -> None:
    try:
        Settings(**{field: value})
    except SettingsError as error:
        # Rules between settings name the variables.
        assert field in str(error) or SPECS[field].env in str(error)
