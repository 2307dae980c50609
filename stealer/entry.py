"""One entry from intent to live order: acquire, cancel, close, launch, submit, confirm.

The steps and their evidence are PROTOCOL's. This module decides nothing about capacity; it carries
evidence from the broker to the ledger, and never sends an order without ``launch``. It is plain
blocking code: the broker, the clock and the sleep are given to it, so that a test or a simulation
can put itself between any two steps.

Whatever is interrupted here is finished by the keeper: a reserved claim by its deadline, a launched
one by a look-up, an evicting one by repeating the DELETE.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

from stealer import fence as os_fence
from stealer import order_rules
from stealer.asset_rules import AssetRules
from stealer.broker.interface import Broker, BrokerError, BrokerNotFound
from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import ClaimGone, Refused, StealerError, Underfunded, WrongState
from stealer.evidence import BrokerOrder, NewOrder, Outcome, Placed, SubmitResult
from stealer.model import Claim, Decision, OrderIntent, Verdict, Victim
from stealer.order_rules import Limits, Objection, Placement, Surroundings
from stealer.refusals import Refusals
from stealer.taking_back import (
    FIRST_LOOK_SECONDS,
    LONGEST_LOOK_SECONDS,
    REPEAT_CANCEL_SECONDS,
    TakingBack,
)

log = logging.getLogger(__name__)

#: Pauses in seconds between a refusal for want of buying power and its repeats: Alpaca frees what a
#: confirmed cancel held a moment late (ALPACA.md), and a price does not wait.
SETTLE_SECONDS = (0.1, 0.4)

#: Seconds that arming the fence may take. A process that was stopped meanwhile has armed it too
#: late, and sends nothing.
ARMING_SECONDS = 0.5

#: Makes the context that ends the process when it is not left within so many seconds.
Fence = Callable[[float], AbstractContextManager[object]]

#: Refusals that a cancel which is still settling at the broker explains.
SETTLING = frozenset({"insufficient_buying_power", "insufficient_balance", "held_quantity"})


class Ending(StrEnum):
    """How an attempt to open an entry ended."""

    OPEN = "open"  #: the order is live (or was filled at once); the claim follows it
    DENIED = "denied"  #: the ledger said no; nothing is held
    REFUSED = "refused"  #: the broker, or its rules, said no; nothing is held
    UNRESOLVED = "unresolved"  #: the POST may have landed; the claim stays until that is known


@dataclass(frozen=True, slots=True)
class EntryResult:
    """The end of one attempt; ``claim`` is set when OPEN or UNRESOLVED.

    ``objections``: what our copy of the broker's rules has against it, when REFUSED by that.
    """

    ending: Ending
    reason: str = ""
    detail: str = ""
    claim: Claim | None = None
    order: BrokerOrder | None = None
    stolen_from: tuple[str, ...] = ()
    objections: tuple[Objection, ...] = ()


#: A claim with its permission to send, and until when that may be trusted on the monotonic clock.
Launched = tuple[Claim, float]


class TrustExpired(Exception):
    """The launch may not be trusted any more; nothing was sent."""


class Entries:
    """Opens and takes back entries for one process.

    :param on_step: told each step in a few words, for status and logs.
    :param should_stop: asked before a new order may go out; what is reserved is then given up.
    :param sleep, monotonic: the clock, in seconds.
    :param fence: what ends a process that was stopped in the middle of a POST; by default the
        operating system's, and none with a clock that is not the operating system's.
    """

    def __init__(
        self,
        coordinator: WorkStealingCoordinator,
        broker: Broker,
        *,
        on_step: Callable[[str], None] = lambda step: None,
        should_stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = os_fence.seconds,
        fence: Fence | None = None,
    ) -> None:
        self.coordinator = coordinator
        self.broker = broker
        self.on_step = on_step
        self.should_stop = should_stop
        self.sleep = sleep
        self.monotonic = monotonic
        own = os_fence.armed if monotonic is os_fence.seconds else os_fence.unarmed
        self.fence: Fence = fence or own
        self.rules = AssetRules(coordinator, broker, sleep=sleep, monotonic=monotonic)
        self.limits = Limits.of(coordinator.settings)
        self.refusals = Refusals(coordinator, broker, self.rules)

    # ---- opening

    def open(
        self,
        intent: OrderIntent,
        *,
        market_open: bool,
        placed: Placed | None = None,
        ticket: str = "",
    ) -> EntryResult:
        """Try once to have *intent*'s order open.

        :param market_open: see ``order_rules.Surroundings``.
        :param placed: what the account has in the symbol, if the caller has just been told it.
        :raises InvalidIntent, LedgerUnavailable, LedgerMisconfigured: nothing was sent.
        :raises BrokerError: the asset's rules could not be read; nothing was reserved.
        """
        order = self._draft(intent)
        if placed is None:
            placed = self.coordinator.placed(order.symbol)
        objections = self._checked(order, Surroundings(market_open, self.limits, placed))
        if objections:
            words = order_rules.told(objections)
            return EntryResult(Ending.REFUSED, objections[0].code, words, objections=objections)
        started = self.monotonic()
        decision = self.coordinator.acquire(intent, ticket=ticket)
        if decision.outcome is Verdict.DENIED or decision.claim is None:
            return EntryResult(Ending.DENIED, decision.reason, decision.detail)
        claim = decision.claim
        stolen = tuple(victim.symbol for victim in decision.victims)
        if stolen:
            self.on_step(f"stealing from {', '.join(stolen)}")
        give_up_at = started + self.coordinator.settings.reserve_seconds
        try:
            launched = self._fund_and_launch(claim, decision, started, give_up_at)
        except Refused as error:
            return self._lost(claim, error)
        if isinstance(launched, EntryResult):
            return launched
        claim, trusted_until = launched
        try:
            how = order_rules.placed_as(order)
            return self._send(claim, how, trusted_until, stolen)
        except StealerError as error:
            # The POST may have landed, and the ledger could not be told what became of it.
            log.warning("%s", error)
            code = error.code if isinstance(error, Refused) else "redis"
            return EntryResult(Ending.UNRESOLVED, code, str(error), claim, stolen_from=stolen)

    def objections(self, intent: OrderIntent, *, market_open: bool) -> tuple[Objection, ...]:
        """What stands against *intent* whatever else is open in the account; reserves nothing.

        :raises BrokerError: the asset's rules could not be read.
        """
        return self._checked(self._draft(intent), Surroundings(market_open, self.limits))

    def _checked(self, order: NewOrder, around: Surroundings) -> tuple[Objection, ...]:
        try:
            asset = self.rules.of(order.symbol)
        except BrokerNotFound:  # the broker's own word; an address that is wrong is no evidence
            return (order_rules.no_asset(order.symbol),)
        return order_rules.check(order, asset, around)

    def _draft(self, intent: OrderIntent) -> NewOrder:
        return order_rules.draft(intent, *self.coordinator.classify(intent.symbol))

    def _lost(self, claim: Claim, error: Refused) -> EntryResult:
        """The ledger refused a step: give back what is reserved and say why."""
        try:
            self.coordinator.abort(claim, error.code)
        except WrongState:  # past reserved: a POST may be out
            return EntryResult(Ending.UNRESOLVED, error.code, str(error), claim)
        except Refused as again:
            log.warning("%s", again)
        return EntryResult(Ending.DENIED, error.code, str(error))

    # ---- funding

    def _fund_and_launch(
        self, claim: Claim, decision: Decision, decided_at: float, give_up_at: float
    ) -> Launched | EntryResult:
        """Cancel victims and carry their ends to the ledger until the claim can be launched.

        A decision is acted on for as long as a launch is trusted. Who was stopped for longer asks
        again first: meanwhile the ledger may have been rebuilt, and the victim be nobody's.
        """
        trust = self.coordinator.settings.trust_seconds
        if decision.outcome is Verdict.GRANTED and not decision.inherits:
            return self._launch(claim)  # from what was free
        asked: dict[str, float] = {}
        pause, woken = FIRST_LOOK_SECONDS, False
        while True:
            stale = False
            # Who is woken asks the ledger first: the keeper's stream has told it of a victim's
            # end, and a look-up of our own takes a request and some milliseconds.
            if woken:
                with suppress(Underfunded):  # it was the last victim, most likely
                    return self._launch(claim)
            for victim in () if woken else decision.victims:
                stale = self.monotonic() - decided_at > trust
                if stale:
                    break
                self._end_victim(victim, asked)
            decided_at, before = self.monotonic(), decision.victims
            decision = self.coordinator.topup(claim)
            if decision.outcome is Verdict.GRANTED and decision.claim:
                return self._launch(decision.claim)
            if decision.outcome is Verdict.DENIED:
                self.coordinator.abort(claim, decision.reason)
                return EntryResult(Ending.DENIED, decision.reason, decision.detail)
            if self.should_stop():
                return self._given_up(claim)
            if self.monotonic() >= give_up_at:
                self.coordinator.abort(claim, "victims did not end in time")
                waiting = ", ".join(victim.symbol for victim in decision.victims)
                return EntryResult(Ending.DENIED, "late", f"{waiting} did not end in time")
            in_vain, woken = woken and decision.victims == before, False
            if not stale and all(victim.id in asked for victim in decision.victims):
                woken = self.coordinator.wait(claim.slot, pause) and not in_vain
                pause = min(pause * 2, LONGEST_LOOK_SECONDS)

    def _launch(self, claim: Claim) -> Launched | EntryResult:
        """The permission to send the POST.

        :raises Refused: not funded, overdrawn, halted, late, fenced, gone.
        """
        if self.should_stop():
            return self._given_up(claim)
        asked_at = self.monotonic()
        trusted_until = asked_at + self.coordinator.launch(claim)
        if self.coordinator.replicated():
            return claim, trusted_until
        why = "too few replicas have the launch (STEALER_WAIT_REPLICAS)"
        self.coordinator.unlaunch(claim, f"not sent: {why}", refused=False)
        return EntryResult(Ending.DENIED, "replicas", why)

    def _given_up(self, claim: Claim) -> EntryResult:
        """A stop was asked for: nothing was sent, so nothing need be."""
        self.coordinator.abort(claim, "stopped")
        return EntryResult(Ending.DENIED, "stopped", "it was told to stop")

    def _end_victim(self, victim: Victim, asked: dict[str, float]) -> None:
        """Request the cancel (again after a while) or close the claim if its order is over.

        Just after a cancel was accepted a look would find it pending, and cost a request; the
        keeper's stream tells its end. A broker that does not answer is no reason to stop: the
        keeper repeats the DELETE, and the deadline bounds the wait.
        """
        try:
            now = self.monotonic()
            if now - asked.get(victim.id, -REPEAT_CANCEL_SECONDS) >= REPEAT_CANCEL_SECONDS:
                asked[victim.id] = now
                if victim.order_id:
                    result = self.broker.cancel(victim.order_id)
                    if result.outcome is Outcome.CONFIRMED:
                        return
            self.settle(victim.id)
        except BrokerError as error:
            log.warning("victim %s: %s", victim.symbol, error)

    def settle(self, claim_id: str) -> BrokerOrder | None:
        """Look one order up and tell the ledger what it is; None when the broker knows none.

        An order that a person replaced is left to the keeper: its capacity is now the new order's,
        which counts as foreign only after the next snapshot, and must not be free before that.

        :raises BrokerError: no trustworthy answer.
        """
        order = self.broker.order_by_client_id(claim_id)
        if order is not None:
            self.refusals.shown(claim_id)  # whatever else fails now
        if order is None or order.status == "replaced":
            return order
        try:
            if order.is_terminal:
                self.coordinator.close(claim_id, order)
            else:
                self.coordinator.confirm(claim_id, order)
        except ClaimGone:
            log.debug("%s has been closed by somebody else", claim_id)
        return order

    def look_again(self, claim: Claim) -> EntryResult | None:
        """Settle the own launched *claim*; REFUSED once it is given back, else None.

        It is given back at the first look-up that finds nothing after a definite refusal of its
        only POST. That a POST has no answer, or that this process did not send it, is none.

        :raises BrokerError: no trustworthy answer. :raises Refused: the ledger knows more.
        """
        return self.refusals.believed(claim, self.settle(claim.id))

    # ---- sending

    def _send(
        self, claim: Claim, how: Placement, trusted_until: float, stolen: tuple[str, ...]
    ) -> EntryResult:
        """The POST of a launched claim, and the right answer to each of the four outcomes."""
        result = self._post(claim, how, trusted_until)
        posts, absent = 1, None
        for pause in SETTLE_SECONDS:
            # Whoever's cancel freed it, the broker may still hold what the ledger has given to us.
            if result.outcome is not Outcome.REJECTED or result.kind not in SETTLING:
                break
            absent = self.refusals.absent(claim)
            if not absent:
                break
            self.sleep(pause)
            posts, absent = posts + 1, None
            result = self._post(claim, how, trusted_until)
        if result.outcome is Outcome.CONFIRMED and result.order:
            return self._opened(claim, result.order, stolen)
        if result.outcome is Outcome.DENIED:  # a repeat that is not sent leaves the refusal
            self.coordinator.unlaunch(claim, f"not sent: {result.message}", refused=posts > 1)
            return EntryResult(Ending.REFUSED, result.kind or "not_sent", result.message)
        if result.outcome is Outcome.REJECTED:
            refused = EntryResult(Ending.REFUSED, result.kind, result.message, stolen_from=stolen)
            if self.refusals.met(claim, refused, absent, only_post=posts == 1):
                return refused
            return EntryResult(Ending.UNRESOLVED, result.kind, result.message, claim)
        return self._resolve(claim, result, stolen)

    def _post(self, claim: Claim, how: Placement, trusted_until: float) -> SubmitResult:
        """One POST, only while the launch may be trusted, by the clock at send time; a process that
        is stopped after that check is ended by the fence."""

        @contextmanager
        def guard() -> Iterator[None]:
            asked_at = self.monotonic()
            if asked_at >= trusted_until:
                raise TrustExpired("the launch is too old to be trusted")
            with self.fence(trusted_until - asked_at):
                armed_at = self.monotonic()
                if armed_at >= trusted_until or armed_at - asked_at > ARMING_SECONDS:
                    raise TrustExpired("it was held up just before sending")
                yield

        order = NewOrder(
            claim.id,
            claim.symbol,
            claim.side,
            claim.qty,
            claim.limit_price,
            claim.is_crypto,
            how.time_in_force,
            how.extended_hours,
        )
        return self.broker.submit(order, guard)

    def _resolve(self, claim: Claim, result: SubmitResult, stolen: tuple[str, ...]) -> EntryResult:
        """A POST without a trustworthy answer: look once; else the claim stays launched."""
        try:
            order = self.broker.order_by_client_id(claim.id)
        except BrokerError as error:
            log.warning("look-up after an unresolved submit: %s", error)
            order = None
        if order is None:
            return EntryResult(Ending.UNRESOLVED, result.kind, result.message, claim)
        return self._opened(claim, order, stolen)

    def _opened(self, claim: Claim, order: BrokerOrder, stolen: tuple[str, ...]) -> EntryResult:
        """Tell the ledger; an order it no longer knows is taken back at once."""
        if order.is_terminal:
            if order.status != "replaced":  # the keeper's, see settle
                self.coordinator.close(claim.id, order)
            return EntryResult(Ending.OPEN, "", "", claim, order, stolen)
        try:
            self.coordinator.confirm(claim, order)
        except ClaimGone as error:
            log.warning("%s; its order is canceled", error)
            self.broker.cancel(order.id)
            return EntryResult(Ending.DENIED, error.code, str(error))
        return EntryResult(Ending.OPEN, "", "", claim, order, stolen)

    # ---- taking back

    def take_back(self, claim: Claim, cause: str, bound_seconds: float) -> bool:
        """Cancel the own entry and wait until that is certain; True when its capacity is back.

        False when the bound passed first: the keeper finishes it.

        :raises LedgerUnavailable: the ledger cannot be told now.
        """
        return TakingBack(self).run(claim, cause, bound_seconds)
