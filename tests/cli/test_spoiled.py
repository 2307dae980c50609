"""Whatever somebody wrote into Redis: a sentence that names the key, never a traceback."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stealer.cli.commands.records import steal_line
from stealer.cli.commands.status import screen
from stealer.cli.commands.why import screen as why_screen
from stealer.cli.operator import Operator
from stealer.cli.out import Out
from stealer.cli.views.account import account
from stealer.cli.views.records import steals
from stealer.cli.views.why import why
from stealer.keyspace import FIXED
from tests.cli.conftest import Desk

READERS = [
    ("status",),
    ("orders",),
    ("candidates",),
    ("candidates", "NVDA"),
    ("why", "AAPL"),
    ("cooldowns",),
    ("fights",),
    ("steals",),
    ("audit",),
    ("forecasts", "list"),
    ("release", "AAPL"),
]


def every_reader(desk: Desk) -> list[str]:
    """Run them all; what they said. `catch_exceptions=False` makes a traceback a failure."""
    said = []
    for arguments in READERS:
        result = desk.run(*arguments, input="n\n")
        assert result.exit_code in (0, 1, 2, 3), (arguments, result.output)
        assert "Traceback" not in result.output
        said.append(result.output)
    return said


@pytest.mark.parametrize("name", sorted(FIXED))
def test_a_key_of_the_wrong_type_is_named(busy: Desk, name: str) -> None:
    key = busy.key(FIXED[name][0])
    busy.client.delete(key)
    if name == "keeper":
        busy.client.lpush(key, "x")
    else:
        busy.client.set(key, "somebody's own")
    said = every_reader(busy)
    if name not in ("deadlines", "beats", "unabsorbed", "heirless", "watched", "dry_steals",
                    "forecasts_crypto", "placed", "placed_exits", "replicated",
                    "transitions"):  # fmt: skip
        assert any(key in text for text in said), name


MEMBERS = (
    "limit_total",
    "account_ms",
    "session_until",
    "halted",
    "cooldown_seconds",
    "crypto_symbols",
    "granted_total",
    "AAPL",
    "AAPL|buy|maxdiff",
    "AAPL|maxdiff",
)


@pytest.mark.parametrize("garbage", ["", "not a number", "{]", "nan", "9" * 400, "\x1b[2J"])
@pytest.mark.parametrize("spared", ["ledger", "policy", "slots"])
def test_garbage_in_every_hash_but_one_is_no_traceback(
    busy: Desk, spared: str, garbage: str
) -> None:
    for name, (suffix, description) in FIXED.items():
        if description.startswith("Hash") and name != spared:
            busy.client.hset(busy.key(suffix), mapping=dict.fromkeys(MEMBERS, garbage))
    assert not any("\x1b" in text for text in every_reader(busy))


@pytest.mark.parametrize("field", ["state", "qty", "limit", "need", "created_ms", "pnl", "symbol"])
@pytest.mark.parametrize("garbage", [None, "", "x", "nan"])
def test_a_claim_with_a_spoiled_field_does_not_hide_the_others(
    busy: Desk, field: str, garbage: str | None
) -> None:
    claim_id = busy.coordinator.claim_ids()[2]
    key = busy.key(f"claim:{claim_id}")
    if garbage is None:
        busy.client.hdel(key, field)
    else:
        busy.client.hset(key, field, garbage)
    every_reader(busy)
    result = busy.run("orders")
    assert result.exit_code == 0
    assert "AAPL" in result.stdout
    assert "MSFT" in result.stdout


@pytest.mark.parametrize("how", ["missing", "string"])
def test_a_claim_that_is_listed_but_is_none(busy: Desk, how: str) -> None:
    key = busy.key(f"claim:{busy.coordinator.claim_ids()[2]}")
    busy.client.delete(key)
    if how == "string":
        busy.client.set(key, "x")
    said = every_reader(busy)
    assert any(key in text or key.rpartition(":")[2] in text for text in said)


def test_timer_keys_of_the_wrong_type_are_reported_beside_the_others(busy: Desk) -> None:
    busy.client.lpush(busy.key("cooldown:TSLA"), "x")
    busy.client.set(busy.key("cooldown:MSFT"), "for ever")
    busy.client.lpush(busy.key("recent:A:B"), "x")
    result = busy.run("cooldowns")
    assert "MSFT cannot be stolen from" in result.stdout
    assert "for ever" in result.stdout
    assert busy.key("cooldown:TSLA") in result.stderr
    assert busy.key("recent:A:B") in busy.run("fights").stderr


def test_bytes_that_are_no_text(busy: Desk) -> None:
    key = busy.key("claim:" + busy.coordinator.claim_ids()[2])
    busy.client.hset(key, "owner", b"\xff\xfe")
    busy.client.hset(busy.key("watchers"), b"\xff", b"\xfe")
    busy.client.set(busy.key("cooldown:F"), b"\xff\xfe")
    every_reader(busy)


def test_a_stream_entry_with_other_fields(busy: Desk) -> None:
    busy.client.xadd(busy.key("steals"), {"hello": "\x1b[31mworld"})
    busy.client.xadd(busy.key("audit"), {"hello": "world"})
    assert not any("\x1b" in text for text in every_reader(busy))


def test_what_somebody_wrote_cannot_steer_a_terminal(busy: Desk) -> None:
    steer = "\x1b[2Jgone"
    busy.client.set(busy.key("keeper"), steer, px=60_000)
    busy.client.hset(busy.key("ledger"), "halted", steer)
    busy.client.hset(busy.key("policy"), "cooldown_seconds", steer)
    busy.client.hset(busy.key("decisions"), f"AAPL|buy|{steer}", f"1 denied {steer} {steer}")
    busy.client.xadd(busy.key("steals"), {"thief": steer, "at": steer})
    ledger, out, file = Operator(busy.client, busy.settings), Out(), io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=120)
    console.print(screen(out, account(ledger)))
    for part in (*map(why_screen, why(ledger, "AAPL")), *map(steal_line, steals(ledger, 5))):
        console.print(part)
    assert "gone" in file.getvalue()
    assert "\x1b" not in file.getvalue()
