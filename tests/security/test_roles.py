"""Each role on a real server with exactly its rights: all of its work, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
import redis
from click.testing import CliRunner, Result
from redis.utils import str_if_bytes

from stealer import access
from stealer.access import Role, needs, user_line, user_name
from stealer.broker.interface import Broker
from stealer.cli.app import main
from stealer.cli.context import App
from stealer.doctor.entrance import FORBIDDEN
from stealer.errors import LedgerMisconfigured, LedgerUnavailable
from stealer.exit_records import ExitRecords, Progress
from stealer.keeper.keeper import Keeper
from stealer.model import OrderIntent, State
from stealer.scripts import function_library, included, verbs
from tests.coordination.desk import Desk
from tests.keeper.account import AccountBroker
from tests.security.conftest import ACCOUNT, Guarded
from tests.support import ManualClock
from watchers.cli import main as watchers

pytestmark = pytest.mark.real_server

STEM = f"stealer:{{{ACCOUNT}}}"


def test_every_right_is_known_to_redis_7_0(guarded: Guarded) -> None:
    """A server refuses to start by users with a command that it does not know."""
    rights = {
        right
        for role in Role
        for right in re.findall(r"\+([a-z|]+)", user_line(role, ACCOUNT, None))
    }
    newer = []
    for right in rights:
        command, _, sub = right.partition("|")
        docs = flat(flat(guarded.admin.execute_command("COMMAND DOCS", command))[command])
        found = flat(docs["subcommands"])[right] if sub else docs
        if tuple(map(int, str_if_bytes(flat(found)["since"]).split("."))) > (7, 0, 0):
            newer.append(right)
    assert len(rights) > 40
    assert newer == []


def flat(reply: Any) -> dict[str, Any]:
    """A reply of names and values in turn as a dictionary; what is in it is left as it is."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {str_if_bytes(name): value for name, value in pairs}


def keeper_of(guarded: Guarded, broker: AccountBroker, clock: ManualClock) -> Keeper:
    return Keeper(
        guarded.coordinator(Role.KEEPER),
        cast(Broker, broker),
        lease_seconds=300,
        sleep=clock.advance,
        pause=clock.advance,
        monotonic=clock.time,
    )


def kept(guarded: Guarded, clock: ManualClock) -> tuple[Keeper, AccountBroker, Desk]:
    """A keeper that has certified and published, and a desk of watchers."""
    broker = AccountBroker()
    keeper = keeper_of(guarded, broker, clock)
    keeper.run_once()
    clock.advance(60)
    assert keeper.run_once()
    keeper.coordinator.publish_session(True, 3600, keeper.leadership.term or 0)
    return keeper, broker, Desk(guarded.client(Role.WATCHER))


def market(keeper: Keeper, symbol: str, price: float) -> None:
    keeper.coordinator.publish_quote(symbol, price, price)


def test_an_exit_watcher_reads_and_keeps_all_its_records(
    guarded: Guarded, manual_clock: ManualClock
) -> None:
    _, _, desk = kept(guarded, manual_clock)
    exits = ExitRecords(desk.coordinator)

    assert not exits.ticket_fills("a ticket", "AAPL", "buy", "maxdiff").known
    assert not exits.is_watched("a ticket")
    exits.keep_progress("a ticket", Progress(3))
    assert exits.progress("a ticket").number == 3
    assert exits.heard("x_paper_1") is None


def test_a_watcher_and_a_keeper_do_all_their_work(
    guarded: Guarded, manual_clock: ManualClock
) -> None:
    keeper, broker, desk = kept(guarded, manual_clock)
    watcher = desk.coordinator
    watcher.watch(["AAPL", "MSFT", "TSLA"], 60)
    watcher.publish_forecast("AAPL", "maxdiff", 1.0, ttl_seconds=60)
    assert watcher.task("a ticket", 60).filled_qty == 0

    market(keeper, "AAPL", 102)
    victim = watcher.acquire(OrderIntent("AAPL", "buy", 150, 100), ticket="a ticket").claim
    assert victim
    watcher.launch(victim)
    assert watcher.confirm(victim, broker.match(victim)) is State.OPEN
    assert watcher.heartbeat(victim).state == "open"
    watcher.report({"symbol": "AAPL", "strategy": "maxdiff"}, tier="normal")
    assert watcher.standing("AAPL", "maxdiff").rank == 0
    assert watcher.claims().keys() == {victim.id}
    assert watcher.get_steal_candidates()[0].id == victim.id
    assert not watcher.is_protected(victim.id)

    market(keeper, "MSFT", 100)
    decision = watcher.acquire(OrderIntent("MSFT", "buy", 150, 100, forecasted_pnl=9))
    assert [v.symbol for v in decision.victims] == ["AAPL"]
    assert decision.claim
    ended = broker.execute(victim.id, 10)
    broker.orders[victim.id] = ended = broker.put(
        victim.id, id=ended.id, qty=victim.qty, filled_qty=ended.filled_qty, status="canceled"
    )
    assert watcher.close(victim, ended) > 0
    assert watcher.wait("MSFT|buy|maxdiff", 0.5), "the heir was woken"
    assert watcher.task("a ticket", 60).filled_qty == 10
    # Ten of AAPL were bought meanwhile: what they cost is missing, so this one gives up.
    watcher.abort(decision.claim)

    market(keeper, "TSLA", 100)
    sent = watcher.acquire(OrderIntent("TSLA", "buy", 5, 100)).claim
    assert sent
    watcher.launch(sent)
    watcher.unlaunch(sent, "refused", refused=True)
    again = watcher.acquire(OrderIntent("MSFT", "buy", 5, 100)).claim
    assert again
    watcher.launch(again)
    watcher.confirm(again, broker.match(again))
    other = guarded.coordinator(Role.WATCHER)
    other.owner = "a restarted watcher"
    adopted = other.adopt("MSFT|buy|maxdiff", 0)
    assert adopted
    assert adopted.id == again.id
    assert other.evict(adopted, "stopped")[0] == "evicting"
    watcher.forget_report()

    # A whole pass: account, orders, mends, quotes, sweep, pruning.
    broker.put("mx_paper_stray", "AAPL")
    manual_clock.advance(60)
    assert keeper.run_once()
    assert keeper.coordinator.missing_rights(Role.KEEPER) == []
    assert watcher.missing_rights(Role.WATCHER) == []
    keeper.leadership.release()


def test_a_watcher_reads_what_all_watchers_report_and_only_an_operator_stops_them(
    guarded: Guarded,
) -> None:
    watcher = guarded.coordinator(Role.WATCHER)
    moved = {"watcher": "apple", "symbol": "AAPL", "phase": "open"}
    report = {"symbol": "AAPL", "strategy": "maxdiff", "name": "apple", "phase": "open"}
    assert watcher.report(report, "normal", [moved]) == ""

    def call(role: Role, *arguments: str) -> Result:
        app = App(connect=lambda _: guarded.client(role), program="watchers")
        return CliRunner().invoke(watchers, [*arguments, "--account", ACCOUNT], obj=app)

    for role in (Role.WATCHER, Role.OPERATOR):
        assert "apple" in call(role, "list").stdout
        assert "apple AAPL" in call(role, "logs").stdout
    denied = call(Role.WATCHER, "stop", "apple", "--yes", "--timeout", "1")
    assert denied.exit_code == 3
    assert "lacks a right" in denied.stderr
    assert watcher.report(report) == ""
    asked, refused = (fields for _, fields in guarded.client(Role.OPERATOR).xrange(f"{STEM}:audit"))
    assert (asked["what"], asked["why"]) == ("stop", "apple")
    assert refused["what"] == "stop-refused"
    assert refused["why"].startswith("apple: the Redis user lacks a right")
    late = call(Role.OPERATOR, "stop", "apple", "--yes", "--timeout", "1")
    assert "apple (:0), which was silent" in late.stderr
    assert watcher.report(report), "the watcher's user may read who asks"
    with pytest.raises(redis.exceptions.NoPermissionError):
        guarded.client(Role.WATCHER).set(f"{STEM}:stop:{watcher.owner}", "me")


NOT_FOR_THEM: list[Callable[[Any], Any]] = [
    lambda r: r.flushall(),
    lambda r: r.flushdb(),
    lambda r: r.config_get("maxmemory"),
    lambda r: r.config_set("maxmemory-policy", "allkeys-lru"),
    lambda r: r.keys("*"),
    lambda r: r.scan(),
    lambda r: r.shutdown(nosave=True),
    lambda r: r.eval("return 1", 0),
    lambda r: r.evalsha("0" * 40, 0),
    lambda r: r.execute_command("ACL", "LIST"),
    lambda r: r.acl_setuser("default", enabled=False),
    lambda r: r.client_list(),
    lambda r: r.execute_command("MONITOR"),
    lambda r: r.function_flush(),
    lambda r: r.function_delete(function_library()[0]),
    lambda r: r.rename(f"{STEM}:ledger", f"{STEM}:claims"),
    lambda r: r.delete(f"{STEM}:ledger"),
    lambda r: r.expire(f"{STEM}:ledger", 1),
    lambda r: r.pexpire(f"{STEM}:ledger", 1),
    lambda r: r.set(f"{STEM}:ledger", "x"),
    lambda r: r.set(f"{STEM}:steals", "x"),
    lambda r: r.xtrim(f"{STEM}:steals", 0),
    lambda r: r.hgetall("stealer:{live}:ledger"),
    lambda r: r.hset("stealer:{live}:ledger", "limit_total", "1"),
    lambda r: r.get("stealer:{paper2}:keeper"),
    lambda r: r.publish("anything", "x"),
    lambda r: r.execute_command("REPLICAOF", "NO", "ONE"),
    lambda r: r.execute_command("SAVE"),
]


@pytest.mark.parametrize("role", [Role.WATCHER, Role.KEEPER, Role.VIEWER])
def test_nobody_but_the_operator_does_what_is_dangerous(guarded: Guarded, role: Role) -> None:
    client = guarded.client(role)
    for forbidden in NOT_FOR_THEM:
        with pytest.raises(redis.exceptions.NoPermissionError):
            forbidden(client)


@pytest.mark.parametrize("role", Role)
def test_what_is_forbidden_is_the_operators_alone(guarded: Guarded, role: Role) -> None:
    """Also what a server's own switches refuse before rights are looked at."""
    for command in FORBIDDEN:
        answer = guarded.admin.execute_command("ACL", "DRYRUN", user_name(role, ACCOUNT), *command)
        assert (answer == b"OK") == (role is Role.OPERATOR), command


@pytest.mark.parametrize(
    "write",
    [
        lambda r: r.hset(f"{STEM}:policy", "leverage", "4"),
        lambda r: r.delete(f"{STEM}:policy"),
        lambda r: r.hset(f"{STEM}:quotes", "AAPL", "1 1 1"),
        lambda r: r.set(f"{STEM}:keeper", "me"),
        lambda r: r.function_load(function_library()[1], replace=True),
    ],
)
def test_what_is_the_keepers_no_watcher_writes(
    guarded: Guarded, write: Callable[[Any], Any]
) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        write(guarded.client(Role.WATCHER))
    write(guarded.client(Role.KEEPER))


def test_the_viewer_reads_cooldowns_and_nothing_else(guarded: Guarded) -> None:
    guarded.admin.set(f"{STEM}:cooldown:ETHUSD", "ETHUSD stolen by BTCUSD", ex=300)
    guarded.admin.set("stealer:{live}:cooldown:ETHUSD", "another account's", ex=300)
    guarded.admin.set(f"{STEM}:fight:BTCUSD:ETHUSD", "x")
    viewer = guarded.client(Role.VIEWER)
    assert viewer.get(f"{STEM}:cooldown:ETHUSD") == "ETHUSD stolen by BTCUSD"
    assert 290 < viewer.ttl(f"{STEM}:cooldown:ETHUSD") <= 300
    assert viewer.exists(f"{STEM}:cooldown:UNIUSD") == 0
    refused: list[Callable[[], Any]] = [
        lambda: viewer.get("stealer:{live}:cooldown:ETHUSD"),
        lambda: viewer.get(f"{STEM}:fight:BTCUSD:ETHUSD"),
        lambda: viewer.hgetall(f"{STEM}:ledger"),
        lambda: viewer.delete(f"{STEM}:cooldown:ETHUSD"),
        lambda: viewer.set(f"{STEM}:cooldown:ETHUSD", "x"),
        lambda: viewer.fcall(f"{function_library()[0]}_identity", 1, STEM, ""),
        lambda: viewer.hlen(f"{STEM}:policy"),
    ]
    for forbidden in refused:
        with pytest.raises(redis.exceptions.NoPermissionError):
            forbidden()


def test_the_operator_steers_and_may_flush_and_configure(
    guarded: Guarded, manual_clock: ManualClock
) -> None:
    keeper, broker, _ = kept(guarded, manual_clock)
    app = App(
        connect=lambda settings: guarded.client(Role.OPERATOR),
        broker=lambda settings: cast(Broker, broker),
    )
    for words in (
        ["status"], ["orders"], ["candidates"], ["cooldowns"], ["fights"], ["steals"], ["audit"],
        ["halt", "--why", "lunch"], ["resume"], ["forecasts", "set", "AAPL", "2"],
        ["forecasts", "list"], ["forecasts", "remove", "AAPL"],
    ):  # fmt: skip
        result = CliRunner().invoke(main, words, obj=app, input="y\n")
        assert result.exit_code == 0, (words, result.output)
    operator = guarded.client(Role.OPERATOR)
    assert operator.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(redis.exceptions.NoPermissionError):
        operator.hgetall("stealer:{live}:ledger")
    assert operator.flushall()
    keeper.coordinator.client.close()


# ---- the rights are complete, and missing ones are seen before anything is written


def test_every_call_of_every_script_is_understood() -> None:
    """INFO, TIME and WAIT have no key; a call whose key cannot be told would be granted blindly."""
    for verb in verbs():
        for source in included(verb):
            code = re.sub(r"--\[\[.*?\]\]|--[^\n]*", "", source, flags=re.DOTALL)
            calls = re.findall(r"redis\.p?call\b", code)
            known = list(access._CALL.finditer(code))
            assert len(known) == len(calls), verb
            for call in known:
                found = access._calls_in(code[call.start() :] if not call[3] else code)
                assert any(command == call[1] for command, _ in found), (verb, call[0])
    keyless = {command for command, name in needs(Role.KEEPER) if not name}
    assert keyless == {"INFO", "TIME", "WAIT"}
    assert verbs()
    assert set(verbs()) >= access.WATCHER_VERBS


@pytest.mark.parametrize("role", [Role.WATCHER, Role.KEEPER])
def test_each_right_that_is_taken_away_is_named_and_nothing_is_begun(
    guarded: Guarded, manual_clock: ManualClock, role: Role
) -> None:
    kept(guarded, manual_clock)
    before = guarded.everything()
    for command in sorted({command for command, _ in needs(role)} - {"TIME"}):
        name = guarded.make(role, f"-{command.lower()}")
        if command in access._BOUND:  # granted by a selector of its own
            guarded.make(role, "clearselectors")
            for bound in set(access._BOUND) - {command}:
                guarded.admin.execute_command("ACL", "SETUSER", name, f"+{bound.lower()}")
        coordinator = guarded.coordinator(role)
        with pytest.raises(LedgerMisconfigured, match=rf"lacks a right.*\b{command}\b"):
            coordinator.require_rights(role)
    assert guarded.everything() == before


@pytest.mark.parametrize("missing", ["xadd", "zrem", "set", "hincrby", "pexpire"])
def test_a_steal_without_a_right_is_refused_before_its_first_write(
    guarded: Guarded, manual_clock: ManualClock, missing: str
) -> None:
    keeper, broker, desk = kept(guarded, manual_clock)
    market(keeper, "AAPL", 102)
    victim = desk.coordinator.acquire(OrderIntent("AAPL", "buy", 150, 100)).claim
    assert victim
    desk.coordinator.launch(victim)
    desk.coordinator.confirm(victim, broker.match(victim))
    market(keeper, "MSFT", 100)
    bound = missing.upper() in access._BOUND
    guarded.make(Role.WATCHER, f"-{missing}", *(["clearselectors"] if bound else []))
    before = guarded.everything()
    thief = guarded.coordinator(Role.WATCHER)
    with pytest.raises(LedgerMisconfigured, match="DEL" if bound else missing.upper()):
        thief.acquire(OrderIntent("MSFT", "buy", 150, 100, forecasted_pnl=9))
    assert guarded.everything() == before


def test_a_missing_key_is_seen_too(guarded: Guarded) -> None:
    guarded.coordinator(Role.KEEPER).server()
    name = guarded.make(Role.WATCHER)
    guarded.admin.execute_command("ACL", "SETUSER", name, "resetkeys", f"~{STEM}", f"%R~{STEM}:*")
    with pytest.raises(LedgerMisconfigured, match=r"lacks a right.*HDEL stealer:{paper}:slots"):
        guarded.coordinator(Role.WATCHER).acquire(OrderIntent("AAPL", "buy", 1, 100))


def test_rights_are_asked_for_once(guarded: Guarded, manual_clock: ManualClock) -> None:
    *_, desk = kept(guarded, manual_clock)
    guarded.admin.config_resetstat()
    for _ in range(3):
        desk.coordinator.acquire(OrderIntent("AAPL", "buy", 1, 100))
    assert guarded.admin.info("commandstats")["cmdstat_fcall"]["calls"] == 4


def test_a_watcher_without_the_library_waits_for_a_keeper_to_load_it(guarded: Guarded) -> None:
    guarded.admin.function_flush()
    watcher = guarded.coordinator(Role.WATCHER)
    with pytest.raises(LedgerUnavailable, match="start a keeper of the same version"):
        watcher.acquire(OrderIntent("AAPL", "buy", 1, 100))
    guarded.coordinator(Role.KEEPER).server()
    assert watcher.acquire(OrderIntent("AAPL", "buy", 1, 100)).reason == "uncertified"


def test_accounts_share_no_user() -> None:
    assert user_name(Role.WATCHER, "paper") != user_name(Role.WATCHER, "live")
    assert "{live}" not in user_line(Role.WATCHER, "paper", None)
