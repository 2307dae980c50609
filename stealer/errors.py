"""Everything a verb can answer besides success, as exceptions, and the one translation table.

Scripts answer short codes; ``raise_for`` turns a code into an exception whose message an operator
can act on. Denials of ``acquire`` are decisions, not exceptions.
"""

from __future__ import annotations

from stealer.settings import SettingsError


class StealerError(Exception):
    """Base of all errors of this package."""


class LedgerUnavailable(StealerError):
    """Redis could not be reached or refused to work; nothing was decided. Safe to repeat."""


class LedgerSpoiled(LedgerUnavailable):
    """Something in Redis is not what this system writes; by it nothing is decided."""


class LedgerMisconfigured(StealerError):
    """Redis answered, but does not allow what is needed (password, rights, scripting)."""


class AddressUnusable(LedgerMisconfigured, SettingsError):
    """REDIS_URL cannot be used, whatever there is at its end: a setting to mend."""


class Refused(StealerError):
    """A verb was refused; ``code`` is the script's answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Uncertified(Refused):
    """The ledger is not certified for this server: open nothing until a keeper has certified."""


class ClaimGone(Refused):
    """The ledger has no such claim: it ended, or was swept after its deadline."""


class Fenced(Refused):
    """Somebody else owns the claim now, an operator or a newer owner."""


class Late(Refused):
    """The claim's deadline has passed."""


class WrongState(Refused):
    """The claim is in a state in which this verb means nothing; ``state`` names it."""

    def __init__(self, code: str, message: str, state: str) -> None:
        super().__init__(code, message)
        self.state = state


class OwnerAlive(Refused):
    """The owner was thought to be silent for ever, and has spoken."""


class Halted(Refused):
    """An operator has stopped all new orders."""


class Underfunded(Refused):
    """The claim does not hold what it needs yet."""


class Overdrawn(Refused):
    """A pool is below zero: equity fell or a foreign order came. Nothing new may go out."""


class Deposed(Refused):
    """Another keeper has a higher term."""


class StaleSnapshot(Refused):
    """The snapshot is older than one already published."""


class ServerMoved(Refused):
    """The server, or the certificate in it, is not the one that was looked at before."""


class OnReplica(Refused):
    """This connection leads to a replica."""


_CODES: dict[str, tuple[type[Refused], str]] = {
    "uncertified": (
        Uncertified,
        "the ledger is not certified for this Redis server; a keeper must certify it first",
    ),
    "gone": (ClaimGone, "the claim no longer exists"),
    "fenced": (Fenced, "the claim has been taken over; its fence is not ours"),
    "late": (Late, "the claim's deadline has passed"),
    "alive": (OwnerAlive, "its owner gave a sign of life"),
    "not_due": (Refused, "the claim's deadline has not passed yet"),
    "halted": (Halted, "an operator has halted new orders"),
    "underfunded": (Underfunded, "the claim is not fully funded"),
    "duplicate": (Refused, "another order of its symbol, side and strategy was found live"),
    "overdrawn": (Overdrawn, "a pool is overdrawn; nothing new may go out"),
    "deposed": (Deposed, "another keeper has taken over"),
    "stale": (StaleSnapshot, "a newer snapshot or certificate exists"),
    "moved": (
        ServerMoved,
        "another server or another certificate than was waited for; waiting begins anew",
    ),
    "replica": (OnReplica, "this Redis server is a replica"),
}


def raise_for(code: str, verb: str, claim: str = "") -> None:
    """Raise what *code* stands for; return for a code that means success.

    :raises Refused: or one of its kinds.
    """
    where = f"{verb} {claim}".strip()
    if code.startswith("wrong_state:"):
        state = code.partition(":")[2]
        raise WrongState(code, f"{where}: the claim is {state}", state)
    found = _CODES.get(code)
    if found:
        kind, message = found
        raise kind(code, f"{where}: {message}")
