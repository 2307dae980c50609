"""One entry watcher: waits for its price, opens, follows, comes back, ends.

A step looks at where the entry stands now (ranks, quote, session, claim) and does at most one
thing. Nothing is kept from one step to the next that the ledger does not also know, so a restarted
watcher goes on where the crashed one stopped: its task remembers start and fills, its slot the
claim. Start, fills and claim are remembered here as well, for a ledger that has lost its memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from stealer.broker.interface import BrokerError, BrokerRateLimited
from stealer.coordinator import WorkStealingCoordinator
from stealer.entry import Ending, Entries, EntryResult
from stealer.errors import LedgerUnavailable, Refused, Uncertified
from stealer.evidence import Placed
from stealer.ledger import LONGEST_WAIT_SECONDS
from stealer.model import Claim, OrderIntent, State, TimeInForce, decimal_text
from stealer.order_rules import told
from stealer.replies import Standing
from stealer.sessions import in_extended_hours
from stealer.tiers import TierDecision, decide_tier, distance
from watchers.pause import Pause
from watchers.price_wait import PriceWait
from watchers.repeated import Repeated
from watchers.reporter import Reporter
from watchers.status import CAPACITY_REASONS, Phase, Status
from watchers.status_file import StatusFile
from watchers.task import EntryTask
from watchers.task_memory import TaskMemory

log = logging.getLogger(__name__)

#: Seconds for which a watcher asks for its symbol's quotes, renewed at half of it.
WATCH_SECONDS = 60.0

#: What forecasts that watchers offer say of their origin.
FORECAST_SOURCE = "watcher"

#: Seconds between two looks at a claim that cannot be adopted yet, and at a Redis that is away.
LOOK_SECONDS = 0.2

#: Seconds an open claim's owner must have been silent before a restarted watcher takes it over.
ADOPT_SECONDS = 6.0


#: Objections to a rest that is less than the broker's smallest order.
TOO_SMALL = frozenset({"min_notional", "min_order_size"})


class EntryWatcher:
    """Pursues one task until its target, its expiry, or a stop.

    :param should_stop: asked between steps.
    :param sleep, monotonic, now: the clock; *now* in unix seconds, for people only.
    :param on_move: told each change of phase or reason.
    :param name: for people; the symbol if empty.
    :param status_file: where its status is kept besides Redis.
    """

    def __init__(
        self,
        task: EntryTask,
        coordinator: WorkStealingCoordinator,
        entries: Entries,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        on_move: Callable[[Phase, str], object] = lambda phase, reason: None,
        name: str = "",
        status_file: StatusFile | None = None,
    ) -> None:
        self.task = task
        self.coordinator = coordinator
        self.entries = entries
        self._should_stop = should_stop
        self._sleep, self._monotonic = sleep, monotonic
        symbol, self._is_crypto = coordinator.checked(task.intent)
        intent = task.intent
        self.slot = f"{symbol}|{intent.side}|{intent.strategy}"
        self.claim: Claim | None = None
        self.status = Status(
            symbol,
            intent.side,
            intent.strategy,
            decimal_text(task.target),
            decimal_text(intent.limit_price),
            ticket=task.ticket,
            name=name or symbol,
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
        self._watch_at = float("-inf")
        self._pause = Pause()
        self._stop_by: float | None = None
        self._memory = TaskMemory(task, coordinator, monotonic)
        self._price = PriceWait(coordinator, intent, monotonic)
        self._looked_again = False
        self._unsettled = Repeated("looking up its order")

    # ---- the loop

    def run(self) -> Phase:
        """Step after step; returns the phase in which it ended."""
        while True:
            try:
                if self._should_stop() or self.reporter.stop_asked_by:
                    return self._stop()
                ended = self.step()
                if ended:
                    return ended
                self._wait()
            except LedgerUnavailable as error:
                self._enter(Phase.BLOCKED, "redis", str(error))
                if self._stop_by is None:
                    self._sleep(min(self.task.poll_seconds, 1.0))
                elif self._without_redis():
                    return Phase.STOPPED

    def _wait(self) -> None:
        """Until its price, free capacity or news of its order wake it; the poll is the floor."""
        if self.status.reason == "overdrawn":
            # For a moment, most likely: asking at once might cost a second victim. Its own victim's
            # end may still wake it, so it does not listen; nor longer than it would, so that it
            # reports, and hears of a stop.
            self._sleep(min(self.task.poll_seconds, LONGEST_WAIT_SECONDS))
            return
        # Looking again at once, but not for ever: the ledger and we might round differently.
        self._looked_again = self._price.came_meanwhile() and not self._looked_again
        if not self._looked_again and self.coordinator.wait(self.slot, self.task.poll_seconds):
            self._price.woken()

    def step(self) -> Phase | None:
        """One look and at most one action; the final phase when it is over.

        :raises LedgerUnavailable: nothing was concluded; the order, if any, stays.
        """
        try:
            standing = self._standing()
            assert standing.task is not None  # it is asked for
            task = self._memory.heard(standing.task)
            had_claim = self.claim is not None
            if self.claim is None and (standing.claim_id or not standing.certified):
                had_claim = True
                self.claim = self._adopted()
            claim_id = self.claim.id if self.claim else ""
            live = self._follow(standing) if self.claim else Decimal(0)
        except Uncertified as error:
            self._enter(Phase.BLOCKED, error.code, str(error))
            return None
        if self.claim is None and had_claim:  # what just ended is in the task's fills now
            task = self._memory.recall()
        filled = task.filled_with(claim_id, live)
        self.status.filled_qty = decimal_text(filled)
        if filled >= self.task.target:
            return self._finish(Phase.DONE, "target", "the target is filled")
        if task.age_seconds >= self.task.expiry_seconds:
            return self._finish(Phase.EXPIRED, "expiry", "its time is over")
        if self.claim is None and self.status.reason == "replaced":
            return self._finish(Phase.STOPPED, "replaced", "a person replaced its order")
        if self.claim is None:
            return self._consider(self.task.target - filled, standing, partly=bool(filled))
        return None

    # ---- following a claim

    def _adopted(self) -> Claim | None:
        """The claim a crashed watcher left in this slot, once that one has been silent a while.

        An order with another limit, left by a task that was edited since, is taken back.
        """
        claim = self.coordinator.adopt(self.slot, ADOPT_SECONDS, ticket=self.task.ticket)
        if claim is None or claim.state is State.EVICTING:  # it is being taken back already
            return claim
        if claim.limit_price != self.task.intent.limit_price:
            self._enter(
                Phase.ENDING,
                "edited",
                f"canceling the order it left at {decimal_text(claim.limit_price)}",
            )
            if self.entries.take_back(claim, "edited", self.task.stop_seconds):
                return None
        return claim

    def _follow(self, standing: Standing) -> Decimal:
        """Heartbeat; what the claim has filled so far, 0 once the ledger has closed it."""
        claim = self.claim
        assert claim is not None
        pulse = self.coordinator.heartbeat(claim)
        if pulse.state != State.LAUNCHING:  # somebody else found out what became of it
            self._unsettled.over(self.status.symbol)
        if pulse.state == "unknown":
            return self._forgotten(claim)
        if pulse.state in ("gone", State.CLOSED):
            self._memory.filled(claim.id, pulse.filled_qty)
            how = "filled" if pulse.filled_qty >= claim.qty else pulse.state
            self._ended(pulse.ended or how, pulse.cause, pulse.by)
            return Decimal(0)
        if pulse.state == "fenced":
            self.claim = self._returned(claim)
            if self.claim:
                return pulse.filled_qty
            self._enter(Phase.BLOCKED, "fenced", "an operator or another watcher took the claim")
            return pulse.filled_qty
        if pulse.state == State.OPEN:
            self._enter(Phase.OPEN, "", "")
        elif pulse.state == State.EVICTING:
            why = f"{pulse.cause} by {pulse.by}".strip()
            self._enter(Phase.ENDING, pulse.cause or "evicted", why)
        elif pulse.state == State.LAUNCHING:
            self._enter(Phase.OPENING, "unresolved", "the broker has not confirmed the order yet")
            self._settle(claim)
        self._measure(standing)
        return pulse.filled_qty

    def _returned(self, claim: Claim) -> Claim | None:
        """The claim, if the ledger had lost it and has made it again from its order."""
        found = self.coordinator.adopt(
            self.slot, ADOPT_SECONDS, known=claim.id, ticket=self.task.ticket
        )
        return found if found and found.id == claim.id else None

    def _forgotten(self, claim: Claim) -> Decimal:
        """The ledger lost this claim (PROTOCOL: absent and certified -> cancel the own order).

        Nothing new is opened before the order is over.
        """
        try:
            order = self.entries.broker.order_by_client_id(claim.id)
            if order is not None and not order.is_terminal:
                self._enter(Phase.ENDING, "forgotten", "the ledger lost its order: canceling it")
                self.entries.broker.cancel(order.id)
                return order.filled_qty
        except BrokerError as error:
            self._enter(Phase.BLOCKED, "broker", str(error))
            return Decimal(0)
        self._memory.filled(claim.id, order.filled_qty if order else Decimal(0))
        self._ended(order.status if order else "absent", "forgotten", "")
        return Decimal(0)

    def _settle(self, claim: Claim) -> None:
        try:
            refused = self.entries.look_again(claim)
        except (BrokerError, Refused) as error:
            self._unsettled.met(self.status.symbol, error)
        else:
            self._unsettled.over(self.status.symbol)
            if refused:
                self._opened(refused)

    def _ended(self, status: str, cause: str, by: str) -> None:
        self.claim = None
        self.status.claim = ""
        if self._at_once:  # it may have been too late; every try costs requests
            self._pause.begin(self._monotonic())
        self.status.stolen_from += cause == "stolen"
        self.status.filled_qty = decimal_text(self._memory.filled_qty)
        if self._memory.filled_qty >= self.task.target:
            return  # it waits for nothing more: this step says that it is done
        if cause == "stolen":
            self._enter(Phase.WAITING_FOR_CAPACITY, "stolen", f"its capacity went to {by}")
        else:
            self._enter(
                Phase.WAITING_FOR_PRICE, status, f"its order ended: {status} {cause}".strip()
            )

    # ---- opening

    def _consider(self, missing: Decimal, standing: Standing, *, partly: bool) -> Phase | None:
        """Open if rules, tier and price allow it, and the broker is not to be left alone.

        :param partly: a part of the target is filled.
        """
        tier, away = self._measure(standing)
        if self._pause.lasts(self._monotonic()):
            self._enter(self.status.phase, self.status.reason, self.status.detail)
            return None
        intent = replace(self.task.intent, qty=missing)
        is_open = self._market_open(standing)
        try:
            objections = self.entries.objections(intent, market_open=is_open)
        except BrokerError as error:
            self._without_broker(error)
            return None
        codes = {objection.code for objection in objections}
        if partly and codes & TOO_SMALL:
            return self._finish(Phase.DONE, "target", "the rest is less than the broker takes")
        lasting = tuple(objection for objection in objections if objection.lasting)
        if lasting:
            return self._finish(Phase.IMPOSSIBLE, lasting[0].code, told(lasting))
        if standing.session_open is None:
            self._enter(Phase.BLOCKED, "no_session", "no keeper has published the session yet")
        elif standing.halted:
            self._enter(Phase.BLOCKED, "halted", standing.halted)
        elif objections:
            self._enter(Phase.BLOCKED, objections[0].code, told(objections))
        elif away is None and (tier.tolerance_pct is not None or self._at_once):
            self._enter(Phase.BLOCKED, "stale_quote", "no fresh quote")
            self._price.within(tier.tolerance_pct or 0.0)
        elif away and self._at_once:
            detail = f"{away * 100:.3f} % away; an ioc order is sent when it would fill"
            self._enter(Phase.WAITING_FOR_PRICE, tier.tier.value, detail)
            self._price.within(0.0)
        elif tier.tolerance_pct is not None and away is not None and away > tier.tolerance_pct:
            detail = f"{away * 100:.3f} % away, enters within {tier.tolerance_pct * 100:.3f} %"
            self._enter(Phase.WAITING_FOR_PRICE, tier.tier.value, detail)
            self._price.within(tier.tolerance_pct)
        else:
            self._open(intent, is_open, standing.placed())
        return None

    @property
    def _at_once(self) -> bool:
        """Its order fills at once or ends: away from the market it would only cost requests."""
        return self.task.intent.time_in_force == TimeInForce.IOC

    def _market_open(self, standing: Standing) -> bool:
        """Whether the stock exchange is open for this order now."""
        if standing.session_open or not self.task.intent.extended_hours:
            return bool(standing.session_open)
        return in_extended_hours(self.coordinator.settings.clock.now())

    def _standing(self) -> Standing:
        now = self._monotonic()
        intent = self.task.intent
        if now >= self._watch_at:
            self.coordinator.watch([intent.symbol], WATCH_SECONDS)
            self._offer(intent.forecasted_pnl)
            self._watch_at = now + WATCH_SECONDS / 2
        return self.coordinator.standing(
            intent.symbol,
            intent.strategy,
            intent.side,
            ticket=self.task.ticket,
            life_seconds=self._memory.life_seconds,
        )

    def _offer(self, pnl: float | None) -> None:
        """Publish (or withdraw) the own forecast; a crashed watcher's lapses by itself."""
        if self.task.offers_forecast:
            intent = self.task.intent
            self.coordinator.publish_forecast(
                intent.symbol,
                intent.strategy,
                pnl,
                ttl_seconds=WATCH_SECONDS,
                source=FORECAST_SOURCE,
                weak=True,
            )

    def _measure(self, standing: Standing) -> tuple[TierDecision, float | None]:
        """Tier, tolerance and distance now, into the status as well."""
        intent = self.task.intent
        is_open = bool(standing.session_open)
        # Out of hours only crypto can be traded, so the crypto ranking is the ranking.
        rank = standing.rank if is_open else standing.crypto_rank
        tier = decide_tier(
            self.status.symbol,
            is_crypto=self._is_crypto,
            rank=rank,
            crypto_rank=standing.crypto_rank,
            session_open=is_open,
            explicit_force=intent.force_immediate,
            settings=self.coordinator.settings,
        )
        own = self.task.tolerance_pct
        if own is not None and tier.tolerance_pct is not None and not tier.steal_only:
            tier = TierDecision(tier.tier, own, tier.reason)
        away = None
        if standing.bid and standing.ask:
            away = distance(intent.side, float(intent.limit_price), standing.bid, standing.ask)
        self.status.tier, self.status.tolerance_pct = tier.tier.value, tier.tolerance_pct
        self.status.distance_pct = away
        self.status.pnl = standing.pnl if standing.pnl is not None else intent.forecasted_pnl
        return tier, away

    def _open(self, intent: OrderIntent, market_open: bool, placed: Placed) -> None:
        self._price.woken()  # an attempt waits for its victims on the same list
        try:
            result = self.entries.open(
                intent, market_open=market_open, placed=placed, ticket=self.task.ticket
            )
        except BrokerError as error:
            self._without_broker(error)
        else:
            self._opened(result)

    def _without_broker(self, error: BrokerError) -> None:
        limited = isinstance(error, BrokerRateLimited)
        self._enter(Phase.BLOCKED, "budget" if limited else "broker", str(error))
        self._pause.begin(self._monotonic())

    def _opened(self, result: EntryResult) -> None:
        """Take note of how the attempt ended."""
        self.claim = result.claim
        self.status.claim = result.claim.id if result.claim else ""
        self.status.steals += bool(result.stolen_from)
        if result.ending is Ending.OPEN:
            stolen = ", ".join(result.stolen_from)
            self._pause.forget()
            self._enter(Phase.OPEN, "stole" if stolen else "", f"from {stolen}" if stolen else "")
        elif result.ending is Ending.UNRESOLVED:
            self._enter(Phase.OPENING, result.reason, result.detail)
        elif result.ending is Ending.DENIED and result.reason in CAPACITY_REASONS:
            self._enter(Phase.WAITING_FOR_CAPACITY, result.reason, result.detail)
            if result.reason == "not_close_enough":
                self._price.within(self.coordinator.settings.entry_tolerance_pct)
        else:
            self._enter(Phase.BLOCKED, result.reason, result.detail)
            if result.ending is Ending.REFUSED and not result.objections:
                self._pause.begin(self._monotonic())

    # ---- ending and telling

    def _stop(self) -> Phase:
        """Take back what is out, also what a crashed predecessor of this task left."""
        if self._stop_by is None:
            self._stop_by = self._monotonic() + self.task.stop_seconds
        while self.claim is None:
            held = self.coordinator.claim_in_slot(*self.slot.split("|"))
            if held is None or held.ticket != self.task.ticket or held.state is State.RESERVED:
                break
            try:
                self.claim = self.coordinator.adopt(self.slot, ADOPT_SECONDS)  # its ticket is ours
            except Uncertified as error:
                log.warning("%s; the keeper finishes its order", error)
                break
            if self._monotonic() >= self._stop_by:
                break
            self.entries.sleep(LOOK_SECONDS)
        who = self.reporter.stop_asked_by
        return self._finish(Phase.STOPPED, "stop", f"stopped by {who or 'signal'}")

    def _without_redis(self) -> bool:
        """Stopping, and Redis is away: cancel at the broker first, then tell the ledger if it
        comes back in time; else the keeper does. True when the time is over.
        """
        if self.claim:
            try:
                order = self.entries.broker.order_by_client_id(self.claim.id)
                if order and not order.is_terminal:
                    self.entries.broker.cancel(order.id)
            except BrokerError as error:
                log.warning("%s: its order may be left: %s", self.status.symbol, error)
        self.entries.sleep(LOOK_SECONDS)
        if self._stop_by is not None and self._monotonic() < self._stop_by:
            return False
        self._enter(Phase.STOPPED, "redis", "stopped without Redis")
        return True

    def _finish(self, phase: Phase, reason: str, detail: str) -> Phase:
        """Take the order back if one is out, and say how it ended."""
        if self.claim:
            self._enter(Phase.ENDING, reason, "canceling its order")
            back = self.entries.take_back(self.claim, reason, self.task.stop_seconds)
            if back:
                self.status.claim = ""
            else:
                detail += "; the keeper finishes its order"
            filled = self._memory.recall().filled_qty
            self.status.filled_qty = decimal_text(filled)
            self.claim = None
        self._enter(phase, reason, detail)
        self._price.no_more()
        self._offer(None)
        if phase is not Phase.IMPOSSIBLE:  # what is wrong with it stays to be read, as of a crash
            self.coordinator.forget_report()
        return phase
