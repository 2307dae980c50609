"""Named scenarios of several watchers: mixes, recovery, metrics, switches, two hosts."""

from __future__ import annotations

import dataclasses

import pytest
import redis

from stealer.errors import Refused
from stealer.model import Verdict
from stealer.settings import Settings, SettingsError
from tests.coordination.desk import Desk


def test_three_cryptos_on_two_slots(desk: Desk) -> None:
    desk.account(equity=10_000, cash=10_000)
    btc = desk.open("BTCUSD", pnl=3.0, usd=5_000)
    uni = desk.open("UNIUSD", pnl=1.0, usd=5_000)
    assert (desk.free("crypto"), desk.free()) == (0, 10_000)
    decision = desk.acquire("ETHUSD", pnl=2.0, usd=5_000)
    assert [victim.id for victim in decision.victims] == [uni.id]
    eth = desk.settle(decision)
    assert {desk.state(btc), desk.state(eth), desk.state(uni)} == {"open", "gone"}
    assert (desk.charged("crypto"), desk.charged()) == (10_000, 10_000)
    assert desk.acquire("UNIUSD", pnl=1.0, usd=5_000).reason == "pnl_not_better"


def test_stock_and_crypto_mix(desk: Desk) -> None:
    stock = desk.open("AAPL", pnl=0.1, usd=10_000)
    coin = desk.open("BTCUSD", pnl=1.0, usd=10_000)
    # Only crypto is short of cash: the worst order of all is a stock, and would not help.
    decision = desk.acquire("ETHUSD", pnl=5.0, usd=4_000)
    assert [victim.id for victim in decision.victims] == [coin.id]
    desk.settle(decision)
    # The total is short now: a crypto order helps a stock as well, but the stock is worse.
    desk.open("TSLA", pnl=3.0, usd=6_000)
    decision = desk.acquire("MSFT", pnl=9.0, usd=1_000)
    assert [victim.id for victim in decision.victims] == [stock.id]
    assert (desk.charged(), desk.charged("crypto")) == (20_000, 4_000)


def test_stock_and_crypto_mix_when_stocks_are_closed(desk: Desk) -> None:
    desk.open("AAPL", pnl=0.1, usd=15_000)
    coin = desk.open("ETHUSD", pnl=1.0, usd=5_000)
    desk.forecast("BTCUSD", 5.0)
    desk.out_of_hours()
    decision = desk.acquire("BTCUSD", usd=3_000)
    assert [victim.id for victim in decision.victims] == [coin.id], "stocks cannot be canceled now"
    desk.settle(decision)
    assert desk.charged() == 18_000


def test_probe_and_normal_mix(desk: Desk) -> None:
    desk.open("AAPL", pnl=0.1, usd=10_000, mode="probe")
    normal = desk.open("MSFT", pnl=1.0, usd=10_000)
    decision = desk.acquire("TSLA", pnl=2.0, usd=10_000, mode="probe")
    assert [victim.id for victim in decision.victims] == [normal.id], "a probe may steal"
    desk.settle(decision)
    assert desk.acquire("NVDA", pnl=9.0).reason == "all_protected"
    assert (desk.charged(), len(desk.steals())) == (20_000, 1)


def test_rapid_price_moves(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=10_000)
    msft = desk.open("MSFT", pnl=2.0, usd=10_000)
    for away, worst in ((0.02, aapl), (0.004, msft), (-0.01, msft), (0.0041, aapl)):
        desk.market("AAPL", away=away)
        stealable = [c.id for c in desk.coordinator.get_steal_candidates() if not c.protection]
        assert stealable[0] == worst.id, away
    # The forecasts turn, and with them the ranking of the open orders.
    desk.forecast("AAPL", 7.0)
    assert desk.coordinator.get_steal_candidates()[0].id == msft.id
    decision = desk.acquire("TSLA", pnl=9.0, usd=10_000)
    assert [victim.id for victim in decision.victims] == [msft.id]
    # The victim's price comes near after the choice: irrevocable, and its fill frees nothing.
    desk.market("MSFT", away=0.0)
    desk.fill(msft)
    assert (desk.charged(), desk.free()) == (20_000, 0)
    assert decision.claim
    again = desk.coordinator.topup(decision.claim)
    assert again.outcome is Verdict.DENIED, "9 does not beat 2 + 7"
    desk.coordinator.abort(decision.claim)
    assert desk.charged() == 20_000


def test_recovery(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    desk.settle(desk.acquire("MSFT", pnl=2.0, usd=20_000))
    pulse = desk.coordinator.heartbeat(aapl)
    assert (pulse.state, pulse.ended, pulse.cause, pulse.by) == (
        "gone",
        "canceled",
        "stolen",
        "MSFT",
    )
    desk.market("MSFT", away=0.02)
    assert desk.acquire("AAPL", pnl=3.0, usd=20_000).reason == "cooldown"
    # Capacity comes back, and so does the victim, by itself.
    winner = desk.coordinator.claim_in_slot("MSFT", "buy", "maxdiff")
    assert winner
    desk.release(winner)
    assert desk.client.exists(desk.keys.of("wake", "AAPL|buy|maxdiff")), "the waiter is woken"
    desk.open("AAPL", pnl=3.0, usd=20_000)
    assert (desk.charged(), desk.free()) == (20_000, 0)


def test_recovery_of_a_thief_that_died(desk: Desk) -> None:
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    thief = desk.reserve("MSFT", pnl=2.0, usd=20_000)
    assert not desk.coordinator.abort_overdue(thief.id), "not before its deadline"
    desk.pass_deadline(thief)
    with pytest.raises(Refused, match="deadline has passed"):
        desk.coordinator.launch(thief)
    assert desk.coordinator.abort_overdue(thief.id)
    assert (desk.state(aapl), desk.now(aapl).heir) == ("evicting", "")
    assert desk.cancel(aapl) == 20_000_000_000
    assert (desk.charged(), desk.free()) == (0, 20_000)


def test_metrics(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=20_000)
    desk.acquire("TSLA", pnl=1.0, usd=20_000)
    desk.settle(desk.acquire("MSFT", pnl=2.0, usd=20_000))
    desk.acquire("TSLA", pnl=9.0, usd=20_000)
    assert desk.counter("work_steal_attempts_total") == 3
    assert desk.counter("work_steal_success_total") == len(desk.steals()) == 1
    assert desk.counter("work_steal_fights_detected") == 0
    assert desk.counter("orders_protected_total") == 1, "MSFT, at its limit"
    assert desk.counter("denied:pnl_not_better") == 1
    (steal,) = desk.steals()
    assert (steal["thief"], steal["victims"], steal["thief_pnl"]) == ("MSFT", "AAPL", "2.00")
    assert desk.charged() == 20_000


def test_environment_overrides(redis_client: redis.Redis) -> None:
    settings = Settings.from_env(
        {
            "WORK_STEALING_TOLERANCE": "0.01",
            "WORK_STEALING_PROTECTION": "0.001",
            "WORK_STEALING_COOLDOWN": "7",
            "WORK_STEALING_MIN_PNL_IMPROVEMENT": "2",
            "CRYPTO_OUT_OF_HOURS_FORCE_COUNT": "2",
            "CRYPTO_OUT_OF_HOURS_TOLERANCE": "0.02",
        }
    )
    desk = Desk(redis_client, settings).open_shop(equity=10_000)
    desk.open("AAPL", pnl=1.0, usd=20_000, rests=0.002)
    assert desk.acquire("MSFT", pnl=2.0, away=0.009).reason == "pnl_not_better"
    assert desk.acquire("MSFT", pnl=2.1, away=0.011).reason == "not_close_enough"
    assert desk.acquire("MSFT", pnl=2.1, away=0.009).outcome is Verdict.STEAL
    assert 6_000 < desk.client.pttl(desk.keys.of("cooldown", "AAPL")) <= 7_000
    for number, symbol in enumerate(("BTCUSD", "ETHUSD", "UNIUSD")):
        desk.forecast(symbol, 3.0 - number)
    desk.out_of_hours()
    assert [desk.tier(s).tolerance_pct for s in ("BTC/USD", "ETH/USD", "UNI/USD")][2] == 0.02
    assert desk.tier("ETHUSD").tolerance_pct is None, "two are forced"
    with pytest.raises(SettingsError, match=r"WORK_STEALING_TOLERANCE.*'lots'"):
        Settings.from_env({"WORK_STEALING_TOLERANCE": "lots"})


def test_dry_run(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=20_000)
    dry = Desk(desk.client, dataclasses.replace(desk.settings, dry_run=True))
    before = desk.everything()
    would = dry.acquire("MSFT", pnl=2.0, usd=20_000)
    assert (would.reason, would.detail) == ("dry_run", "would steal from AAPL")
    own = {desk.keys.quotes, desk.keys.counters, desk.keys.decisions, desk.keys.dry_steals}
    after = desk.everything()
    assert {k: v for k, v in after.items() if k not in own} == {
        k: v for k, v in before.items() if k not in own
    }
    (entry,) = [fields for _, fields in desk.client.xrange(desk.keys.dry_steals)]
    assert (entry["thief"], entry["victims"]) == ("MSFT", "AAPL")
    assert desk.counter("work_steal_success_total") == 0
    assert desk.counter("work_steal_attempts_total") == 0, "a dry run has its own counters"
    assert (desk.charged(), desk.steals()) == (20_000, [])


def test_disabled(desk: Desk) -> None:
    desk.open("AAPL", pnl=1.0, usd=15_000)
    off = Desk(desk.client, dataclasses.replace(desk.settings, enabled=False), owner="off")
    assert off.acquire("MSFT", pnl=9.0, usd=6_000).reason == "disabled"
    assert off.acquire("MSFT", pnl=9.0, usd=5_000).outcome is Verdict.GRANTED, "capacity gates"
    assert (desk.charged(), desk.steals()) == (20_000, [])
    assert off.coordinator.policy_drift() == {"enabled": ("0", "1")}


def test_disabled_for_the_account_is_disabled_for_every_host(redis_client: redis.Redis) -> None:
    Desk(redis_client, Settings(enabled=False)).open_shop(equity=10_000)
    desk = Desk(redis_client)
    desk.open("AAPL", pnl=1.0, usd=20_000)
    assert desk.acquire("MSFT", pnl=9.0).reason == "disabled"


def test_two_hosts(desk: Desk) -> None:
    other = Desk(desk.client, owner="other-host:77:abc")
    aapl = desk.open("AAPL", pnl=1.0, usd=20_000)
    msft = other.settle(other.acquire("MSFT", pnl=2.0, usd=20_000))
    assert (msft.owner, aapl.owner) == ("other-host:77:abc", "desk")
    # Both hosts honour the one cooldown, and neither may drive the other's claim.
    other.market("MSFT", away=0.02)
    assert desk.acquire("AAPL", pnl=9.0, usd=20_000).reason == "cooldown"
    assert other.acquire("AAPL", pnl=9.0, usd=20_000).reason == "cooldown"
    assert desk.acquire("MSFT", pnl=9.0).reason == "duplicate", "one claim per slot, on all hosts"
    other.market("MSFT", away=0.02)
    tsla = desk.settle(desk.acquire("TSLA", pnl=4.0, usd=20_000))
    assert other.coordinator.heartbeat(msft).by == "TSLA"
    assert [steal["thief"] for steal in desk.steals()] == ["MSFT", "TSLA"]
    assert (desk.charged(), desk.now(tsla).owner) == (20_000, "desk")
