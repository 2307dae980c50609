"""acquire: its refusals, its replay, and who is served first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import redis

from stealer.model import InvalidIntent, Verdict
from stealer.settings import Settings
from tests.coordination.desk import Desk


def full(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=20_000)


def halted(desk: Desk) -> None:
    desk.coordinator.halt("lunch", "alice")


def in_a_fight(desk: Desk) -> None:
    full(desk)
    desk.client.set(desk.keys.of("fight", "AAPL", "MSFT"), "they fought", px=60_000)


def cooling(desk: Desk) -> None:
    full(desk)
    desk.client.set(desk.keys.of("cooldown", "AAPL"), "stolen", px=60_000)


def no_budget(desk: Desk) -> None:
    """Only cancels may still use what the broker takes in this minute."""
    full(desk)
    ends = desk.coordinator.now_ms() + 30_000
    fields = {"known": 1, "limit": 20, "used": 19, "ends": ends}
    desk.client.hset(desk.keys.budget, mapping=fields)


def only_own_symbol(desk: Desk) -> None:
    desk.open("MSFT", pnl=0.1, usd=20_000, strategy="other")


REFUSALS: dict[str, tuple[Callable[[Desk], object], dict[str, object], str]] = {
    "another server": (Desk.another_server, {}, "uncertified"),
    "halted": (halted, {}, "halted"),
    "an old account": (lambda desk: desk.age_account(16), {}, "stale_account"),
    "no API budget": (no_budget, {}, "no_budget"),
    "no quote": (lambda desk: None, {"away": None}, "stale_quote"),
    "slot taken": (lambda desk: desk.reserve("MSFT", usd=10), {}, "duplicate"),
    "nothing open": (lambda desk: desk.reserve("AAPL", usd=20_000), {}, "no_capacity"),
    "only its own symbol": (only_own_symbol, {}, "no_capacity"),
    "too far": (full, {"away": 0.01}, "not_close_enough"),
    "no better": (full, {"pnl": 1.1}, "pnl_not_better"),
    "a fight": (in_a_fight, {}, "fight"),
    "a cooldown": (cooling, {}, "cooldown"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_names_its_reason_and_changes_no_charge(desk: Desk, case: str) -> None:
    arrange, intent, reason = REFUSALS[case]
    arrange(desk)
    before = desk.everything()
    options: dict[str, object] = {"pnl": 9.0, "usd": 1_000}
    decision = desk.acquire("MSFT", **(options | intent))  # type: ignore[arg-type]
    assert (decision.outcome, decision.reason) == (Verdict.DENIED, reason)
    assert decision.claim is None
    after = desk.everything()
    for key in (desk.keys.ledger, desk.keys.claims, desk.keys.open, desk.keys.slots):
        assert after.get(key) == before.get(key)
    if reason != "uncertified":
        assert desk.counter(f"denied:{reason}") == 1


def test_before_anything_was_certified_all_is_denied(redis_client: redis.Redis) -> None:
    desk = Desk(redis_client)
    assert desk.acquire("AAPL").reason == "uncertified"
    desk.coordinator.certify()
    assert desk.acquire("AAPL").reason == "stale_account", "no snapshot was ever published"


def test_too_many_candidates_is_said_and_not_silently_stopped(redis_client: redis.Redis) -> None:
    desk = Desk(redis_client, Settings(max_candidates=2)).open_shop(equity=10_000)
    for symbol in ("A", "B"):
        desk.open(symbol, pnl=1.0, usd=1_000, mode="probe")
    desk.open("C", pnl=2.0, usd=18_000)
    assert desk.acquire("MSFT", pnl=9.0).reason == "too_many_candidates"
    desk.account(equity=20_000)
    assert desk.acquire("MSFT", pnl=9.0), "it does not matter when there is room"


def test_a_replayed_grant_is_the_same_claim(desk: Desk) -> None:
    desk.market("AAPL")
    first = desk.raw_acquire("r1", "AAPL", 1.5, 1_000)
    before = desk.everything()
    assert desk.raw_acquire("r1", "AAPL", 1.5, 1_000) == first
    assert desk.everything() == before
    assert desk.raw_acquire("r2", "AAPL", 1.5, 1_000)[:2] == ["denied", "duplicate"]
    assert desk.charged() == 1_000


def test_a_replayed_steal_has_the_same_victims_and_one_stream_entry(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=10_000)
    desk.open("TSLA", pnl=1.0, usd=10_000)
    desk.market("MSFT")
    first = desk.raw_acquire("r1", "MSFT", 9.5, 15_000)
    assert first[0] == "steal"
    before = desk.everything()
    assert desk.raw_acquire("r1", "MSFT", 9.5, 15_000) == first
    assert desk.everything() == before
    assert len(desk.steals()) == desk.counter("work_steal_success_total") == 1


def test_a_replayed_grant_that_inherits_says_the_same(desk: Desk) -> None:
    claim = desk.open("AAPL", pnl=1.0, usd=20_000)
    desk.coordinator.evict(claim.id, "operator", by="alice")
    desk.market("MSFT")
    first = desk.raw_acquire("r1", "MSFT", 9.5, 1_000)
    assert (first[0], first[7], first[9:]) == ("granted", "1", [])
    before = desk.everything()
    assert desk.raw_acquire("r1", "MSFT", 9.5, 1_000) == first
    assert desk.everything() == before


def test_a_replay_survives_a_pnl_without_decimals(desk: Desk) -> None:
    desk.market("AAPL")
    first = desk.raw_acquire("r1", "AAPL", 10.0, 1_000)
    assert float(first[6]) == 10.0
    again = desk.raw_acquire("r1", "AAPL", 10.0, 1_000)
    assert [float(again[6]), *again[:6]] == [10.0, *first[:6]]


def test_a_late_copy_of_a_grant_whose_claim_ended_is_granted_nothing(desk: Desk) -> None:
    """A server that was stopped for seconds, or a proxy, may deliver a lost call after all."""
    desk.market("AAPL")
    granted = desk.raw_acquire("r1", "AAPL", 1.5, 1_000)
    desk.coordinator.abort(desk.now(granted[1]))
    before = desk.everything()
    assert desk.raw_acquire("r1", "AAPL", 1.5, 1_000)[:2] == ["denied", "duplicate"]
    assert desk.everything() == before


def test_a_late_copy_of_a_refusal_is_refused_the_same_though_there_is_room_now(desk: Desk) -> None:
    victim = desk.open("AAPL", pnl=5.0, usd=20_000)
    desk.market("MSFT")
    refused = desk.raw_acquire("r1", "MSFT", 1.0, 1_000)
    assert refused[:2] == ["denied", "pnl_not_better"]
    desk.release(victim)
    before = desk.everything()
    assert desk.raw_acquire("r1", "MSFT", 1.0, 1_000)[:3] == refused[:3]
    assert desk.everything() == before
    assert desk.raw_acquire("r2", "MSFT", 1.0, 1_000)[0] == "granted"


def test_a_late_copy_of_an_earlier_request_than_the_last_is_granted_nothing(desk: Desk) -> None:
    """Its answer is not remembered any more, but one that was asked after it was answered."""
    desk.market("AAPL")
    early, late = "5a5a5a5a.desk.1", "77777777.desk.2"
    desk.coordinator.abort(desk.now(desk.raw_acquire(late, "AAPL", 1.5, 1_000)[1]))
    before = desk.everything()
    assert desk.raw_acquire(early, "AAPL", 1.5, 1_000)[:2] == ["denied", "duplicate"]
    assert desk.everything() == before
    assert desk.raw_acquire("5a5a5a5a.another.1", "AAPL", 1.5, 1_000)[0] == "granted"


# ---- waiters


def wait(desk: Desk, symbol: str, pnl: float, usd: int) -> None:
    assert desk.acquire(symbol, pnl=pnl, usd=usd, away=0.01).reason == "not_close_enough"


def test_free_capacity_goes_to_the_best_waiter_that_fits(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=5.0, usd=20_000)
    wait(desk, "TSLA", 4.0, 20_000)
    desk.release(aapl)
    assert desk.client.llen(desk.keys.of("wake", "TSLA|buy|maxdiff")) == 1
    refused = desk.acquire("MSFT", pnl=3.0)
    assert (refused.reason, refused.detail.split()[0]) == ("yield", "TSLA|buy|maxdiff")
    assert desk.charged() == 0
    assert desk.acquire("NVDA", pnl=4.5), "a better one need not yield"
    assert desk.acquire("MSFT", pnl=3.0), "TSLA does not fit any more and blocks nobody"
    assert desk.charged() == 2_000


def test_a_waiter_that_stopped_asking_blocks_nobody(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=5.0, usd=20_000)
    wait(desk, "TSLA", 4.0, 20_000)
    desk.release(aapl)
    slot = "TSLA|buy|maxdiff"
    need, crypto, _ = str(desk.client.hget(desk.keys.waiting, slot)).split()
    desk.client.hset(desk.keys.waiting, slot, f"{need} {crypto} 1")
    assert desk.acquire("MSFT", pnl=3.0)
    desk.coordinator.prune()
    assert not desk.client.exists(desk.keys.waiters, desk.keys.waiting)


def test_a_waiter_served_waits_no_longer(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=5.0, usd=20_000)
    wait(desk, "TSLA", 4.0, 20_000)
    desk.release(aapl)
    assert desk.acquire("TSLA", pnl=4.0, usd=15_000)
    assert not desk.client.exists(desk.keys.waiters, desk.keys.waiting)
    assert desk.acquire("MSFT", pnl=3.0)


def test_a_better_waiter_counts_on_evictions_under_way(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=5.0, usd=12_000)
    desk.open("NVDA", pnl=6.0, usd=5_000)
    wait(desk, "TSLA", 4.0, 15_000)
    desk.coordinator.evict(aapl.id, "operator")
    assert desk.acquire("MSFT", pnl=3.0, usd=3_000).reason == "yield", "or it could starve TSLA"


def test_a_slot_the_broker_refused_waits_without_blocking_others(desk: Desk) -> None:
    full(desk)
    decision = desk.acquire("MSFT", pnl=9.0, usd=20_000)
    assert decision.claim
    for victim in decision.victims:
        desk.cancel(victim.id)
    desk.coordinator.launch(decision.claim)
    desk.coordinator.unlaunch(decision.claim, "insufficient", refused=True)
    refused = desk.acquire("MSFT", pnl=9.0, usd=1_000)
    assert refused.reason == "cooldown"
    assert 290 < refused.retry_after <= 300
    assert desk.acquire("TSLA", pnl=1.0), "MSFT may not enter, so nobody has to yield to it"


# ---- input


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", "DOGE/USD"),
        ("symbol", "a b"),
        ("symbol", ""),
        ("side", "long"),
        ("usd", -5),
        ("usd", 0),
        ("usd", "nan"),
        ("usd", "1e30"),
        ("usd", 1_000_000_001),
        ("limit", "inf"),
        ("limit", "0.0000000000001"),
        ("pnl", float("nan")),
        ("pnl", 1e13),
        ("mode", "exit"),
        ("strategy", "max diff"),
        ("strategy", "größe"),
        ("strategy", "a|b"),
        ("strategy", "x" * 25),
        ("strategy", "maxdiff\n"),
    ],
)
def test_what_no_broker_could_take_is_refused_in_words(
    desk: Desk, field: str, value: object
) -> None:
    before = desk.everything()
    options: dict[str, object] = {"symbol": "AAPL", "away": None, field: value}
    with pytest.raises(InvalidIntent, match=r"\w+: .*"):
        desk.acquire(**options)  # type: ignore[arg-type]
    assert desk.everything() == before


def test_crypto_cannot_be_sold_short(desk: Desk) -> None:
    with pytest.raises(InvalidIntent, match="BTCUSD cannot be sold short"):
        desk.acquire("BTC/USD", side="sell")


def test_hosts_with_another_policy_are_seen(desk: Desk) -> None:
    odd = Desk(desk.client, dataclasses.replace(desk.settings, cooldown_seconds=9.0))
    assert odd.coordinator.policy_drift() == {"cooldown_seconds": ("9", "300")}
    assert desk.coordinator.policy_drift() == {}
    # Scripts decide by the account's policy, whoever asks.
    full(desk)
    odd.settle(odd.acquire("MSFT", pnl=9.0))
    assert desk.client.pttl(desk.keys.of("cooldown", "AAPL")) > 290_000
