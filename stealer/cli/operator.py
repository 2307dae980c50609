"""The operator's verbs on the ledger: compare, then act, and leave a trace.

Force-release is ``evict``, or ``abort`` when reserved; never a bare free (PROTOCOL, "The owner's
view"). Each compares the fence that the operator was shown with the ledger's in one script.
"""

from __future__ import annotations

from typing import Any

from stealer.coordinator import WorkStealingCoordinator
from stealer.errors import raise_for
from stealer.evidence import BrokerOrder
from stealer.model import Claim

#: Why a claim ended, as its owner reads it and as the counters count it. One word: the record of
#: an end is split at spaces.
CAUSE = "force_release"

#: How many audit entries are kept, as the scripts keep them.
AUDIT_LENGTH = 10_000


class Operator(WorkStealingCoordinator):
    """A coordinator with what only an operator may do. ``owner`` is the operator, user@host."""

    def candidate_rows(self, thief: str, limit: int) -> list[list[str]]:
        """Rows of ``candidates`` as the script gives them, *thief* already canonical."""
        return self._run("candidates", 0, max(limit - 1, 0), thief)

    def certified(self) -> bool:
        """True when the ledger is certified for the server this connection leads to."""
        return bool(self._run("fits", 0, 0)[0] != "uncertified")

    def force_abort(self, claim: Claim) -> None:
        """Give up a reserved claim, if it still has the fence that *claim* shows.

        :raises ClaimGone, Fenced, WrongState, Uncertified: it is not what was shown any more.
        """
        self.require_rights()
        reply = self._run("abort", claim.id, claim.fence, "operator", CAUSE)
        raise_for(reply[0], "release", claim.id)

    def force_evict(self, claim: Claim) -> str:
        """Evict an open claim if it still has the fence shown, and raise that fence.

        Returns the broker's order id.

        :raises ClaimGone, Fenced, Uncertified: it is not what was shown any more.
        :raises WrongState: somebody else ended it, or began to, in the meantime.
        """
        self.require_rights()
        state, order_id = self.evict(claim, CAUSE, by="operator", raise_fence=True)
        after = self.claim(claim.id)
        if state != "evicting" or (after is not None and after.cause != CAUSE):
            raise_for(f"wrong_state:{state}", "release", claim.id)
        return order_id

    def freed_by_end(self, claim: Claim, order: BrokerOrder) -> int:
        """Micro-dollars that the end of *order* frees, whoever carries it in: see ``close``."""
        return claim.need - max(claim.filled, self._filled(claim, order))

    def ask_to_stop(self, owner: str, seconds: float) -> None:
        """Ask the watcher with this owner's name to stop; for *seconds* it may still obey."""
        key = self.keys.of("stop", owner)
        self.read(lambda r: r.set(key, self.owner, px=int(seconds * 1000)))

    def leave_audit(self, what: str, claim_id: str, why: str) -> None:
        """An audit entry with who, in the form the scripts use."""
        fields: dict[Any, Any] = {
            "at": _iso(self.read(lambda r: r.time())),
            "what": what,
            "claim": claim_id,
            "who": self.owner,
            "why": why or "-",
        }
        self.read(lambda r: r.xadd(self.keys.audit, fields, maxlen=AUDIT_LENGTH))


def _iso(time: tuple[int, int]) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time[0], UTC):%Y-%m-%dT%H:%M:%SZ}"
