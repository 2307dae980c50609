"""Passwords and keys: where they may stand, and where they are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stealer.cli.app import main as stealer
from stealer.connect import connect
from stealer.errors import LedgerMisconfigured
from stealer.settings import Settings, SettingsError
from watchers.cli import main as watchers

SECRET = "correct-horse-battery"


def test_secrets_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    names = ("REDIS_PASSWORD", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
    settings = Settings.from_env({f"{name}_FILE": str(file) for name in names})
    assert settings.redis_password == SECRET
    assert settings.alpaca_key_id == settings.alpaca_secret_key == SECRET
    assert connect(settings).get_connection_kwargs()["password"] == SECRET
    assert SECRET not in repr(settings)
    file.write_text(f"redis://u:{SECRET}@h:1/0")
    assert Settings.from_env({"REDIS_URL_FILE": str(file)}).redis_url_shown == "redis://u:***@h:1/0"


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "No such file"), (b"", "the secret alone"), (b"\xff\xfe", "no text"),
     (b"x" * 5000, "the secret alone"), (b"two words", "REDIS_PASSWORD=(hidden)")],
)  # fmt: skip
def test_a_bad_file_is_a_sentence(tmp_path: Path, content: bytes | None, word: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"REDIS_PASSWORD_FILE": str(file)})
    assert word in str(refused.value)
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"REDIS_PASSWORD": SECRET, "REDIS_PASSWORD_FILE": "x"}, "both set"),
        ({"REDIS_PASSWORD": SECRET, "REDIS_URL": f"redis://u:{SECRET}@h/0"}, "both hold"),
        ({"REDIS_CA_FILE": "ca.crt"}, "rediss://"),
        ({"REDIS_CERT_FILE": "c.crt", "REDIS_URL": "rediss://h/0"}, "belong together"),
    ],
)
def test_contradictions_are_refused(environ: dict[str, str], word: str) -> None:
    with pytest.raises(SettingsError, match=word) as refused:
        Settings.from_env(environ)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}/x@host/0",  # would be taken for host and path
        f"redis://:1/{SECRET}@host/0",  # a port, and a path
        f"redis://:1#{SECRET}@host/0",
        f"redis://:1?{SECRET}@host/0",
        f"redis://:{SECRET}\x1b[2J@host/0",
    ],
)
def test_a_password_that_breaks_the_address_is_neither_used_nor_shown(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"REDIS_URL": url})
    assert SECRET not in str(refused.value)
    assert "%2F" in str(refused.value)


def test_an_address_of_the_broker_takes_no_user_and_shows_none() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"ALPACA_URL": f"http://me:{SECRET}@127.0.0.1:1"})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("query", ["", "?password=" + SECRET, "?ssl_keyfile=" + SECRET])
def test_shown_addresses_hold_no_secret(query: str) -> None:
    shown = Settings(redis_url=f"rediss://u:{SECRET}@h:1/0{query}").redis_url_shown
    assert shown == "rediss://u:***@h:1/0"


def test_tls_files_reach_the_connection_and_must_be_there(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.touch()
    options = connect(
        Settings(redis_url="rediss://h/0", redis_ca_file=str(ca))
    ).get_connection_kwargs()
    assert options["ssl_ca_certs"] == str(ca)
    with pytest.raises(LedgerMisconfigured, match="REDIS_CA_FILE"):
        connect(Settings(redis_url="rediss://h/0", redis_ca_file=str(tmp_path / "none")))


@pytest.mark.parametrize("command", [stealer, watchers])
def test_no_password_on_a_command_line(command: object, tmp_path: Path) -> None:
    plan = tmp_path / "p.toml"
    plan.write_text('[[entry]]\nsymbol = "AAPL"\nlimit_price = 1\ntarget_qty = 1\n')
    words = ["status"] if command is stealer else ["run", str(plan)]
    result = CliRunner().invoke(
        command,  # type: ignore[arg-type]
        [*words, "--redis-url", f"redis://u:{SECRET}@127.0.0.1:1/0"],
    )
    assert result.exit_code == 2, result.output
    assert "REDIS_PASSWORD_FILE" in result.output
    assert SECRET not in result.output
