"""Whatever somebody else writes into the account's keys: denied, said, and put right by the keeper.

Every example starts from a live account that real verbs have built, with a claim in every state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

import pytest
import redis
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from stealer.broker.interface import Broker
from stealer.cli.app import main
from stealer.cli.context import App
from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.errors import LedgerUnavailable, StealerError
from stealer.keeper.keeper import Keeper
from stealer.model import Claim, OrderIntent, Verdict
from stealer.order_ids import is_ours
from tests.coordination.desk import micro
from tests.fuzz.effort import effort
from tests.fuzz.stage import HOUR, Damage, Stage, build, damages
from tests.keeper.account import AccountBroker
from tests.support import ManualClock

pytestmark = pytest.mark.real_server

VIEWS = (
    ("status",), ("orders",), ("candidates",), ("candidates", "NVDA"), ("why", "AAPL"),
    ("cooldowns",), ("fights",), ("steals",), ("audit",), ("forecasts", "list"),
    ("release", "AAPL"),
)  # fmt: skip


@pytest.fixture(scope="module")
def stage(redis_server: EmbeddedServer) -> Iterator[Stage]:
    with (
        redis.Redis.from_url(redis_server.url, decode_responses=True) as client,
        redis.Redis.from_url(redis_server.url) as raw,
    ):
        client.flushall()
        yield build(client, raw)


def every_verb(stage: Stage) -> list[Callable[[], object]]:
    """Each call a watcher, a keeper or an operator makes, on claims in every state."""
    desk, c = stage.desk, stage.desk.coordinator
    calls: list[Callable[[], object]] = []

    def on(claim: Claim) -> None:
        calls.extend([
            lambda: c.heartbeat(claim),
            lambda: c.topup(claim),
            lambda: c.launch(claim),
            lambda: c.confirm(claim, desk.order(claim, "partially_filled", 1)),
            lambda: c.evict(claim, "owner"),
            lambda: c.is_protected(claim),
            lambda: c.abort(claim),
            lambda: c.unlaunch(claim, "refused", refused=True),
            lambda: c.close(claim.id, desk.order(claim, "canceled", 1)),
            lambda: c.abort_overdue(claim.id),
        ])  # fmt: skip

    calls.extend([
        lambda: c.standing("AAPL", "maxdiff"),
        lambda: c.get_steal_candidates("NVDA"),
        lambda: c.claims(),
        lambda: c.can_open_order("AAPL", "maxdiff", 1, 1),
        lambda: c.attempt_steal("GOOG", "maxdiff", 100, 20),
        lambda: c.record_steal("AAPL", "TSLA"),
        lambda: c.adopt("AAPL|buy|maxdiff", 0.0),
        lambda: c.publish_forecast("AAPL", "maxdiff", 3.0),
        lambda: c.task("a-task", HOUR),
        lambda: c.silent_claims(),
        lambda: c.watched_symbols(),
        lambda: c.policy_drift(),
        lambda: c.prune(),
        lambda: c.publish_session(True, 60),
        lambda: desk.account(10_000),
        lambda: c.recount(),
        lambda: c.lease(0.001),
        lambda: c.halt("", "a test"),
    ])  # fmt: skip
    for claim in stage.claims.values():
        on(claim)
    return calls


def plausible(damage: Damage) -> bool:
    """True for a value that no program can tell from one of ours: a whole number."""
    text = damage.value.decode("utf-8", "replace").strip().lower()
    try:
        number = float(int(text, 16)) if "x" in text else float(text)
    except ValueError:
        return False
    return number % 1 == 0 and 0 <= number < 2**53


def over_admitted(stage: Stage, free: int) -> str:
    """What an order that does not fit was given, beyond what is really free; '' for nothing."""
    try:
        decision = stage.desk.coordinator.acquire(
            OrderIntent("GOOG", "buy", 50, 100, forecasted_pnl=0.5)
        )
    except StealerError:
        return ""
    if decision.outcome is Verdict.GRANTED or (decision.claim and decision.claim.fund > free):
        return str(decision)
    return ""


def say(stage: Stage, broker: AccountBroker, done: list[str], seed: int) -> None:
    """Some views of the operators: each ends in a documented way, and never in a traceback."""
    client = stage.desk.client
    for arguments in (VIEWS[seed % len(VIEWS)], VIEWS[seed // 16 % len(VIEWS)]):
        for more in ([], ["--json"]) if arguments[0] != "release" else ([],):
            app = App(connect=lambda _: client, broker=lambda _: cast(Broker, broker))
            result: Any = CliRunner().invoke(main, [*arguments, *more], obj=app, input="n\n")
            unexpected = not isinstance(result.exception, SystemExit) and result.exception
            if unexpected:
                raise AssertionError(f"{arguments} after {done}") from unexpected
            assert result.exit_code in (0, 1, 2, 3), (done, arguments, result.output)
            assert "Traceback" not in result.output


def troubles(stage: Stage, broker: AccountBroker) -> str:
    """The keeper works on, over a quarantine; what its last pass met that it could not mend."""
    clock = ManualClock(0.0)
    coordinator = WorkStealingCoordinator(stage.desk.client, stage.desk.settings, owner="keeper")
    keeper = Keeper(
        coordinator,
        broker,
        lease_seconds=9 * HOUR,
        sleep=clock.advance,
        pause=clock.advance,
        monotonic=clock.time,
    )
    trouble = ""
    for _ in range(6):
        try:
            trouble = "" if keeper.run_once() else "stands by"
            trouble += " ".join(keeper._complaints.values())
        except LedgerUnavailable as error:
            trouble = str(error)
            assert trouble
        clock.advance(2 * HOUR)
    return trouble


def make_readable(stage: Stage) -> None:
    """What the commands tell a person to do: DEL the keys that hold another type."""
    from stealer.cli.operator import Operator
    from stealer.cli.views.reading import Reader

    reader = Reader(Operator(stage.desk.client, stage.desk.settings, owner="person"))
    for sentence in reader.wrong_types():
        stage.desk.client.delete(sentence.split(" holds ")[0])


def check_mended(stage: Stage, broker: AccountBroker, done: list[str]) -> None:
    """Certified, and every charge has an owner, and every live order of ours a charge."""
    desk = stage.desk
    assert desk.coordinator.server().certified, (done, desk.coordinator.recount(1))
    desk.assert_charges_equal_claims()
    term = int(desk.client.hget(desk.keys.ledger, "term"))
    assert desk.coordinator.recount(term) == "", done
    charged = desk.coordinator.claims()
    for order in broker.orders.values():
        if is_ours(order.client_order_id, "paper") and not order.is_terminal:
            assert order.client_order_id in charged, (done, order)


@effort(60, shrink=False)
@given(st.lists(damages, min_size=1, max_size=3), st.integers(0, 2**32))
def run(stage: Stage, damage: list[Damage], seed: int) -> None:
    broker = stage.restore()
    free = micro(stage.desk.free())
    done = [one.apply(stage) for one in damage]
    if not any(plausible(one) for one in damage):
        assert not over_admitted(stage, free), done
    # The deep profile tries the verbs in many orders; the orders of a quick run are fixed.
    calls = every_verb(stage)
    for number in range(25):
        call = calls[(seed + number * 37) % len(calls)]
        try:
            call()
        except StealerError:
            continue
        except Exception as error:
            raise AssertionError(f"verb {(seed + number * 37) % len(calls)}: {done}") from error
    say(stage, broker, done, seed)
    for claim in stage.claims.values():
        stage.desk.client.delete(stage.desk.keys.of("ended", claim.id))
    if troubles(stage, broker):
        make_readable(stage)
        assert troubles(stage, broker) == "", done
    check_mended(stage, broker, done)


def test_whatever_somebody_else_writes(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    run(stage)


def test_an_order_whose_claim_no_index_knows_is_condemned(stage: Stage) -> None:
    broker, desk = stage.restore(), stage.desk
    lost = stage.claims["launching"]
    for name in ("claims", "deadlines", "beats"):
        desk.client.zrem(getattr(desk.keys, name), lost.id)
    desk.client.hdel(desk.keys.slots, lost.slot)
    assert troubles(stage, broker) == ""
    check_mended(stage, broker, ["left behind"])


def test_the_stage_itself_is_in_order(stage: Stage) -> None:
    broker = stage.restore()
    assert stage.desk.charged() == Decimal(19_000) or stage.desk.charged() > 0
    assert troubles(stage, broker) == ""
    check_mended(stage, broker, [])
