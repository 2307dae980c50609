"""``stealer release``: show, ask, compare, release, cancel, and leave a trace.

Order matters: the audit entry comes first, so that no release goes unrecorded; then the ledger,
whose script compares the fence that was shown; only then the broker's order.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import click

from stealer.broker.interface import Broker, BrokerError
from stealer.cli.context import App, common_options
from stealer.cli.group import BAD_INPUT, NO_BROKER, NOT_DONE, fail
from stealer.cli.out import Column, printable
from stealer.cli.views.release import AtBroker, ask_broker, cannot, find
from stealer.cli.words import clock, money, number, pnl
from stealer.errors import Refused
from stealer.evidence import BrokerOrder, Outcome
from stealer.model import Claim, State

#: How long the end of a canceled order is waited for, in seconds, and between two look-ups.
WAIT_SECONDS, POLL_SECONDS = 3.0, 0.25


@dataclass(frozen=True, slots=True)
class Released:
    """What ``release --json`` answers; ``freed_micro`` None while the order has not ended."""

    claim: str
    symbol: str
    was: str
    now: str
    who: str
    why: str
    broker_status: str
    cancel: str
    freed_micro: int | None


@click.command()
@common_options()
@click.argument("target", metavar="CLAIM|SYMBOL")
@click.option("--why", default="", metavar="TEXT", help="For the audit stream.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--cancel/--no-cancel", default=True, show_default=True,
              help="Cancel the broker's order now, or leave that to the keeper.")  # fmt: skip
@click.pass_context
def release(ctx: click.Context, target: str, why: str, yes: bool, cancel: bool) -> None:
    """Force-release a claim: give up a reservation, or have an open order canceled.

    Shows owner, fence, state and the broker's order first. Releases only what it showed: if the
    fence or state changed meanwhile, nothing is done. An open order keeps its capacity until the
    broker says that it has ended. Its watcher may come back by itself; use `halt` to stop all.
    """
    app = ctx.ensure_object(App)
    claim = _the_one(ctx, app, find(app.ledger, target), target)
    broker, at_broker = _at_broker(app, claim)
    _show(claim, at_broker)
    obstacle = cannot(claim, at_broker)
    if obstacle:
        fail(ctx, NOT_DONE, f"{claim.id} cannot be released: {obstacle}")
    cancel = _still_cancel(ctx, claim, at_broker, cancel, yes)
    if not yes and not click.confirm(f"Release {claim.id}?", err=True):
        fail(ctx, NOT_DONE, "nothing was released")
    done = _carry_out(app, claim, at_broker, broker if cancel else None, " ".join(why.split()))
    if app.out.as_json:
        app.out.json(done)
    else:
        app.out.show(_in_words(done))


def _the_one(ctx: click.Context, app: App, found: list[Claim], target: str) -> Claim:
    """The only claim found; several are listed for the operator to choose."""
    if not found:
        fail(
            ctx,
            NOT_DONE,
            f"no claim has the id or symbol {printable(target)}: it ended, or never was",
        )
    if len(found) == 1:
        return found[0]
    columns = [Column("claim"), Column("symbol"), Column("side"), Column("strategy")]
    columns += [Column("state"), Column("owner", from_width=110)]
    if app.out.as_json:
        app.out.json({"claims": found})
    else:
        rows = [(c.id, c.symbol, c.side, c.strategy, c.state.value, c.owner) for c in found]
        # An id that is cut off cannot be pasted: two lines are better.
        if app.out.width < 110:
            for row in rows:
                app.out.show(row[0], "    " + " ".join(row[1:]))
        else:
            app.out.show(app.out.table(columns, rows))
    return fail(ctx, BAD_INPUT, f"{found[0].symbol} has {len(found)} claims: give the id of one")


def _at_broker(app: App, claim: Claim) -> tuple[Broker | None, AtBroker]:
    """The broker, and what it says; a broker that cannot be asked is no error yet."""
    try:
        broker = app.broker(app.settings)
    except BrokerError as error:
        trouble = " ".join(str(error).split())
        if not app.settings.alpaca_key_id or not app.settings.alpaca_secret_key:
            trouble += " (set APCA_API_KEY_ID and APCA_API_SECRET_KEY)"
        return None, AtBroker(None, None, trouble)
    return broker, ask_broker(broker, claim)


def _show(claim: Claim, at_broker: AtBroker) -> None:
    """All of it on stderr: stdout is for the result."""
    lines = [
        ("claim", claim.id),
        ("order", f"{claim.side} {number(claim.qty)} {claim.symbol} at "
                  f"{number(claim.limit_price)}, {claim.strategy}, PnL {pnl(claim.pnl)}"),
        ("state", f"{claim.state.value}, claimed {clock(claim.created_ms)}"),
        ("owner", claim.owner or "nobody"),
        ("fence", claim.fence),
        ("charged", money(claim.fund if claim.state is State.RESERVED
                          else claim.need - claim.absorbed)),
        ("broker", _broker_words(claim, at_broker)),
    ]  # fmt: skip
    for label, text in lines:
        click.echo(f"  {label:<8} {printable(text)}", err=True)


def _broker_words(claim: Claim, at_broker: AtBroker) -> str:
    if at_broker.known is None:
        return f"could not be asked: {at_broker.trouble}"
    if at_broker.order is None:
        sent = claim.state is not State.RESERVED
        return "knows no such order" + (" (no proof that none arrives later)" if sent else "")
    order = at_broker.order
    return f"{order.status}, {number(order.filled_qty)} of {number(order.qty)} filled ({order.id})"


def _still_cancel(
    ctx: click.Context, claim: Claim, at_broker: AtBroker, cancel: bool, yes: bool
) -> bool:
    """Whether to cancel at the broker. Without it, only with --no-cancel or a person's word."""
    if claim.state is State.RESERVED or not cancel:
        return False
    if at_broker.known is not None:
        return True
    if yes:
        fail(ctx, NO_BROKER, f"{at_broker.trouble}; to leave the cancel to the keeper: --no-cancel")
    question = "The broker cannot be asked. Release anyway, and leave the cancel to the keeper?"
    if not click.confirm(question, err=True):
        fail(ctx, NO_BROKER, "nothing was released")
    return False


def _carry_out(
    app: App, claim: Claim, at_broker: AtBroker, broker: Broker | None, why: str
) -> Released:
    """Audit, compare and release, cancel. The fence is compared in the script that releases."""
    ledger, before = app.ledger, at_broker.order
    done = Released(
        claim.id, claim.symbol, claim.state.value, "gone", app.who, why,
        before.status if before else "", "nothing to cancel", claim.fund,
    )  # fmt: skip
    ledger.leave_audit("release", claim.id, why)
    try:
        if claim.state is State.RESERVED:
            ledger.force_abort(claim)
            return done
        order_id = ledger.force_evict(claim)
    except Refused as error:
        ledger.leave_audit("release-refused", claim.id, str(error))
        raise
    done = replace(done, now="evicting", cancel="left to the keeper", freed_micro=None)
    if before is not None and before.is_terminal:
        return _close(app, claim, before, replace(done, cancel="it had ended already"))
    if broker is None:
        return done
    return _cancel(app, claim, broker, before.id if before else order_id, done)


def _cancel(app: App, claim: Claim, broker: Broker, order_id: str, done: Released) -> Released:
    """Ask the broker for the order's end, and free what is proven free within a few seconds."""
    if not order_id:
        return replace(done, cancel="left to the keeper: the broker knows no such order now")
    answer = broker.cancel(order_id)
    if answer.outcome is not Outcome.CONFIRMED and not answer.already_terminal:
        trouble = answer.message or answer.outcome.value
        return replace(done, cancel=f"left to the keeper: {trouble}")
    order = _wait_for_end(broker, order_id)
    if order is None or not order.is_terminal:
        status = order.status if order else ""
        return replace(done, cancel="requested", broker_status=status or done.broker_status)
    return _close(app, claim, order, replace(done, cancel="done"))


def _close(app: App, claim: Claim, order: BrokerOrder, done: Released) -> Released:
    """Carry the order's end into the ledger, if its watcher or the keeper was not quicker."""
    freed = app.ledger.close(claim.id, order) or app.ledger.freed_by_end(claim, order)
    return replace(done, now="gone", broker_status=order.status, freed_micro=freed)


def _wait_for_end(broker: Broker, order_id: str) -> BrokerOrder | None:
    """The order once it has ended, or as it is when the patience of a person has."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            order = broker.order_by_id(order_id)
        except BrokerError:
            return None
        if order is None or order.is_terminal or time.monotonic() > deadline:
            return order
        time.sleep(POLL_SECONDS)


def _in_words(done: Released) -> str:
    if done.was == State.RESERVED.value:
        return f"Released {done.claim}: {money(done.freed_micro or 0)} are free again."
    if done.now == "gone":
        ended = f"Its order has ended ({done.broker_status})"
        return f"Released {done.claim}. {ended}; {money(done.freed_micro or 0)} are free again."
    if done.cancel == "requested":
        return (
            f"Released {done.claim}: its order is being canceled ({done.broker_status}). Its "
            "capacity is free when the broker says that it has ended; the keeper sees to that."
        )
    return (
        f"Released {done.claim}: it is evicted, the cancel is {done.cancel}. The keeper cancels "
        "its order; its capacity is free when the broker says that it has ended."
    )
