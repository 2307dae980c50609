"""What a claim's id says: it is the order's ``client_order_id`` and outlives any loss of memory.

``mx_ACCOUNT_TIME+SEQUENCE+RANDOM_MODE+FORCED_PNL_STRATEGY``, made by ``acquire`` (PROTOCOL,
"Certification and rebuild"): time in ms and sequence in hexadecimal, so that ids sort by age; a
random part, so that an id never comes twice, even when the sequence was lost; then what is needed
to judge the order without the ledger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(
    r"mx_(?P<account>\w+?)_(?P<time>[0-9a-f]{11})[0-9a-f]{6}[0-9a-f]{6}"
    r"_(?P<mode>[np])(?P<forced>[fn])_(?P<sign>[np])(?P<pnl>\d+\.\d\d)_(?P<strategy>.+)"
)


@dataclass(frozen=True, slots=True)
class ClaimId:
    """The parts of a claim's id; ``created_ms`` is on the clock of the Redis that made it."""

    account: str
    created_ms: int
    mode: str
    force_immediate: bool
    pnl: float
    strategy: str


def is_ours(client_order_id: str, account: str) -> bool:
    """True for an order that this system opened as an entry for *account*."""
    parts = decode(client_order_id)
    if parts is None:  # our prefix with something else behind it: better ours than nobody's
        return client_order_id.startswith(f"mx_{account}_")
    return parts.account == account


def decode(client_order_id: str) -> ClaimId | None:
    """The parts of an id, None when it has not our form; such an order is protected."""
    match = _FORM.fullmatch(client_order_id)
    if not match:
        return None
    worth = float(match["pnl"])
    return ClaimId(
        account=match["account"],
        created_ms=int(match["time"], 16),
        mode="probe" if match["mode"] == "p" else "normal",
        force_immediate=match["forced"] == "f",
        pnl=-worth if match["sign"] == "n" else worth,
        strategy=match["strategy"],
    )
