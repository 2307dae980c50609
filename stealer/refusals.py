"""Refused POSTs: the look-up that must agree before a claim is given back, now or later.

PROTOCOL: the owner may ``unlaunch`` when its only POST was answered 4xx and the look-up says 404. A
429 leaves no budget for that look-up, so the refusal is remembered until one can be made.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stealer.asset_rules import AssetRules
from stealer.broker.interface import Broker, BrokerError
from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import BrokerOrder
from stealer.model import Claim

if TYPE_CHECKING:
    from stealer.entry import EntryResult

log = logging.getLogger(__name__)

#: Refusals of an order that the asset's rules as we know them let pass: these may have changed.
AGAINST_THE_RULES = frozenset({"minimum", "price_tick", "not_tradable", "other"})


class Refusals:
    """What the broker refused of this process's orders."""

    def __init__(
        self, coordinator: WorkStealingCoordinator, broker: Broker, rules: AssetRules
    ) -> None:
        self._coordinator, self._broker, self._rules = coordinator, broker, rules
        #: By claim: the refusal of its only POST that no look-up could agree with yet. Kept nowhere
        #: else: only what this process was told itself frees a claim before the quarantine.
        self._unseen: dict[str, EntryResult] = {}

    def absent(self, claim: Claim) -> bool | None:
        """The look-up that must agree with a refusal before anything is freed; None: no answer."""
        try:
            return self._broker.order_by_client_id(claim.id) is None
        except BrokerError as error:
            log.warning("look-up after a refusal: %s", error)
            return None

    def met(
        self, claim: Claim, refused: EntryResult, absent: bool | None, *, only_post: bool
    ) -> bool:
        """True when a look-up agrees with the refusal, and the claim is given back.

        :param absent: what a look-up since the last POST has said already, see :meth:`absent`.
        """
        if absent is None:
            absent = self.absent(claim)
        if absent:
            self._give_back(claim, refused)
        elif absent is None and only_post:
            self._unseen[claim.id] = refused
        return bool(absent)

    def shown(self, claim_id: str) -> None:
        """A look-up has shown the order: if it was refused, that was not true."""
        self._unseen.pop(claim_id, None)

    def believed(self, claim: Claim, order: BrokerOrder | None) -> EntryResult | None:
        """A look-up found *order*: the refusal that this confirms; the claim is then given back."""
        refused = self._unseen.get(claim.id) if order is None else None
        if refused is not None:
            self._give_back(claim, refused)
            del self._unseen[claim.id]
        return refused

    def _give_back(self, claim: Claim, refused: EntryResult) -> None:
        """The broker has refused the order, and knows none by its id."""
        self._coordinator.unlaunch(claim, f"refused: {refused.reason}", refused=True)
        if refused.reason in AGAINST_THE_RULES:
            self._rules.forget(claim.symbol)
