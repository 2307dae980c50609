"""What is written down while the run goes on: the broker's log, and why orders were canceled.

The broker keeps only its latest events, and a flush takes the ledger's reasons with it, so both are
read all the time. The verdict is made of the broker's events; the ledger's words only explain them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from scripts.chaos_run.market import Broker
from stealer.keyspace import Keyspace
from stealer.order_ids import decode, is_ours

#: Events read in one request.
PAGE = 1000

#: Audit entries that say nothing of why an order was canceled.
NO_CAUSE = frozenset({"rebuild", "mend", "adopt", "halt", "resume", "close"})

#: Events after which an order can never fill again.
TERMINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of one order of ours at the broker; ``at`` in unix seconds."""

    at: float
    event: str
    order_id: str
    claim: str
    slot: str
    status: str
    qty: str
    filled_qty: str

    @property
    def ends(self) -> bool:
        """Whether the order is over with it."""
        return self.status in TERMINAL


def happening(event: dict[str, Any], account: str) -> Happening | None:
    """An event of the broker's log as ours; None for an order that is not."""
    order = event["order"]
    claim = order["client_order_id"]
    if not is_ours(claim, account):
        return None
    parts = decode(claim)
    strategy = parts.strategy if parts else "unknown"
    symbol = order["symbol"].replace("/", "")
    return Happening(
        float(event["real_time"]),
        event["event"],
        order["id"],
        claim,
        f"{symbol}|{order['side']}|{strategy}",
        order["status"],
        order["qty"],
        order["filled_qty"],
    )


class Witness:
    """Reads on from where it was."""

    def __init__(self, broker: Broker, keys: Keyspace, account: str) -> None:
        self._broker, self._keys, self._account = broker, keys, account
        self._after = 0
        self.happenings: list[Happening] = []
        self.live: dict[str, Happening] = {}  #: by order id
        self.causes: dict[str, str] = {}  #: claim -> why it ended, as the ledger said
        self.audit: Counter[str] = Counter()
        self.steals: dict[str, dict[str, str]] = {}
        self.lost_events = 0
        self._unexplained: set[str] = set()
        self._read_to = {"steals": "-", "audit": "-"}

    def listen(self) -> list[Happening]:
        """Everything new of our orders at the broker."""
        new: list[Happening] = []
        while True:
            answer = self._broker.get("/sim/log", after=self._after, limit=PAGE)
            events = answer["events"]
            if events and events[0]["sequence"] > self._after + 1:
                self.lost_events += events[0]["sequence"] - self._after - 1
            for event in events:
                self._after = event["sequence"]
                found = happening(event, self._account)
                if found:
                    new.append(found)
            if len(events) < PAGE:
                break
        for found in new:
            if found.ends:
                self.live.pop(found.order_id, None)
                if found.status == "canceled" and found.claim not in self.causes:
                    self._unexplained.add(found.claim)
            else:
                self.live[found.order_id] = found
        self.happenings += new
        return new

    def ask_why(self, client: redis.Redis) -> bool:
        """The ledger's reasons for what was canceled, its audit and its steals; if it answers."""
        with suppress(redis.RedisError):
            for name in ("steals", "audit"):
                rows: Any = client.xrange(
                    getattr(self._keys, name), self._read_to[name], count=PAGE
                )
                for row, fields in rows:
                    self._read_to[name] = f"({row}"
                    self._note(name, row, fields)
            for claim in list(self._unexplained):
                ended = client.get(self._keys.of("ended", claim))
                cause = " ".join(str(ended).split(" ")[2:]).strip("- ") if ended else ""
                cause = cause or str(client.hget(self._keys.of("claim", claim), "cause") or "")
                if cause:
                    self.causes[claim] = cause
                    self._unexplained.discard(claim)
            return True
        return False

    def _note(self, name: str, row: str, fields: dict[str, str]) -> None:
        if name == "audit":
            self.audit[fields["what"]] += 1
            if fields["what"] not in NO_CAUSE:
                self.causes.setdefault(fields["claim"], fields["what"])
            return
        self.steals[row] = fields
        for claim in fields.get("victim_claims", "").split():
            self.causes.setdefault(claim, f"stolen {fields['thief']}")
            self._unexplained.discard(claim)
