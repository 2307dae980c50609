"""What Redis knows of exits and of the entries they follow. Nothing here is evidence of a sale.

Three things: what a ticket has filled and whether its entry still lives; what the keeper hears of
exit orders; and how far each exit's chain had come when its watcher looked last, for a quick start
and for people. All of it may be lost: docs/exits.md says what then counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from stealer.evidence import BrokerOrder
from stealer.exit_ids import wake_slots
from stealer.ledger import Ledger
from stealer.model import State, decimal_text

#: Seconds for which an exit's progress is kept after its last change.
PROGRESS_SECONDS = 400 * 86400

#: Seconds for which what the keeper says of exit orders counts: some of its passes.
HEARD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TicketFills:
    """What a task has filled: units by claim. ``known``: the ledger knows the task; ``holds``: it
    has a claim now, whose order may fill.
    """

    by_claim: dict[str, Decimal]
    known: bool
    holds: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exit's chain has come.

    :param number: of the order that is out or comes next; all before it are over.
    :param sold: units that the orders before it sold. :param proven: units that were filled, as
        the orders' sizes show. :param began_ms: on Redis' clock, None when unknown.
    :param of: 'SIDE SYMBOL' of its orders: units of anything else are no evidence.
    """

    number: int = 0
    sold: Decimal = Decimal(0)
    proven: Decimal = Decimal(0)
    began_ms: int | None = None
    of: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the keeper said of one exit order, ``age_seconds`` ago."""

    status: str
    filled_qty: Decimal
    age_seconds: float


class ExitRecords:
    """The records of one account's exits."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ticket_fills(self, ticket: str, symbol: str, side: str, strategy: str) -> TicketFills:
        """What the task *ticket* has filled in (symbol, side, strategy), its entry's slot.

        Reads the open claim first: one that ends meanwhile is in both, by the same id, and counts
        once; one that begins meanwhile counts the next time. So it is never too much.

        :raises LedgerUnavailable: nothing is known.
        """
        claim = self._ledger.claim_in_slot(symbol, side, strategy)
        fills: dict[str, Decimal] = {}
        holds = claim is not None and claim.ticket == ticket and claim.state is not State.CLOSED
        if claim is not None and claim.ticket == ticket:
            fills[claim.id] = claim.filled_qty
        key, began = (self._ledger.keys.of(name, ticket) for name in ("fills", "ticket"))
        for line in self._ledger.read(lambda r: r.lrange(key, 0, -1)):
            name, _, qty = str(line).partition(" ")
            units = _units(qty)
            if units is not None:
                fills[name] = max(units, fills.get(name, Decimal(0)))
        known = self._ledger.read(lambda r: r.exists(began))
        return TicketFills(fills, bool(known), holds)

    def is_watched(self, ticket: str) -> bool:
        """True while a watcher of an entry reports on the task *ticket*."""
        key = self._ledger.keys.watchers
        for text in self._ledger.read(lambda r: r.hvals(key)):
            try:
                status = json.loads(text)
            except ValueError:
                continue
            if not isinstance(status, dict) or status.get("kind") == "exit":
                continue
            if status.get("ticket") == ticket:
                return True
        return False

    def wait(self, ticket: str, seconds: float) -> bool:
        """Sleep up to *seconds*, or until the ticket fills or its exit's order has news (True)."""
        of_fills, of_orders = wake_slots(self._ledger.settings.account, ticket)
        return self._ledger.wait(of_fills, seconds, of_orders)

    # ---- what the keeper says

    def heard(self, client_order_id: str) -> Heard | None:
        """The keeper's word on one exit order; None when it said none, or too long ago."""
        key = self._ledger.keys.placed_exits
        line = self._ledger.read(lambda r: r.hget(key, client_order_id))
        words = str(line or "").split()
        if len(words) != 3 or not words[2].isdigit():
            return None
        age = (self._ledger.now_ms() - int(words[2])) / 1000
        units = _units(words[1])
        if units is None or age > HEARD_SECONDS:
            return None
        return Heard(words[0], units, age)

    # ---- how far a chain has come

    def progress(self, ticket: str) -> Progress:
        """How far the exit of *ticket* had come; the beginning when nothing readable is kept."""
        key = self._ledger.keys.of("exit", ticket)
        text = self._ledger.read(lambda r: r.get(key))
        try:
            kept = json.loads(text or "{}")
            sold, proven = _units(str(kept["sold"])), _units(str(kept["proven"]))
            number, began, of = int(kept["number"]), int(kept["began_ms"]), str(kept["of"])
        except (ValueError, TypeError, KeyError):
            return Progress()
        if sold is None or proven is None or number < 0:
            return Progress()
        return Progress(number, sold, proven, began, of)

    def keep_progress(self, ticket: str, progress: Progress) -> None:
        """Keep it for a restart; an older one beside a newer is as true, only further behind."""
        key = self._ledger.keys.of("exit", ticket)
        record = json.dumps(
            {
                "number": progress.number,
                "sold": decimal_text(progress.sold),
                "proven": decimal_text(progress.proven),
                "began_ms": progress.began_ms or self._ledger.now_ms(),
                "of": progress.of,
            }
        )
        self._ledger.read(lambda r: r.set(key, record, ex=PROGRESS_SECONDS))


def exit_row(order: BrokerOrder) -> tuple[str, str]:
    """One order as the keeper says it: (id, 'status filled_qty')."""
    return order.client_order_id, f"{order.status} {decimal_text(order.filled_qty)}"


def exit_rows(orders: Iterable[BrokerOrder]) -> list[str]:
    """Orders as arguments of ``exits``."""
    return [word for order in orders for word in exit_row(order)]


def _units(text: str) -> Decimal | None:
    """A quantity that somebody wrote into Redis; None for what is none."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None
