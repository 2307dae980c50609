"""Makes exit watchers on one desk, whose entry is what a test writes into the ledger."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import BrokerPosition
from stealer.exit_records import HEARD_SECONDS, exit_rows
from stealer.keeper.placed import PLACED_SECONDS, placed_of
from tests.coordination.desk import Desk
from tests.support import ManualClock
from tests.watchers.exit_broker import ExitBroker
from watchers.exit_task import ExitTask
from watchers.exit_watcher import ExitWatcher
from watchers.status import Phase

TICKET = "morning/apple"


class ExitBench:
    """One account with one broker; all watchers share a clock that moves when told."""

    def __init__(self, desk: Desk, broker: ExitBroker, clock: ManualClock) -> None:
        self.desk, self.broker, self.clock = desk, broker, clock

    def watcher(
        self,
        *,
        limit: float = 110,
        should_stop: Callable[[], bool] = lambda: False,
        blocks: bool = False,
        **task: Any,
    ) -> ExitWatcher:
        """:param blocks: between steps it waits in Redis, in real time; else the clock moves on."""
        options = {"ticket": TICKET, "symbol": self.broker.symbol} | task
        coordinator = WorkStealingCoordinator(self.desk.client, self.desk.settings)
        watcher = ExitWatcher(
            ExitTask(limit_price=Decimal(str(limit)), **options),
            coordinator,
            self.broker,  # type: ignore[arg-type]
            should_stop=should_stop,
            sleep=self.clock.advance,
            monotonic=self.clock.time,
            wait=None if blocks else lambda seconds: bool(watcher._sleep(seconds)),
        )
        return watcher

    def entry_filled(self, qty: float | str, *, claim: str = "mx_1", settle: bool = True) -> None:
        """The entry's claim has filled *qty* more, and ended; the position shows it."""
        self.broker.buy(qty)
        before = self.told().get(claim, Decimal(0))
        self.tell(claim, before + Decimal(str(qty)))
        if settle:
            self.clock.advance(60)

    def tell(self, claim: str, qty: Decimal) -> None:
        """The ledger says that a claim of the ticket filled *qty* in all."""
        keys = self.desk.keys
        self.desk.client.set(keys.of("ticket", TICKET), self.desk.coordinator.now_ms())
        self.desk.client.rpush(keys.of("fills", TICKET), f"{claim} {qty}")

    def told(self) -> dict[str, Decimal]:
        lines = self.desk.client.lrange(self.desk.keys.of("fills", TICKET), 0, -1)
        texts = [line.decode() if isinstance(line, bytes) else line for line in lines]
        return {text.split()[0]: Decimal(text.split()[1]) for text in texts}

    def entry_runs(self) -> None:
        """A watcher of the entry reports."""
        status = {"symbol": self.broker.symbol, "strategy": "maxdiff", "ticket": TICKET}
        self.desk.coordinator.report(status)

    def entry_ends(self) -> None:
        self.desk.coordinator.forget_report()

    def keeper_lists(self) -> None:
        """The keeper has listed orders and positions."""
        live, held = self.broker.live(), self.broker.held
        position = BrokerPosition(self.broker.symbol, held, held * 100, self.broker.crypto)
        placed = placed_of(live, [position])
        self.desk.coordinator.publish_placed(placed, PLACED_SECONDS)
        rows = exit_rows(self.broker.exits())
        self.desk.coordinator.publish_exits(rows, HEARD_SECONDS, term=0)


def steps(
    watcher: ExitWatcher, clock: ManualClock, number: int, apart: float = 2.0
) -> Phase | None:
    """So many steps, *apart* seconds on the clock; the final phase if it ended."""
    for _ in range(number):
        ended = watcher.step()
        if ended:
            return ended
        clock.advance(apart)
    return None
