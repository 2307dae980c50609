"""Names of exit orders: ``x_ACCOUNT_KEY_NUMBER``, the same for all who work on one ticket.

An exit's id is no claim's (``order_ids``): an exit holds no capacity. It has neither time nor
randomness in it, unlike a claim's: the broker takes each id once, and that is what keeps two
processes from sending the same order twice (docs/exits.md).
"""

from __future__ import annotations

import hashlib
import re

#: Hexadecimal digits of the ticket's hash: 96 bits, so that no two tickets meet.
KEY_DIGITS = 24

_FORM = re.compile(rf"x_(?P<account>\w+)_[0-9a-f]{{{KEY_DIGITS}}}_\d{{1,9}}")


def exit_id(account: str, ticket: str, number: int) -> str:
    """The ``client_order_id`` of order *number* (from 0) of the ticket's exit."""
    return f"{_stem(account, ticket)}_{number}"


def wake_slots(account: str, ticket: str) -> tuple[str, str]:
    """What the ticket's exit blocks on: woken by its entry's fills, and by news of its orders."""
    return f"exit|{ticket}", f"exit|{_stem(account, ticket)}"


def _stem(account: str, ticket: str) -> str:
    """What all ids of the ticket's exit begin with."""
    return f"x_{account}_{hashlib.sha256(ticket.encode()).hexdigest()[:KEY_DIGITS]}"


def is_exit(client_order_id: str, account: str) -> bool:
    """True for an order that an exit watcher of *account* sent."""
    match = _FORM.fullmatch(client_order_id)
    return match is not None and match["account"] == account
