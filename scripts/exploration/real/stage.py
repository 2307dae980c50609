"""What surrounds the scripts: a small broker, three watchers, a keeper's reading; and the server.

Time stands still, so that states can be compared; a deadline passes because it is rewritten. Only a
loss of memory takes a minute: no number of the ledger before it comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from scripts.simulation.memory_redis import MemoryRedis, MemoryServer, Saved
from stealer import scripts as verbs
from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import BrokerOrder
from stealer.model import MICRO, Claim
from stealer.replies import AccountFigures
from stealer.settings import Settings

#: Every order is ten units at a limit of 100 dollars.
QTY, LIMIT = Decimal(10), Decimal(100)
NEED = int(QTY * LIMIT * MICRO)

#: What the account holds: two orders in all, one of them crypto.
LIMITS = (2 * NEED, NEED)

#: Watchers: symbol, crypto, forecast PnL, how far the market is from the limit. The last may steal.
WATCHERS = (
    ("BTCUSD", True, 1.0, 0.02),
    ("AAPL", False, 2.0, 0.02),
    ("ETHUSD", True, 4.0, 0.0),
)

#: Orders a watcher may ask for, at most.
ATTEMPTS = 2

#: States of an order that can still fill.
LIVE = ("live", "canceling")

#: An order that arrived after the ledger was certified without it: not listed yet, and listed by an
#: account that was published.
LATE, COUNTED = 1, 2

_NOW_US = 1_704_300_000_000_000

#: Waiting for a new certificate takes longer than anything the ledger before it knew.
_AFTER_LOSS_US = 60_000_000


class Order(NamedTuple):
    """An order at the broker, or on its way: wire, live, canceling, canceled, filled."""

    id: str
    watcher: int
    status: str
    late: int = 0


class Actor(NamedTuple):
    """A watcher: idle, funding, funded, posting, out, done, dead; and the claim it works on."""

    at: str = "idle"
    claim: Claim | None = None
    asked: int = 0
    late: bool = False


class Outside(NamedTuple):
    """Everything that is not in Redis."""

    orders: tuple[Order, ...] = ()
    actors: tuple[Actor, ...] = (Actor(),) * len(WATCHERS)
    positions: tuple[int, int] = (0, 0)  # micro-dollars in all, in crypto
    #: The keeper's unfinished reading: its sequence and term, positions in all and in crypto (-1:
    #: not read yet), and the late orders it listed.
    reading: tuple[int, int, int, int, tuple[str, ...]] | None = None
    faults: int = 1
    term: int = 1
    #: How often Redis may still lose its memory, and has lost it.
    losses: int = 0
    lost: int = 0

    def order(self, order_id: str) -> Order | None:
        """The order with this id, or None."""
        return next((o for o in self.orders if o.id == order_id), None)

    def with_order(self, new: Order) -> Outside:
        """The same with one order added or replaced."""
        rest = tuple(o for o in self.orders if o.id != new.id)
        return self._replace(orders=(*rest, new))

    def with_actor(self, w: int, actor: Actor) -> Outside:
        """The same with watcher *w* elsewhere."""
        return self._replace(actors=(*self.actors[:w], actor, *self.actors[w + 1 :]))


class Scene(NamedTuple):
    """Where an exploration begins: the labels of the steps taken first; who takes part; and how
    often Redis may lose its memory."""

    steps: tuple[str, ...] = ()
    watchers: tuple[int, ...] = tuple(range(len(WATCHERS)))
    losses: int = 0

    def outside(self, faults: int) -> Outside:
        """What surrounds the scripts before the first step."""
        actors = (Actor() if w in self.watchers else Actor("done") for w in range(len(WATCHERS)))
        return Outside(actors=tuple(actors), faults=faults, losses=self.losses)


class Client(MemoryRedis):
    """A client whose replies can be lost: the same command is then sent again, as redis-py does."""

    lossy = False

    def send(self, *arguments: str) -> Any:
        """One command, or the same one twice; the last reply."""
        reply = super().send(*arguments)
        return super().send(*arguments) if self.lossy else reply


@dataclass
class Stage:
    """A server with a certified ledger, and the coordinator all drivers share."""

    server: MemoryServer
    client: Client
    coordinator: WorkStealingCoordinator
    _clock: list[int]

    @classmethod
    def open(cls) -> Stage:
        """A fresh server: certified, an account and quotes published."""
        clock = [_NOW_US]
        server = MemoryServer(lambda: clock[0])
        client = Client(server)
        # The broker of this stage takes no fee.
        settings = Settings(crypto_symbols=frozenset({"BTCUSD", "ETHUSD"}), crypto_fee_pct=0.0)
        coordinator = WorkStealingCoordinator(client, settings, owner="keeper")
        held, term = coordinator.lease(10)
        assert held
        assert term == 1
        coordinator.certify(1)
        stage = cls(server, client, coordinator, clock)
        stage.publish_market(1)
        stage.publish(coordinator.begin_snapshot(1, lag_ms=0), (0, 0), 1)
        return stage

    def publish(self, sequence: int, positions: tuple[int, int], term: int) -> None:
        """Publish an account with the fixed limits; the broker's own figures never bind."""
        figures = AccountFigures(*LIMITS, *positions, 0, 0, 100 * NEED, 100 * NEED)
        self.coordinator.publish_account(figures, sequence=sequence, term=term)

    def publish_market(self, term: int) -> None:
        """The session, which is open, and everybody's quote."""
        self.coordinator.publish_session(True, 3600, term)
        for symbol, _, _, away in WATCHERS:
            price = LIMIT * (1 + Decimal(str(away)))
            self.coordinator.publish_quote(symbol, price, price)

    def save(self) -> Saved:
        """All keys now."""
        return self.server.save()

    def restore(self, saved: Saved, lost: int) -> None:
        """All keys as they were, when Redis had lost its memory *lost* times."""
        self.server.restore(saved)
        self._clock[0] = _NOW_US + lost * _AFTER_LOSS_US

    def lose_memory(self, lost: int) -> None:
        """No key is left, for the *lost*-th time."""
        self.server.flush()
        self._clock[0] = _NOW_US + lost * _AFTER_LOSS_US


#: (kind, label, what it does; may its replies be lost?)
Move = tuple[str, str, Callable[[Stage, Outside], Outside], bool]


def as_broker_says(order: Order) -> BrokerOrder:
    """The order as the broker's edge would report it."""
    symbol, crypto, _, _ = WATCHERS[order.watcher]
    filled = QTY if order.status == "filled" else Decimal(0)
    names = {"live": "new", "canceling": "pending_cancel"}
    return BrokerOrder(
        id=f"o-{order.id}",
        client_order_id=order.id,
        symbol=symbol,
        side="buy",
        qty=QTY,
        status=names.get(order.status, order.status),
        filled_qty=filled,
        limit_price=LIMIT,
        is_crypto=crypto,
    )


@contextmanager
def planted(name: str, right: str, wrong: str) -> Iterator[None]:
    """Run with one piece of Lua spoiled, to see that the exploration notices.

    :raises ValueError: the text to be replaced is not there exactly once.
    """
    source: Callable[[str], str] = verbs._source
    if source(name).count(right) != 1:
        raise ValueError(f"{name}: the text to be spoiled is not there exactly once")

    def spoiled(asked: str) -> str:
        text = source(asked)
        return text.replace(right, wrong) if asked == name else text

    caches = (
        verbs._body,
        verbs._stateful,
        verbs.script_text,
        verbs.function_library,
        verbs._digest,
    )
    verbs._source = spoiled  # type: ignore[assignment]
    try:
        for cached in caches:
            _clear(cached)
        yield
    finally:
        verbs._source = source  # type: ignore[assignment]
        for cached in caches:
            _clear(cached)


def _clear(cached: Any) -> None:
    clear = getattr(cached, "cache_clear", None)
    if clear:
        clear()
