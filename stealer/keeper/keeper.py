"""One keeper: what it does in a pass, and in which order.

A pass that fails in one place (the broker does not answer, a list is malformed) does the rest
anyway and says so; what is not refreshed grows stale by itself, and a stale account or quote denies
or protects. So the keeper never has to decide whether a half-failed pass is good enough.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from stealer.broker.interface import Broker, BrokerError
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import Deposed, LedgerUnavailable, Refused, StaleSnapshot
from stealer.evidence import BrokerOrder
from stealer.exit_ids import is_exit
from stealer.exit_records import HEARD_SECONDS, exit_rows
from stealer.keeper.certification import Certifier
from stealer.keeper.exposure import UnusableAccount, figures
from stealer.keeper.feeds import Feeds
from stealer.keeper.leadership import Leadership
from stealer.keeper.placed import PLACED_SECONDS, placed_in
from stealer.keeper.reconcile import Reconciler
from stealer.keeper.streaming import OpenStreams, Polling, Streaming
from stealer.keeper.sweep import Sweeper
from stealer.order_ids import is_ours

log = logging.getLogger(__name__)

#: Seconds between prunings of what has expired.
PRUNE_SECONDS = 5.0


class _Listed(NamedTuple):
    orders: tuple[BrokerOrder, ...]
    #: Claims whose orders were at the broker before.
    listable: frozenset[str]


class Keeper:
    """Runs passes for one account.

    :param lease_seconds: a standby takes over this long after the last renewal.
    :param sleep, monotonic: the clock, in seconds.
    :param pace: from the seconds between passes that were asked for to those that can be had.
    :param pause: waits for positions that lag; a stop must not cut it short, or an account would be
        published that counts a fill zero times.
    :param open_streams: connects to the broker's streams while this keeper leads; None: all is
        polled.
    """

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        *,
        lease_seconds: float = 10.0,
        sleep: Callable[[float], object] = time.sleep,
        pause: Callable[[float], object] = time.sleep,
        pace: Callable[[float], float] = lambda seconds: seconds,
        monotonic: Callable[[], float] = time.monotonic,
        open_streams: OpenStreams | None = None,
    ) -> None:
        self.coordinator = coordinator
        self._broker = broker
        self._sleep = sleep
        self._pause = pause
        self._pace = pace
        self._monotonic = monotonic
        self.leadership = Leadership(coordinator, lease_seconds, monotonic)
        self._streaming = (
            Streaming(coordinator, open_streams, self.leadership.holds, monotonic)
            if open_streams
            else Polling()
        )
        self._feeds = Feeds(coordinator, broker, coordinator.settings.clock, self._streaming)
        self._reconciler = Reconciler(
            coordinator, broker, monotonic, on_end=self._streaming.found_ended
        )
        self._sweeper = Sweeper(coordinator, broker, self._reconciler, monotonic)
        self._certifier = Certifier(coordinator, broker, monotonic)
        self._prune_at = float("-inf")
        self._listed: _Listed | None = None
        self._exits_told = False
        self._complaints: dict[str, str] = {}

    def keep(self, poll_seconds: float, should_stop: Callable[[], bool]) -> None:
        """Pass after pass until told to stop; the lease is given up at the end."""
        while not should_stop():
            started = self._monotonic()
            try:
                self.run_once()
                self._resolved("ledger")
            except LedgerUnavailable as error:
                self._complain("ledger", error)
            took = self._monotonic() - started
            # Not later than the account is due: its age would come too near to stale.
            pause = self._pace(poll_seconds) - took
            self._sleep(max(min(pause, self._streaming.due_in() or pause), 0.05))
        self._streaming.stand_by()
        try:
            self.leadership.release()
        except LedgerUnavailable as error:
            log.warning("the lease is left to expire: %s", error)

    def run_once(self) -> bool:
        """One pass; False while standing by.

        :raises LedgerUnavailable: Redis cannot be reached; nothing was done by half.
        """
        if not self.leadership.renew():
            self._streaming.stand_by()
            self._certifier.look()
            return False
        term = self.leadership.term
        assert term is not None
        try:
            for key in self.coordinator.oust(term):
                log.error("%s was of another type: deleted, and made again where it can be", key)
            certified = self._guarded("certification", lambda: self._certifier.certified(term))
            if certified and self._guarded("recount", lambda: self._recount(term)):
                self._guarded("session", lambda: self._feeds.publish_session(term))
                self._listed = None
                if self._streaming.account_due():
                    published = self._guarded("account", lambda: self._account(term))
                    if self._guarded("orders", self._mend) and published:
                        self._streaming.account_read()
                claims = self.coordinator.claims()
                self._guarded("quotes", lambda: self._feeds.publish_quotes(claims.values()))
                self._guarded("sweep", lambda: self._sweeper.sweep(claims, term))
                if self._monotonic() >= self._prune_at:
                    self.coordinator.prune()
                    self._prune_at = self._monotonic() + PRUNE_SECONDS
        except Deposed as error:
            log.warning("%s", error)
            return False
        return True

    def _recount(self, term: int) -> bool:
        """False when somebody has spoiled the ledger: it is counted anew when certified again."""
        spoiled = self.coordinator.recount(term)
        if spoiled:
            log.error("nothing is granted until the ledger is counted anew: %s", spoiled)
        return not spoiled

    def _account(self, term: int) -> bool:
        """begin, read orders, then positions, then the account; condemn strays; publish.

        False when it was not published and is to be read once more.

        A fill that no claim speaks of (a person's order, or one of ours whose claim was lost) is
        in no list any more and not yet in the positions, for as long as those lag. So they are
        read that much later, and such a fill is not counted zero times.
        """
        began_at = self._monotonic()
        sequence = self.coordinator.begin_snapshot(term)
        listable = self._reconciler.listable()
        snapshot = self._broker.snapshot(self._wait_for_positions)
        self._listed = _Listed(snapshot.orders, listable)
        account = self.coordinator.settings.account
        for warning in snapshot.warnings:
            log.warning("%s", warning)
        self.coordinator.publish_placed(placed_in(snapshot), PLACED_SECONDS, term)
        self._tell_exits(snapshot.orders, self._monotonic() - began_at, term)
        claims = self.coordinator.claims()
        if not self._reconciler.condemn_strays(snapshot.orders, claims, term):
            log.warning("an order is not counted by any claim: the account is read once more")
            return False
        published = figures(
            snapshot,
            self.coordinator.settings,
            lambda order_id: is_ours(order_id, account),
            self._feeds.price_of,
        )
        try:
            self.coordinator.publish_account(published, sequence=sequence, term=term)
            self._reconciler.endings.published(snapshot.orders, began_at)
        except StaleSnapshot as error:
            log.info("%s", error)
            return False
        return True

    def _tell_exits(self, orders: tuple[BrokerOrder, ...], age: float, term: int) -> None:
        """Exit watchers go by what was listed; once more when none is left, then no more."""
        account = self.coordinator.settings.account
        rows = exit_rows(o for o in orders if is_exit(o.client_order_id, account))
        if rows or self._exits_told:
            self.coordinator.publish_exits(rows, HEARD_SECONDS, age_seconds=age, term=term)
        self._exits_told = bool(rows)

    def _wait_for_positions(self) -> None:
        """Between orders and positions; the lease must not run out meanwhile."""
        self._pause(self.coordinator.settings.position_lag_seconds)
        self.leadership.renew()

    def _mend(self) -> bool:
        """Compare what was listed with the claims, also when the account could not be published.

        False when something is left for the next pass.
        """
        if self._listed is None:
            return False
        orders, listable = self._listed
        return self._reconciler.mend(orders, self.coordinator.claims(), listable=listable)

    def _guarded(self, what: str, step: Callable[[], bool | None]) -> bool:
        """Run one step; a failure of the broker is said once and ends the step only.

        A pass that outlasts the lease does no more: somebody else may keep the account by now.
        """
        if not self.leadership.holds():
            log.warning("%s: left out, the lease has run out during this pass", what)
            return False
        try:
            done = step()
        except Deposed:
            raise
        except (BrokerError, UnusableAccount, Refused) as error:
            self._complain(what, error)
            return False
        self._resolved(what)
        return done is not False

    def _complain(self, what: str, error: Exception) -> None:
        """Say a lasting trouble once, not at every pass."""
        if self._complaints.get(what) != str(error):
            log.error("%s: %s", what, error)
        self._complaints[what] = str(error)

    def _resolved(self, what: str) -> None:
        if self._complaints.pop(what, None):
            log.info("%s: works again", what)
