"""The broker's figures while victims end around a snapshot, and what a snapshot is made of.

Also: which keys a script reads before its first write.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from stealer.embedded import EmbeddedServer
from stealer.errors import Underfunded
from stealer.model import Claim, State, Verdict
from tests.coordination.desk import Desk


def reserved(desk: Desk, symbol: str, pnl: float, usd: float, victims: list[str]) -> Claim:
    """The claim of a thief that is waiting for exactly these victims."""
    decision = desk.acquire(symbol, pnl, usd=usd)
    assert decision.outcome is Verdict.STEAL, (decision.reason, decision.detail)
    assert [victim.symbol for victim in decision.victims] == victims
    assert decision.claim
    return decision.claim


# ---- the broker's own figures while victims end


def test_what_a_thief_will_draw_is_nobody_elses_after_one_of_two_victims_ended(
    desk: Desk,
) -> None:
    first = desk.open("AAA", 1.0, usd=50)
    second = desk.open("BBB", 1.1, usd=50)
    desk.account(10_000, power=0)
    thief = reserved(desk, "TTT", 10.0, 100, ["AAA", "BBB"])
    desk.cancel(first)
    desk.account(10_000, power=50)  # what the first victim gave back is the thief's

    for usd in (50, 1):
        worse = desk.acquire("WWW", 0.5, usd=usd)
        assert (worse.outcome, worse.reason) == (Verdict.DENIED, "no_capacity")

    desk.cancel(second)
    assert desk.coordinator.topup(thief).outcome is Verdict.GRANTED
    desk.send(thief)
    assert desk.acquire("WWW", 0.5, usd=1).claim is None
    assert desk.charged() == 100


def test_a_top_up_after_a_snapshot_cancels_no_more_victims_than_are_really_short(
    desk: Desk,
) -> None:
    desk.account(100)  # 200 in all
    half = desk.open("AAA", 1.0, usd=100)
    desk.open("BBB", 1.1, usd=50)
    other = desk.open("CCC", 1.2, usd=50)
    desk.account(100, power=0)
    thief = reserved(desk, "TTT", 50.0, 100, ["AAA"])
    desk.cancel(half, filled=0.5)
    desk.account(100, positions=50, power=50)  # the snapshot shows what the victim gave back

    more = desk.coordinator.topup(thief)

    assert [victim.symbol for victim in more.victims] == ["BBB"], "50 are short, not 100"
    assert desk.state(other) == "open"
    desk.settle(more)
    assert desk.charged() == 150


def test_without_a_snapshot_between_a_top_up_cancels_just_as_few(desk: Desk) -> None:
    desk.account(100)
    half = desk.open("AAA", 1.0, usd=100)
    desk.open("BBB", 1.1, usd=50)
    other = desk.open("CCC", 1.2, usd=50)
    desk.account(100, power=0)
    thief = reserved(desk, "TTT", 50.0, 100, ["AAA"])
    desk.cancel(half, filled=0.5)

    more = desk.coordinator.topup(thief)

    assert [victim.symbol for victim in more.victims] == ["BBB"]
    assert desk.state(other) == "open"


def test_nothing_is_launched_beyond_the_brokers_figure_when_the_victim_filled(desk: Desk) -> None:
    victim = desk.open("AAA", 1.0, usd=100)
    desk.account(10_000, power=0)
    thief = reserved(desk, "TTT", 10.0, 100, ["AAA"])
    assert thief.fund == thief.need, "the pools have room; the broker's own figure is short"
    desk.fill(victim)

    with pytest.raises(Underfunded):
        desk.coordinator.launch(thief)
    assert desk.coordinator.topup(thief).reason == "no_capacity"

    desk.account(10_000, power=100)
    assert desk.coordinator.topup(thief).outcome is Verdict.GRANTED
    desk.send(thief)


@pytest.mark.parametrize("heir", [True, False], ids=["its own victim", "an inherited one"])
def test_a_snapshot_begun_after_the_victim_filled_draws_nothing_for_the_thief(
    desk: Desk, heir: bool
) -> None:
    victim = desk.open("AAA", 1.0, usd=100)
    desk.account(10_000, power=0)
    if heir:
        thief = reserved(desk, "TTT", 10.0, 100, ["AAA"])
    else:
        desk.coordinator.evict(victim.id, "operator")
        granted = desk.acquire("TTT", 10.0, usd=100)
        assert granted.claim
        assert granted.inherits == 1
        thief = granted.claim
    desk.fill(victim)
    desk.account(10_000, power=0)  # begins and publishes: the broker still has nothing

    with pytest.raises(Underfunded):
        desk.coordinator.launch(thief)
    assert desk.coordinator.topup(thief).reason == "no_capacity"
    with pytest.raises(Underfunded):
        desk.coordinator.launch(thief)

    desk.account(10_000, power=100)
    assert desk.coordinator.topup(thief).outcome is Verdict.GRANTED
    desk.send(thief)


def test_a_replayed_grant_still_says_that_it_counted_on_an_eviction_that_has_filled(
    desk: Desk,
) -> None:
    """Its owner tops up what inherits; from an answer without it, it would launch at once."""
    victim = desk.open("AAA", 1.0, usd=100)
    desk.account(10_000, power=0)
    desk.coordinator.evict(victim.id, "operator")
    desk.market("TTT")
    first = desk.raw_acquire("r1", "TTT", 9.5, 100)
    assert (first[0], first[7]) == ("granted", "1")
    desk.fill(victim)
    assert desk.raw_acquire("r1", "TTT", 9.5, 100) == first


# ---- what a snapshot is made of


def test_an_accounts_age_counts_from_the_beginning_of_its_reading(desk: Desk) -> None:
    sequence = desk.coordinator.begin_snapshot()
    begun = desk.client.hincrby(desk.keys.ledger, "begun_ms", -5_000)  # reading took 5 s
    assert abs(desk.coordinator.now_ms() - 5_000 - begun) < 5_000

    desk.account(10_000, sequence=sequence)

    assert int(desk.client.hget(desk.keys.ledger, "account_ms")) == begun


def test_figures_whose_reading_took_too_long_are_stale_when_published(desk: Desk) -> None:
    sequence = desk.coordinator.begin_snapshot()
    limit_ms = int(desk.settings.account_stale_seconds * 1000)
    desk.client.hincrby(desk.keys.ledger, "begun_ms", -limit_ms - 1)

    desk.account(10_000, sequence=sequence)

    assert desk.acquire("AAPL").reason == "stale_account"
    desk.account(10_000)
    assert desk.acquire("AAPL").outcome is Verdict.GRANTED


def test_a_later_certification_does_not_shorten_the_time_without_steals(desk: Desk) -> None:
    def until() -> int:
        return int(desk.client.hget(desk.keys.ledger, "no_steal_until"))

    desk.coordinator.certify(0, 300)
    first = until()
    assert first > desk.coordinator.now_ms()

    for seconds in (0, 10):
        desk.coordinator.certify(0, seconds)
        assert until() == first
    desk.coordinator.certify(0, 600)
    assert until() > first


def test_a_snapshot_drops_the_fill_of_a_claim_that_was_deleted_by_hand(
    redis_client: redis.Redis,
) -> None:
    desk = Desk(redis_client).open_shop()  # not the fixture: its charges are wrong from here on
    deleted = desk.open("AAA", usd=1_000)
    kept = desk.open("BBB", usd=1_000)
    for claim in (deleted, kept):
        desk.fill(claim, 3)
    key = desk.keys.of("claim", deleted.id)
    desk.client.delete(key)

    desk.coordinator.begin_snapshot(lag_ms=0)

    assert desk.client.zrange(desk.keys.unabsorbed, 0, -1) == [kept.id]
    assert not desk.client.exists(key), "half a claim is worse than none"
    assert desk.coordinator.claim(deleted.id) is None


# ---- keys are read before the first write

#: What a script calls that changes nothing.
READS = frozenset({"EXISTS", "GET", "HGET", "HGETALL", "HMGET", "LRANGE", "MGET", "PTTL"}) | {
    f"Z{name}" for name in ("RANGE", "RANGEBYSCORE", "RANK", "REVRANGE", "REVRANGEBYSCORE", "SCORE")
}
#: Calls without a key.
KEYLESS = frozenset({"TIME", "INFO"})


class Trace:
    """What the scripts of a real server call, by MONITOR."""

    def __init__(self, url: str, desk: Desk) -> None:
        #: Any: redis-py has no types for its monitor.
        self.watcher: Any = redis.Redis.from_url(url, decode_responses=True)
        self.desk = desk

    def calls(self, verb: Callable[[], object]) -> list[tuple[str, list[str]]]:
        """(command, keys) of each call that a script made during *verb*, in order."""
        made: list[tuple[str, list[str]]] = []
        with self.watcher.monitor() as monitor:
            verb()
            self.desk.client.echo("the verb is over")
            for seen in monitor.listen():
                if seen["command"].startswith("ECHO the verb is over"):
                    return made
                name, *rest = seen["command"].split(" ")
                if seen["client_type"] == "lua" and name.upper() not in KEYLESS:
                    made.append(
                        (name.upper(), rest if name.upper() in ("EXISTS", "MGET") else rest[:1])
                    )
        raise AssertionError("the server stopped telling")

    def unread(self, verb: Callable[[], object], *woken: str) -> set[str]:
        """Keys that were not there, and that *verb* met only after its first write.

        A migrating slot of a cluster refuses a script at the first key it has not, be it to write
        or only to read: that must come before anything has changed.

        The wake keys of waiters (the slots *woken*) are excepted: which waiter fits is known only
        from the new charges, and the ledger is saved before one is written. A script that fails
        there has done all it promised; the waiter looks again by itself at its next poll.
        """
        before = set(self.desk.client.scan_iter(f"{self.desk.keys.prefix}:*"))
        excepted = {self.desk.keys.of("wake", slot) for slot in woken}
        calls = self.calls(verb)
        first = next((i for i, (name, _) in enumerate(calls) if name not in READS), None)
        assert first is not None, "it wrote nothing: the test shows nothing"
        read = {key for _, keys in calls[:first] for key in keys}
        met = {key for _, keys in calls[first:] for key in keys}
        saved = max(i for i, (_, keys) in enumerate(calls) if keys == [self.desk.keys.ledger])
        for i, (name, keys) in enumerate(calls):
            assert name in READS or i > saved or not excepted & set(keys), "woken before the save"
        return met - before - read - excepted


@pytest.fixture(scope="module")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A cluster of one node, with all slots: elsewhere nothing is read ahead."""
    with socket.socket() as bus:  # by default 10,000 above the port, which may be too high
        bus.bind(("127.0.0.1", 0))
        port = str(bus.getsockname()[1])
    options = ("--cluster-enabled", "yes", "--databases", "1", "--cluster-port", port)
    with EmbeddedServer.start(tmp_path_factory.mktemp("cluster"), extra=options) as server:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                pass  # about a second; the test's own time limit bounds it
        yield server


@pytest.fixture
def trace(cluster_server: EmbeddedServer) -> Iterator[Trace]:
    """A small shop on a real server: 200 dollars in all."""
    with redis.Redis.from_url(cluster_server.url, decode_responses=True) as client:
        client.flushall()
        desk = Desk(client).open_shop(equity=100)
        trace = Trace(cluster_server.url, desk)
        yield trace
        trace.watcher.close()
        desk.assert_charges_equal_claims()


def forget_records(desk: Desk) -> None:
    """Delete what every desk has after a while, so that a verb must create it again."""
    for name in ("counters", "decisions", "audit"):
        desk.client.delete(getattr(desk.keys, name))
    for key in list(desk.client.scan_iter(f"{desk.keys.prefix}:wake:*")):
        desk.client.delete(key)


def a_reservation(desk: Desk) -> Claim:
    return desk.reserve("BBB", usd=50)


def a_launched(desk: Desk) -> Claim:
    claim = a_reservation(desk)
    desk.coordinator.launch(claim)
    return claim


def an_open(desk: Desk) -> Claim:
    return desk.open("BBB", usd=50)


@pytest.mark.real_server
def test_acquire_reads_all_it_may_create_before_its_first_write(trace: Trace) -> None:
    desk = trace.desk
    desk.market("AAA")
    assert trace.unread(lambda: desk.acquire("AAA", usd=200, away=None)) == set()


@pytest.mark.real_server
def test_a_steal_reads_all_it_may_create_before_its_first_write(trace: Trace) -> None:
    desk = trace.desk
    desk.open("AAA", 1.0, usd=200)
    desk.market("TTT")
    forget_records(desk)

    unread = trace.unread(lambda: desk.acquire("TTT", 10.0, usd=200, away=None))

    assert unread == set()
    assert len(desk.steals()) == 1


@pytest.mark.real_server
@pytest.mark.parametrize("filled", [0, 0.1])
def test_close_reads_all_it_may_create_even_when_it_pays_an_heir(
    trace: Trace, filled: float
) -> None:
    desk = trace.desk
    victim = desk.open("AAA", 1.0, usd=200)
    thief = reserved(desk, "TTT", 10.0, 150, ["AAA"])
    assert desk.acquire("WWW", 0.5, usd=20).claim is None  # a waiter, woken by what is left over
    order = desk.order(victim, "canceled", filled)
    forget_records(desk)

    unread = trace.unread(lambda: desk.coordinator.close(victim, order), "WWW|buy|maxdiff")

    assert unread == set()
    assert desk.now(thief).fund == thief.need
    assert desk.client.exists(desk.keys.of("wake", "TTT|buy|maxdiff"))
    assert desk.client.exists(desk.keys.of("wake", "WWW|buy|maxdiff"))


@pytest.mark.real_server
def test_launch_reads_all_it_may_create(trace: Trace) -> None:
    claim = a_reservation(trace.desk)
    forget_records(trace.desk)

    assert trace.unread(lambda: trace.desk.coordinator.launch(claim)) == set()
    assert trace.desk.client.zscore(trace.desk.keys.beats, claim.id)


@pytest.mark.real_server
def test_abort_reads_all_it_may_create_even_when_victims_lose_their_heir(trace: Trace) -> None:
    desk = trace.desk
    victim = desk.open("AAA", 1.0, usd=200)
    thief = reserved(desk, "TTT", 10.0, 200, ["AAA"])
    forget_records(desk)

    assert trace.unread(lambda: desk.coordinator.abort(thief)) == set()
    assert desk.client.zscore(desk.keys.heirless, victim.id)


@pytest.mark.real_server
def test_unlaunch_after_a_refused_steal_reads_all_it_may_create(trace: Trace) -> None:
    desk = trace.desk
    victim = desk.open("AAA", 1.0, usd=200)
    thief = reserved(desk, "TTT", 10.0, 200, ["AAA"])
    desk.cancel(victim)
    assert desk.coordinator.topup(thief).outcome is Verdict.GRANTED
    desk.coordinator.launch(thief)
    forget_records(desk)

    unread = trace.unread(lambda: desk.coordinator.unlaunch(thief, "refused", refused=True))

    assert unread == set()
    assert desk.client.exists(desk.keys.of("refused", "TTT|buy|maxdiff"))


@pytest.mark.real_server
@pytest.mark.parametrize(
    "verb", ["confirm", "confirm a fill", "evict", "condemn", "publish", "publish, nobody waits"]
)
def test_every_other_verb_that_creates_keys_reads_them_before_its_first_write(
    trace: Trace, verb: str
) -> None:
    desk = trace.desk
    claim = (
        an_open(desk) if verb in ("evict", "publish", "publish, nobody waits") else a_launched(desk)
    )
    if verb.startswith("publish"):
        desk.fill(claim, 0.2)
    if verb == "publish":
        assert desk.acquire("WWW", 0.5, usd=160).claim is None  # a waiter, woken by the account
    stray = desk.order(claim)
    filled = desk.order(claim, "partially_filled", 0.2)
    sequence = desk.coordinator.begin_snapshot(lag_ms=0)
    if verb == "condemn":
        desk.coordinator.unlaunch(claim, "not sent", refused=False)
    forget_records(desk)
    deeds: dict[str, Callable[[], object]] = {
        "confirm": lambda: desk.coordinator.confirm(claim, stray),
        "confirm a fill": lambda: desk.coordinator.confirm(claim, filled),
        "evict": lambda: desk.coordinator.evict(claim, "operator"),
        "condemn": lambda: desk.coordinator.condemn(stray, 0),
        "publish": lambda: desk.account(200, sequence=sequence),
        "publish, nobody waits": lambda: desk.account(200, sequence=sequence),
    }

    assert trace.unread(deeds[verb], "WWW|buy|maxdiff") == set()

    evicting = verb in ("evict", "condemn")
    assert desk.now(claim).state is (State.EVICTING if evicting else State.OPEN)
    if verb == "publish":
        assert desk.client.exists(desk.keys.of("wake", "WWW|buy|maxdiff"))
