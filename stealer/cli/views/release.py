"""Force-release: what there is to release, and what the broker says of it."""

from __future__ import annotations

from dataclasses import dataclass

from stealer.broker.interface import Broker, BrokerError
from stealer.cli.operator import Operator
from stealer.cli.views.reading import Reader, readable_claim
from stealer.evidence import BrokerOrder
from stealer.model import Claim, InvalidIntent, State


@dataclass(frozen=True, slots=True)
class AtBroker:
    """What a look-up by client order id found.

    ``known`` is None when the broker could not be asked (``trouble`` says why), False when it
    knows no such order *now*, which is no evidence about one on its way.
    """

    known: bool | None
    order: BrokerOrder | None = None
    trouble: str = ""


class Spoiled(InvalidIntent):
    """The claim named cannot be read."""


def find(ledger: Operator, target: str) -> list[Claim]:
    """The claims that *target* names: one by its id, or all of a symbol in any form.

    :raises InvalidIntent: neither the id of a claim nor a symbol.
    :raises Spoiled: the claim's hash is not one of ours.
    """
    reader = Reader(ledger)
    key = ledger.keys.of("claim", target)
    fields = reader.ask(key, lambda r: r.hgetall(key))
    if fields:
        claim = readable_claim(target, fields)
        if claim is None:
            raise Spoiled(
                f"{key} is spoiled: fields are missing or no numbers; look at it with redis-cli "
                "HGETALL. It cannot be released safely: the ledger charges for it"
            )
        return [claim]
    if target.startswith("mx_"):
        return []
    symbol = ledger.classify(target)[0]
    return [claim for claim in reader.claims()[0] if claim.symbol == symbol]


def ask_broker(broker: Broker, claim: Claim) -> AtBroker:
    """The order's real state now."""
    try:
        order = broker.order_by_client_id(claim.id)
    except BrokerError as error:
        return AtBroker(None, None, " ".join(str(error).split()))
    return AtBroker(order is not None, order)


def cannot(claim: Claim, at_broker: AtBroker) -> str:
    """Why this claim cannot be released, with what will happen instead; '' when it can."""
    if claim.state is State.LAUNCHING:
        return (
            "it is launching: its order may be on the way to the broker, so nothing may be freed. "
            "It becomes open when the broker shows the order (then release it again), or the "
            "keeper frees it after the quarantine if no order appears"
        )
    if claim.state is State.EVICTING:
        by = f" by {claim.by}" if claim.by else ""
        return (
            f"it is being canceled already ({claim.cause or 'no cause given'}{by}), which cannot "
            "be taken back: the keeper repeats the cancel until the broker says that the order "
            "has ended, and then frees it"
        )
    if claim.state is State.CLOSED:
        return (
            "its order has ended: only its fills are still charged, until the next account "
            "snapshot shows them as position. The keeper publishes one"
        )
    if claim.state is State.RESERVED and at_broker.order and not at_broker.order.is_terminal:
        return (
            f"the ledger says that nothing was sent, but the broker shows the order "
            f"({at_broker.order.status}): freeing it would count it nowhere. The keeper will "
            "condemn it; cancel the order at the broker first"
        )
    return ""
