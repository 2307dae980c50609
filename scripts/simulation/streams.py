"""One keeper's streams from the simulated broker: what happened there, told as a network tells it.

While there are faults, news come late and so in another order, twice, or not at all; a connection
is cut for a while, or stands and says nothing. Handlers run in a thread of the keeper, beside its
passes, as those of ``stealer.broker.streams`` do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from scripts.simulation.edge import told
from scripts.simulation.kernel import Process, Thread
from scripts.simulation.scenario import CRYPTO as CRYPTO_SYMBOLS
from scripts.simulation.venue import Order
from stealer.broker.streams import CRYPTO, STOCKS, TRADES, StreamState
from stealer.evidence import BrokerOrder, Quote

#: Seconds that connecting takes.
CONNECT_SECONDS = 0.3

#: Mean seconds between two troubles of a keeper's connections while there are faults.
TROUBLE_SECONDS = 12.0

#: Of news, while there are faults: parts that are lost, that come twice, and that come late.
LOST, TWICE, LATE = 0.04, 0.06, 0.10
LATEST_SECONDS = 4.0

#: Order events by what the venue calls them.
EVENTS = {"filled": "fill"}


class SimulatedStreams:
    """See ``stealer.keeper.streaming.Streams``.

    :param world: has ``kernel``, ``faulty``, ``streams``, ``guarded`` and ``note``.
    :param owner: the keeper's process, running now.
    """

    def __init__(
        self,
        world: Any,
        owner: Process,
        on_quotes: Callable[[list[Quote]], object],
        on_order: Callable[[str, BrokerOrder], object],
        on_connect: Callable[[str], object],
    ) -> None:
        self._world, self._owner = world, owner
        self._on_quotes, self._on_order, self._on_connect = on_quotes, on_order, on_connect
        made = f"{owner.name}/{owner.lives}/{len(owner.threads)}"
        self._rng = Random(f"{world.scenario.seed}/streams/{made}")
        self._states: dict[str, StreamState] = {}
        self._wanted: frozenset[str] = frozenset()
        self._mute: set[str] = set()
        self._due: deque[Callable[[], object]] = deque()
        self._idle = self._stopped = False
        self._thread = Thread(owner, f"{world.scenario.seed}/streams")
        self._thread.start(self._live, lambda by_itself: self.stop())
        world.streams.append(self)
        self._open(TRADES)
        self._trouble_later()

    # ---- as the keeper sees it

    def want(self, symbols: Iterable[str]) -> None:
        """Quotes of these symbols are told from now on."""
        self._wanted = frozenset(symbols)
        crypto = self._wanted & set(CRYPTO_SYMBOLS)
        for kind, wanted in ((CRYPTO, crypto), (STOCKS, self._wanted - crypto)):
            if wanted and kind not in self._states:
                self._open(kind)
            elif not wanted:
                self._states.pop(kind, None)

    def states(self) -> Mapping[str, StreamState]:
        """Every stream by name."""
        return dict(self._states)

    def restart(self, name: str) -> None:
        """Close the connection and make another."""
        if name in self._states:
            self._mute.discard(name)
            self._cut(name, 1.0)

    def stop(self) -> None:
        """Tell nothing more."""
        self._stopped = True
        if self in self._world.streams:
            self._world.streams.remove(self)
        if self._idle:
            self._thread.wake()

    # ---- what happens at the broker

    def tell_order(self, what: str, order: Order) -> None:
        """The order as it is after *what* happened to it."""
        event, record = EVENTS.get(what, what), told(order)
        self._tell(TRADES, lambda: self._on_order(event, record), f"{event} {record.id}")

    def tell_quote(self, quote: Quote) -> None:
        """A symbol is quoted anew."""
        if quote.symbol in self._wanted:
            kind = CRYPTO if quote.symbol in CRYPTO_SYMBOLS else STOCKS
            self._tell(kind, lambda: self._on_quotes([quote]), f"{quote.symbol} {quote.ask}")

    def _tell(self, name: str, action: Callable[[], object], words: str) -> None:
        """News of one kind, on their way."""
        state = self._states.get(name)
        if state is None or state.connected_at is None or name in self._mute:
            return
        faulty, draw = self._world.faulty, self._rng.random()
        if faulty and draw < LOST:
            return
        for _ in range(2 if faulty and draw < LOST + TWICE else 1):
            seconds = self._rng.expovariate(1 / 0.01)
            if faulty and self._rng.random() < LATE:
                seconds = self._rng.uniform(0.1, LATEST_SECONDS)
            self._world.kernel.after(int(seconds * 1e6), lambda: self._hear(name, action, words))

    def _hear(self, name: str, action: Callable[[], object], words: str) -> None:
        state = self._states.get(name)
        if self._stopped or state is None or state.connected_at is None:
            return  # it was cut meanwhile
        self._states[name] = replace(state, heard_at=self._owner.monotonic())

        def handle() -> None:
            self._world.note(self._thread, "stream", words, "")
            action()

        self._put(handle)

    # ---- connections

    def _open(self, name: str) -> None:
        self._states[name] = StreamState(None, None, 0)
        self._cut(name, CONNECT_SECONDS)

    def _cut(self, name: str, seconds: float) -> None:
        """No connection for *seconds*."""
        made = self._states[name] = replace(self._states[name], connected_at=None)

        def connected() -> None:
            if self._stopped or self._states.get(name) is not made:
                return
            now = self._owner.monotonic()
            self._states[name] = StreamState(now, now, made.connects + 1)
            self._put(lambda: self._on_connect(name))

        self._world.kernel.after(int(seconds * 1e6), connected)

    def _trouble_later(self) -> None:
        wait = self._rng.expovariate(1 / TROUBLE_SECONDS)
        self._world.kernel.after(int(wait * 1e6), self._trouble)

    def _trouble(self) -> None:
        """A connection is cut, or says nothing any more until the keeper makes another."""
        if self._stopped or not self._world.faulty:
            return
        name = self._rng.choice(sorted(self._states))
        if self._rng.random() < 0.5:
            self._cut(name, self._rng.uniform(0.2, 3.0))
        else:
            self._mute.add(name)
        self._trouble_later()

    # ---- the thread

    def _put(self, action: Callable[[], object]) -> None:
        self._due.append(action)
        if self._idle:
            self._thread.wake()

    def _live(self, thread: Process) -> None:
        while not self._stopped:
            if self._due:
                self._world.guarded(thread, self._due.popleft())
                continue
            self._idle = True
            thread.sleep(60.0)
            self._idle = False
