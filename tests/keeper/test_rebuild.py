"""The ledger made again from the broker's orders: Redis has forgotten, or is another server."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
import redis

from stealer.broker.interface import BrokerUnavailable
from stealer.errors import ServerMoved
from stealer.keeper import certification
from stealer.keeper.keeper import Keeper
from stealer.model import Claim, State
from stealer.settings import Settings
from tests.coordination.desk import Desk, micro
from tests.keeper.account import AccountBroker
from tests.keeper.conftest import desk_on, keeper_of
from tests.support import ManualClock

QUARANTINE = Settings().quarantine_seconds

ID = "mx_paper_18d0000000{n}000001abc12{n}_{kind}_{pnl}_{strategy}"


def order_id(n: int = 0, kind: str = "nn", pnl: str = "p2.50", strategy: str = "maxdiff") -> str:
    """An id of this system; a higher *n* is a younger one."""
    return ID.format(n=n, kind=kind, pnl=pnl, strategy=strategy)


@pytest.fixture
def desk(redis_client: redis.Redis) -> Iterator[Desk]:
    desk = desk_on(redis_client).open_shop(equity=10_000)
    yield desk
    desk.assert_charges_equal_claims()


def opened(desk: Desk, broker: AccountBroker, symbol: str = "AAPL", **intent: float) -> Claim:
    claim = desk.open(symbol, **intent)
    broker.match(claim)
    return desk.now(claim)


def flush(desk: Desk) -> None:
    """All memory is gone; the server is the same."""
    desk.client.flushall()


def certify_again(keeper: Keeper, clock: ManualClock) -> None:
    """The quarantine, and the pass after it."""
    keeper.run_once()
    clock.advance(QUARANTINE)
    keeper.run_once()


def test_after_a_flush_every_order_has_its_claim_again_and_none_is_canceled(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    whole = opened(desk, broker, "AAPL", pnl=2.5, usd=3_000)
    crypto = opened(desk, broker, "ETHUSD", pnl=7, usd=2_000)
    flush(desk)
    assert desk.acquire("MSFT").reason == "uncertified"

    certify_again(keeper, manual_clock)

    for before in (whole, crypto):
        after = desk.now(before)
        assert (after.state, after.slot, after.need) == (State.OPEN, before.slot, before.need)
        assert (after.qty, after.limit_price, after.pnl) == (before.qty, Decimal(100), before.pnl)
        assert (after.order_id, after.is_crypto) == (before.order_id, before.is_crypto)
        assert (after.created_ms, after.owner) == (before.created_ms, "")
    assert (desk.charged(), desk.charged("crypto")) == (5_005, 2_005)  # crypto with its fee
    assert broker.cancels == []
    assert desk.acquire("AAPL").reason == "duplicate"
    assert [c.id for c in desk.coordinator.get_steal_candidates()] == [whole.id, crypto.id]
    mends = [f for _, f in desk.client.xrange(desk.keys.audit) if f["what"] == "rebuild"]
    assert {f["claim"] for f in mends} == {whole.id, crypto.id}
    assert desk.counter("rebuilt_total") == 2


def test_mode_forced_flag_and_strategy_come_from_the_id(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    flush(desk)
    probe = broker.put(order_id(1, "pn", strategy="a_b")).client_order_id
    forced = broker.put(order_id(2, "nf", "n1.25"), "MSFT").client_order_id

    certify_again(keeper, manual_clock)

    assert (desk.now(probe).mode, desk.now(probe).strategy) == ("probe", "a_b")
    assert (desk.now(forced).force_immediate, desk.now(forced).pnl) == (True, -1.25)
    protections = {c.id: c.protection for c in desk.coordinator.get_steal_candidates()}
    assert protections == {probe: "probe", forced: "force_immediate"}


def test_an_order_whose_id_cannot_be_read_is_kept_and_protected(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    flush(desk)
    broker.put("mx_paper_whatever", "TSLA")

    certify_again(keeper, manual_clock)

    claim = desk.now("mx_paper_whatever")
    assert (claim.state, claim.strategy, claim.force_immediate) == (State.OPEN, "unknown", True)
    assert desk.coordinator.is_protected(claim)
    assert (desk.charged(), broker.cancels) == (1_000, [])


def test_of_two_orders_in_one_slot_the_younger_is_kept_and_the_other_condemned(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    flush(desk)
    old, young = (broker.put(order_id(n)).client_order_id for n in (1, 2))
    broker.on_cancel = "nothing"

    certify_again(keeper, manual_clock)

    assert desk.state(young) == "open"
    assert (desk.state(old), desk.now(old).cause) == ("evicting", "condemned")
    assert broker.cancels == [f"id-{old}"]
    assert desk.charged() == 2_000  # both, until the broker says that one is over


@pytest.mark.parametrize("spoiled", [(1,), (2,), (1, 2)])
def test_of_two_orders_in_one_slot_whose_claims_were_spoiled_one_is_kept(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    manual_clock: ManualClock,
    spoiled: tuple[int, ...],
) -> None:
    """An id that an index knows is not yet a claim: certifying lets a spoiled one go."""
    flush(desk)
    old, young = (broker.put(order_id(n)).client_order_id for n in (1, 2))
    for n in spoiled:
        desk.client.zadd(desk.keys.claims, {order_id(n): 1})
        desk.client.hset(desk.keys.of("claim", order_id(n)), "need", "nan")
    broker.on_cancel = "nothing"

    certify_again(keeper, manual_clock)

    assert desk.state(young) == "open"
    assert (desk.state(old), desk.now(old).cause) == ("evicting", "condemned")
    assert broker.cancels == [f"id-{old}"]
    assert desk.charged() == 2_000


def test_what_appears_after_the_certification_is_condemned(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    flush(desk)
    certify_again(keeper, manual_clock)
    late = broker.put(order_id(1)).client_order_id

    keeper.run_once()

    assert broker.cancels == [f"id-{late}"]


def test_fills_listed_are_counted_at_least_once_all_the_time(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker, usd=1_000)
    broker.execute(claim.id, 4)
    flush(desk)

    certify_again(keeper, manual_clock)
    assert desk.charged() + desk.figure("positions_total") >= 1_000
    assert desk.now(claim).filled_qty == 4

    assert desk.client.zscore(desk.keys.unabsorbed, claim.id) is not None
    desk.client.zadd(desk.keys.unabsorbed, {claim.id: 1})  # older than the lag of positions
    keeper.run_once()
    assert (desk.charged(), desk.figure("positions_total")) == (600, 400)


def test_nothing_is_granted_before_an_account_that_was_read_after_the_certification(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    opened(desk, broker, usd=15_000)
    flush(desk)
    keeper.run_once()
    manual_clock.advance(QUARANTINE)
    broker.after_orders = _down
    keeper.run_once()

    assert desk.coordinator.server().certified
    assert desk.charged() == 15_000
    assert desk.acquire("MSFT").reason == "stale_account"


def _down() -> None:
    raise BrokerUnavailable("positions: the test's will")


# ---- what survived


def test_on_another_server_what_is_open_stays_and_what_was_never_sent_is_dropped(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    victim = opened(desk, broker, "MSFT", usd=15_000)
    launching = desk.reserve("IBM", usd=500)
    desk.coordinator.launch(launching)
    kept = opened(desk, broker, "KO", pnl=20, usd=500)
    thief = desk.acquire("AAPL", 10.0, usd=10_000).claim
    assert thief
    desk.another_server()
    broker.on_cancel = "nothing"

    certify_again(keeper, manual_clock)

    assert desk.state(thief) == "gone"
    assert (desk.state(victim), desk.now(victim).heir) == ("evicting", "")
    assert victim.id in desk.client.zrange(desk.keys.heirless, 0, -1)
    assert desk.state(launching) == "launching"
    assert desk.now(kept).owner == kept.owner
    assert desk.coordinator.heartbeat(kept).state == State.OPEN  # its fence still holds
    assert desk.charged() == 16_000


@pytest.mark.parametrize("fills", [False, True])
def test_a_reservation_whose_launch_was_lost_is_not_dropped_while_the_broker_has_its_order(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock, fills: bool
) -> None:
    """The server came back older than the launch; the order is live, or over and filled."""
    claim = desk.reserve("AAPL", usd=1_000)
    broker.match(claim)
    if fills:
        broker.execute(claim.id)
    desk.another_server()

    certify_again(keeper, manual_clock)

    if fills:
        assert desk.state(claim) == "closed"
        assert desk.figure("positions_total") == 1_000
    else:
        assert (desk.state(claim), desk.now(claim).owner) == ("open", claim.owner)
    assert desk.charged() + desk.figure("positions_total") >= 1_000
    assert broker.cancels == []


# ---- safe to repeat, and all or nothing


def test_a_certification_repeated_by_the_connection_changes_nothing(
    desk: Desk, broker: AccountBroker
) -> None:
    flush(desk)
    seen = desk.coordinator.server()
    rows = [desk.coordinator.listed(broker.put(order_id(1)))]
    assert desk.coordinator.certify(0, 300, seen=seen, orders=rows).adopted == 1
    desk.stock_hours()
    desk.account(10_000)
    reserved = desk.reserve("MSFT")
    before = desk.everything()

    with pytest.raises(ServerMoved):
        desk.coordinator.certify(0, 300, seen=seen, orders=rows)

    assert desk.everything() == before
    assert desk.state(reserved) == "reserved"


def test_two_keepers_that_rebuild_at_once_make_one_ledger(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    claim = opened(desk, broker, usd=1_000)
    flush(desk)
    first, second = (
        certification.Certifier(desk.coordinator, broker, manual_clock.time) for _ in range(2)
    )
    assert not first.certified(0)
    assert not second.certified(0)
    manual_clock.advance(QUARANTINE)

    assert first.certified(0)
    assert second.certified(0)

    assert desk.client.hget(desk.keys.ledger, "epoch") == "1"
    assert (desk.state(claim), desk.charged()) == ("open", 1_000)


def test_a_flush_during_the_wait_begins_the_wait_anew(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    desk.another_server()
    waits = certification.Certifier(desk.coordinator, broker, manual_clock.time)
    assert not waits.certified(0)
    manual_clock.advance(QUARANTINE)
    flush(desk)

    assert not waits.certified(0)
    manual_clock.advance(QUARANTINE)
    assert waits.certified(0)


@pytest.mark.parametrize("trouble", ["orders", "lookup", "latest"])
def test_an_error_of_the_broker_is_never_an_empty_list(
    desk: Desk, broker: AccountBroker, manual_clock: ManualClock, trouble: str
) -> None:
    desk.reserve("AAPL")
    if trouble == "latest":
        flush(desk)
    else:
        desk.another_server()
    waits = certification.Certifier(desk.coordinator, broker, manual_clock.time)
    assert not waits.certified(0)
    manual_clock.advance(QUARANTINE)
    broker.fails = {trouble}

    with pytest.raises(BrokerUnavailable):
        waits.certified(0)
    assert not desk.coordinator.server().certified

    broker.fails = set()
    assert waits.certified(0)


def test_more_orders_than_one_script_takes_up_are_condemned_and_counted(
    desk: Desk,
    keeper: Keeper,
    broker: AccountBroker,
    manual_clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certification, "REBUILT_AT_MOST", 2)
    flush(desk)
    ids = [broker.put(order_id(n), f"A{'BCD'[n]}").client_order_id for n in range(3)]
    broker.on_cancel = "nothing"

    certify_again(keeper, manual_clock)

    assert [desk.state(i) for i in ids] == ["evicting", "open", "open"]
    assert desk.charged() == 3_000


def test_no_fence_and_no_snapshot_of_before_a_flush_comes_again(desk: Desk) -> None:
    claim = desk.reserve("AAPL")
    sequence = desk.coordinator.begin_snapshot()
    flush(desk)
    desk.coordinator.certify()
    desk.stock_hours()
    desk.account(10_000)
    fences, sequences = set(), set()
    for n in range(10):
        fences.add(desk.reserve("AAPL", strategy=f"s{n}").fence)
        sequences.add(desk.coordinator.begin_snapshot())

    assert claim.fence not in fences
    assert sequence not in sequences
    assert min(sequences) > sequence


# ---- no steals for one cooldown


def first_start(desk: Desk, broker: AccountBroker) -> None:
    flush(desk)


def lost_with_an_order_open(desk: Desk, broker: AccountBroker) -> None:
    flush(desk)
    broker.put(order_id(1), "TSLA")


def lost_with_none_open(desk: Desk, broker: AccountBroker) -> None:
    """A victim was canceled a moment ago, and Redis has forgotten that it is to be left alone."""
    flush(desk)
    broker.put(order_id(1), "TSLA", status="canceled")


def only_somebody_elses(desk: Desk, broker: AccountBroker) -> None:
    flush(desk)
    broker.put("by hand", "TSLA", qty=Decimal("0.1"))


def another_server(desk: Desk, broker: AccountBroker) -> None:
    desk.another_server()


@pytest.mark.parametrize(
    ("what", "durable", "steals"),
    [
        (first_start, False, True),
        (only_somebody_elses, False, True),
        (lost_with_an_order_open, False, False),
        (lost_with_none_open, False, False),
        (lost_with_none_open, True, False),
        (another_server, False, False),
        (another_server, True, True),
    ],
)
def test_what_may_have_lost_cooldowns_is_followed_by_one_cooldown_without_steals(
    redis_client: redis.Redis,
    broker: AccountBroker,
    manual_clock: ManualClock,
    what: object,
    durable: bool,
    steals: bool,
) -> None:
    desk = desk_on(redis_client, redis_durable=durable).open_shop(equity=10_000)
    what(desk, broker)  # type: ignore[operator]
    keeper = keeper_of(desk, broker, manual_clock, "a")
    certify_again(keeper, manual_clock)
    desk.open("MSFT", 1.0, usd=15_000)

    decision = desk.acquire("AAPL", 10.0, usd=10_000)

    assert bool(decision.victims) is steals, (decision.reason, decision.detail)
    if not steals:
        assert "lost its memory" in decision.detail
        left = desk.figure("no_steal_until") * 1_000_000 - desk.coordinator.now_ms()
        assert 0 < left <= desk.settings.cooldown_seconds * 1000


def test_an_order_that_is_being_canceled_is_no_victim_and_its_capacity_is_waited_for(
    desk: Desk, keeper: Keeper, broker: AccountBroker, manual_clock: ManualClock
) -> None:
    """Whoever asked for the cancel was forgotten, the cancel goes on."""
    lost = opened(desk, broker, "AAPL", usd=3_000)
    flush(desk)
    broker.put(lost.id, "AAPL", id=lost.order_id, qty=lost.qty, status="pending_cancel")

    certify_again(keeper, manual_clock)

    assert (desk.state(lost), desk.now(lost).heir, desk.charged()) == ("evicting", "", 3_000)
    assert desk.coordinator.get_steal_candidates() == []
    assert desk.cancel(lost) == micro(3_000)
