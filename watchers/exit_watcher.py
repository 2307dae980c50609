"""One exit watcher: keeps a take-profit order at the broker for what an entry filled.

A step reads what there is to sell, sees what became of the order that is out, and does at most one
thing: cancel an order that is outgrown, or send the next of the chain. States and failures are in
docs/exits.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from decimal import Decimal

from stealer import fence as os_fence
from stealer.asset_rules import AssetRules
from stealer.broker.interface import Broker, BrokerError, BrokerRateLimited
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import LedgerUnavailable
from stealer.evidence import TERMINAL_STATUSES, BrokerOrder, Outcome, SubmitResult
from stealer.exit_records import ExitRecords, Progress
from stealer.model import decimal_text
from stealer.order_rules import Limits, Objection, told
from stealer.refusals import AGAINST_THE_RULES
from stealer.sessions import in_extended_hours
from watchers.exit_chain import ChainBroken, ExitChain, Fence
from watchers.exit_growth import SETTLED_SECONDS, Growth
from watchers.exit_sizing import GONE, TOO_SMALL, ExitSizing, Offer
from watchers.exit_source import ExitSource
from watchers.exit_stopping import Settling, left_open
from watchers.exit_task import ExitTask
from watchers.pause import LONGEST_SECONDS, Pause
from watchers.reporter import Reporter
from watchers.status import REPORT_SECONDS, Kind, Phase, Status
from watchers.status_file import StatusFile

log = logging.getLogger(__name__)

#: Seconds between two looks at an order that nobody tells of, and at one that is ending.
LOOK_SECONDS = 10.0
ENDING_LOOK_SECONDS = 1.0

#: Seconds between two cancels of one order.
REPEAT_CANCEL_SECONDS = 3.0

#: Seconds after which an order that does not end is asked for so often no more: off hours a stock's
#: cancel may wait for the session.
SLOW_END_SECONDS = 10.0
SLOW_CANCEL_SECONDS = 30.0


class ExitWatcher:
    """Pursues one exit until all is sold, its expiry, or a stop.

    :param should_stop: asked between steps.
    :param sleep, monotonic, now: the clock; *now* in unix seconds, for people only.
    :param wait: so many seconds, or until there is news (True); in Redis if None.
    :param on_move: told each change of phase or reason.
    :raises InvalidIntent: a symbol that this account does not trade.
    """

    def __init__(
        self,
        task: ExitTask,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], object] = time.sleep,
        wait: Callable[[float], bool] | None = None,
        monotonic: Callable[[], float] = os_fence.seconds,
        now: Callable[[], float] = time.time,
        on_move: Callable[[Phase, str], object] = lambda phase, reason: None,
        fence: Fence | None = None,
        name: str = "",
        status_file: StatusFile | None = None,
    ) -> None:
        self.task, self.coordinator, self._broker = task, coordinator, broker
        self._should_stop = should_stop
        self._sleep, self._monotonic = sleep, monotonic
        self._wait = wait or self._await_news
        self._fence = fence
        self.symbol, self._is_crypto = coordinator.classify(task.symbol)
        settings = coordinator.settings
        self.records = ExitRecords(coordinator)
        self.source = ExitSource(task, self.symbol, self.records, monotonic)
        self._sizing = ExitSizing(
            task,
            self.symbol,
            self._is_crypto,
            broker,
            AssetRules(coordinator, broker, sleep=sleep, monotonic=monotonic),
            Limits.of(settings),
            trust_seconds=settings.trust_seconds,
            wait_for_positions=lambda: self._sleep(settings.position_lag_seconds),
            monotonic=monotonic,
        )
        self._dry_run = settings.dry_run
        self._began: ExitChain | None = None
        self._began_ms = 0
        self._kept: Progress | None = None
        self._checked = False  # the order's form, once
        self._looked_at = self._canceled_at = float("-inf")
        self._ending_at = float("-inf")
        self._ending = ""  # why the order that is out is being canceled
        self._unanswered_at = float("-inf")  # an order was sent, and not seen since
        self._settling = Settling(task, monotonic)
        self._growth = Growth(
            task, self.source, self._sizing, lambda: coordinator.placed(self.symbol), monotonic
        )
        self._pause = Pause()
        self._market_open = False
        self.status = Status(
            self.symbol,
            task.side,
            task.strategy,
            "0",
            decimal_text(task.limit_price),
            ticket=task.ticket,
            name=name or f"{self.symbol}.exit",
            kind=Kind.EXIT,
        )
        self.reporter = Reporter(
            self.status,
            coordinator,
            monotonic=monotonic,
            now=now,
            on_move=on_move,
            file=status_file,
        )
        self._enter = self.reporter.enter

    # ---- the loop

    def run(self) -> Phase:
        """Step after step; returns the phase in which it ended."""
        while True:
            try:
                if self._should_stop() or (self.reporter.stop_asked_by and not self._settles()):
                    return self._stop()
                ended = self.step()
                if ended:
                    return ended
            except LedgerUnavailable as error:
                self._enter(Phase.BLOCKED, "redis", str(error))
            poll = self.task.poll_seconds
            self._rest(min(poll, ENDING_LOOK_SECONDS / 2) if self._ending else poll)

    def _rest(self, seconds: float) -> None:
        """Until there is news, or the next step is due; it reports meanwhile, and so hears of a
        stop.
        """
        if self.reporter.stop_asked_by:
            self._sleep(ENDING_LOOK_SECONDS / 2)
            return
        until = self._monotonic() + seconds
        while not self._should_stop() and not self.reporter.stop_asked_by:
            left = until - self._monotonic()
            if left <= 0 or self._wait(min(left, REPORT_SECONDS)):
                return
            self._enter(self.status.phase, self.status.reason, self.status.detail)

    def _await_news(self, seconds: float) -> bool:
        try:
            return self.records.wait(self.task.ticket, seconds)
        except LedgerUnavailable:
            self._sleep(seconds)  # the next step says that Redis is away
            return False

    def step(self) -> Phase | None:
        """One look and at most one action; the final phase when it is over.

        :raises LedgerUnavailable: nothing was concluded; the order, if any, stays.
        """
        if self._began is None and self._pause.lasts(self._monotonic()):
            self._enter(self.status.phase, self.status.reason, self.status.detail)
            return None
        try:
            chain = self._chain()
            self.source.look()
            self._see(chain)
            return self._act(chain)
        except ChainBroken as error:
            if error.by_hand:
                return self._finish(Phase.STOPPED, "replaced", str(error))
            return self._finish(Phase.IMPOSSIBLE, "ticket", str(error))
        except BrokerError as error:
            limited = isinstance(error, BrokerRateLimited)
            self._blocked("budget" if limited else "broker", str(error))
            return None

    @property
    def filled(self) -> Decimal:
        """Units that were filled: as the ledger tells, or what the chain proves if that is more."""
        proven = self._began.proven if self._began and self.task.qty is None else Decimal(0)
        return max(self.source.told, proven)

    def _act(self, chain: ExitChain) -> Phase | None:
        """At most one thing, by what was seen."""
        self.status.target_qty = decimal_text(self.filled)
        self.status.filled_qty = decimal_text(chain.sold_in_all)
        self.status.claim = chain.id if chain.order else ""
        standing = self.coordinator.standing(self.symbol, self.task.strategy, self.task.side)
        self._market_open = self._is_crypto or bool(standing.session_open)
        if not self._market_open and self.task.extended_hours:
            self._market_open = in_extended_hours(self.coordinator.settings.clock.now())
        if self._is_expired():
            if chain.order is None:
                return self._expire(chain)
            self._end("expiry")
        if chain.order is not None:
            self._follow(chain, chain.order)
            return None
        if not self._checked:
            objections = self._sizing.at_any_size(self.filled - chain.sold)
            if objections:
                return self._finish(Phase.IMPOSSIBLE, objections[0].code, told(objections))
            self._checked = True
        if self._pause.lasts(self._monotonic()):
            self._enter(self.status.phase, self.status.reason, self.status.detail)
            return None
        if self.filled > chain.sold:
            return self._sell(chain)
        return self._nothing_left(chain)

    # ---- seeing

    def _chain(self) -> ExitChain:
        """The chain, walked once from where it was left."""
        if self._began is None:
            known = self.records.progress(self.task.ticket)
            self._began_ms = known.began_ms or self.coordinator.now_ms()
            chain = ExitChain(
                self._broker,
                self.coordinator.settings.account,
                self.task.ticket,
                self.symbol,
                self.task.side,
                known,
                monotonic=self._monotonic,
                fence=self._fence,
            )
            self._look(chain)
            self._began = chain
            if chain.order:
                log.info("%s: adopts its order %s", self.symbol, chain.id)
        return self._began

    def _see(self, chain: ExitChain) -> None:
        """What became of the order that is out: by the keeper's word, or by the broker's."""
        if chain.order is None:
            return
        since = self._monotonic() - self._looked_at
        heard = self.records.heard(chain.id)
        if self._ending or (heard is not None and heard.status in TERMINAL_STATUSES):
            due = since >= (LOOK_SECONDS if self._ends_slowly else ENDING_LOOK_SECONDS)
        elif heard is not None:
            due = False
            chain.hear(heard)
        else:
            due = since >= LOOK_SECONDS
        if due:
            self._look(chain)

    def _look(self, chain: ExitChain) -> None:
        """Ask the broker, and keep how far the chain has come."""
        number = chain.number
        self._looked_at = self._monotonic()
        try:
            chain.look()
        finally:
            self._keep(chain)
        if chain.order or chain.number > number:
            self._unanswered_at = float("-inf")
        if chain.ended and chain.number > number and self._began is not None:
            self._ended(chain.ended)
        if chain.order is None:
            self._ending = ""

    def _keep(self, chain: ExitChain) -> None:
        progress = chain.progress(self._began_ms)
        if progress != self._kept:
            self.records.keep_progress(self.task.ticket, progress)
            self._kept = progress

    def _ended(self, order: BrokerOrder) -> None:
        """An order that ended unasked before it sold all is not sent again at once."""
        log.info(
            "%s: order %s is over: %s, sold %s of %s",
            *(self.symbol, order.client_order_id, order.status, order.filled_qty, order.qty),
        )
        if order.filled_qty:
            self._pause.forget()
        elif not self._ending:
            self._pause.begin(self._monotonic())
            self._enter(Phase.BLOCKED, order.status, f"its order ended: {order.status}")

    # ---- following the order that is out

    def _follow(self, chain: ExitChain, order: BrokerOrder) -> None:
        left = self.filled - chain.sold
        if not self._ending and not self._dry_run:
            self._end(self._growth.reason(order, left, market_open=self._market_open))
        if not self._ending:
            if self._growth.age >= LONGEST_SECONDS:
                self._pause.forget()  # it rests: the next trouble is the first again
            self._enter(Phase.OPEN, "", "")
            return
        self._enter(Phase.ENDING, self._ending, "canceling its order")
        self._cancel(chain)

    def _end(self, reason: str) -> None:
        """The order that is out is to end for this *reason*, if any; the first one stays."""
        if reason and not self._ending:
            self._ending, self._ending_at = reason, self._monotonic()

    @property
    def _ends_slowly(self) -> bool:
        return bool(self._ending) and self._monotonic() - self._ending_at >= SLOW_END_SECONDS

    def _cancel(self, chain: ExitChain) -> None:
        apart = SLOW_CANCEL_SECONDS if self._ends_slowly else REPEAT_CANCEL_SECONDS
        if not self._dry_run and self._monotonic() - self._canceled_at >= apart:
            self._canceled_at = self._monotonic()
            chain.cancel()

    # ---- sending

    def _sell(self, chain: ExitChain) -> Phase | None:
        """Send the next order for what is left, as far as rules and position allow."""
        early = self._sizing.early(self.filled - chain.sold, market_open=self._market_open)
        if early:
            return self._objected(chain, early)
        self._look(chain)  # another process may have sent it, or a late POST has arrived
        left = self.filled - chain.sold
        if chain.order is not None or left <= 0:
            return None
        offer = self._sizing.offer(left, market_open=self._market_open)
        if self._should_stop():
            return None  # it was woken before the position could be trusted
        if offer.objections:
            return self._objected(chain, offer.objections)
        if self._dry_run:
            words = f"would {self.task.side} {decimal_text(offer.qty)}"
            self._blocked("dry_run", f"{words} at {decimal_text(self.task.limit_price)}")
        else:
            self._growth.sent()
            result = chain.send(
                offer.qty,
                self.task.limit_price,
                is_crypto=self._is_crypto,
                time_in_force=self.task.time_in_force,
                extended_hours=self.task.extended_hours,
                until=offer.until,
            )
            self._sent(chain, offer, result)
        return None

    def _sent(self, chain: ExitChain, offer: Offer, result: SubmitResult) -> None:
        self._looked_at = self._monotonic()
        if result.outcome is Outcome.CONFIRMED:
            self._keep(chain)
            self._enter(Phase.OPEN, "", f"for {decimal_text(offer.qty)}")
        elif result.outcome is Outcome.UNRESOLVED:
            self._unanswered_at = self._monotonic()
            self._pause.begin(self._monotonic())
            self._enter(Phase.OPENING, result.kind, result.message)
        else:
            if result.kind in AGAINST_THE_RULES:
                self._sizing.rules.forget(self.symbol)
            self._blocked(result.kind or "not_sent", result.message)

    def _objected(self, chain: ExitChain, objections: tuple[Objection, ...]) -> Phase | None:
        """Wait, or end: nothing was sent."""
        first, words = objections[0], told(objections)
        codes = {objection.code for objection in objections}
        asked_for = self.task.qty is not None and chain.number == 0
        if codes & (TOO_SMALL | {GONE}) and not asked_for:
            settled = self._monotonic() - self.source.changed_at >= SETTLED_SECONDS
            if self.source.over and settled:
                return self._finish(Phase.DONE, "rest", f"nothing more can be sold: {words}")
            if codes & TOO_SMALL:
                self._enter(Phase.WAITING_FOR_ENTRY, first.code, words)
                return None
        elif first.lasting:
            return self._finish(Phase.IMPOSSIBLE, first.code, words)
        if first.code == "market_closed":
            self._enter(Phase.BLOCKED, first.code, words)
        else:
            self._blocked(first.code, words)
        return None

    def _nothing_left(self, chain: ExitChain) -> Phase | None:
        if self.source.over:
            sold = decimal_text(chain.sold)
            return self._finish(Phase.DONE, "sold", f"the entry is over, sold {sold}")
        words = "nothing filled that is not sold"
        if self.source.told < chain.sold:
            words = (
                f"its orders sold {decimal_text(chain.sold)}, but the ticket tells of "
                f"{decimal_text(self.source.told)} filled only: used before, or forgotten"
            )
        self._enter(Phase.WAITING_FOR_ENTRY, "fills", words)
        return None

    # ---- ending and telling

    def _is_expired(self) -> bool:
        limit = self.task.expiry_seconds
        age_ms = self.coordinator.now_ms() - self._began_ms if limit else 0
        return limit is not None and age_ms >= limit * 1000

    @property
    def _may_arrive(self) -> bool:
        """An order that was sent may still come to be."""
        since = self._monotonic() - self._unanswered_at
        return since < self.coordinator.settings.quarantine_seconds

    def _expire(self, chain: ExitChain) -> Phase | None:
        """Nothing is out as far as is known: end, when nothing can come any more either."""
        self._look(chain)
        if chain.order is not None:
            return None  # it is taken back with the next step
        if self._may_arrive:
            self._enter(Phase.OPENING, "expiry", "the order that it sent may still arrive")
            return None
        return self._finish(Phase.EXPIRED, "expiry", "its time is over")

    def _settles(self) -> bool:
        can_send = self._market_open and self.status.phase is not Phase.WAITING_FOR_ENTRY
        return self._settling.goes_on(
            ending=bool(self._ending),
            can_send=can_send and not self._dry_run,
            open_units=self._without_order(),
        )

    def _stop(self) -> Phase:
        """Leave the order where it is, or take it back if the task says so."""
        words = f"stopped by {self.reporter.stop_asked_by or 'signal'}"
        if self.task.cancel_on_stop:
            words += self._taken_back()
        elif self._began is None or self._began.order is not None:
            words += "; its order stays at the broker, and is adopted under the same ticket"
        elif self._may_arrive:
            words += "; it may have an order at the broker, which is adopted under the same ticket"
        words += left_open(self.task, self._without_order())
        return self._finish(Phase.STOPPED, "stop", words)

    def _without_order(self) -> Decimal:
        """Units to sell, as far as was seen, that no order closes or has closed."""
        chain = self._began
        if chain is None:
            return Decimal(0)
        return self.filled - chain.sold - (chain.order.qty if chain.order else Decimal(0))

    def _taken_back(self) -> str:
        """Cancel the order within the bound; what is to be said of it."""
        stop_at = self._monotonic() + self.task.stop_seconds
        while True:
            try:
                chain = self._chain()
                self._look(chain)
                if chain.order is not None:
                    self._cancel(chain)
                elif not self._may_arrive:
                    return ""
            except ChainBroken as error:
                return f"; {error}"
            except (BrokerError, LedgerUnavailable) as error:
                log.warning("%s: taking its order back: %s", self.symbol, error)
            if self._monotonic() >= stop_at:
                return "; its order may still be at the broker"
            self._sleep(ENDING_LOOK_SECONDS / 2)

    def _blocked(self, reason: str, words: str) -> None:
        self._enter(Phase.BLOCKED, reason, words)
        self._pause.begin(self._monotonic())

    def _finish(self, phase: Phase, reason: str, detail: str) -> Phase:
        self._enter(phase, reason, detail)
        if phase is not Phase.IMPOSSIBLE:  # what is wrong with it stays to be read, as of a crash
            try:
                self.coordinator.forget_report()
            except LedgerUnavailable as error:
                log.debug("status not taken away: %s", error)
        return phase
