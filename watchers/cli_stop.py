"""``watchers stop``: an orderly stop of watchers wherever they run.

A signal reaches one host only, so the request is a key in Redis, named after the process it is
meant for; the watcher reads it with its next report and ends as on SIGTERM, and its fleet leaves it
ended. A process that is started later has another name and is not stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NoReturn

import click

from stealer.cli.context import App, common_options, pass_app
from stealer.cli.floats import FiniteRange
from stealer.cli.group import NOT_DONE
from stealer.cli.operator import Operator
from stealer.cli.out import Out, printable
from stealer.cli.words import plural, span
from stealer.errors import LedgerMisconfigured
from stealer.model import State
from stealer.scripts import text
from watchers.cli_look import nobody, record, show
from watchers.listing import Watcher, is_over, listing, matching, transitions
from watchers.status import REPORT_SECONDS, Kind

#: How long a stop is waited for: until the watcher reports, and until its order is over.
TIMEOUT_SECONDS = 45.0

#: A watcher that hears of the request so many seconds after the wait still obeys.
GRACE_SECONDS = 60.0

#: Between two looks.
LOOK_SECONDS = 0.25

#: Transitions among which the ends of the stopped are looked for.
_LATEST = 2_000


@dataclass(frozen=True, slots=True)
class End:
    """What became of one watcher; ``ended`` is empty when it did not stop in time, and ``asked``
    False when it was not told to.
    """

    watcher: Watcher
    ended: str
    detail: str
    asked: bool = True


@click.command("stop")
@common_options(shown=True)
@click.argument("targets", nargs=-1, metavar="[NAME|TICKET|FLEET|SYMBOL]...")
@click.option("--all", "everybody", is_flag=True, help="Every watcher of the account.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", type=FiniteRange(1, 3600), default=TIMEOUT_SECONDS,
              show_default=True, help="Seconds to wait until all have stopped.")  # fmt: skip
@pass_app
@click.pass_context
def stop(
    ctx: click.Context,
    app: App,
    targets: tuple[str, ...],
    everybody: bool,
    yes: bool,
    timeout: float,
) -> None:
    """Stop watchers on any host: each ends, and is not started again.

    A name means that watcher alone. An entry takes its order back. An exit leaves its order at the
    broker, unless it was started with --cancel-on-stop; of an entry and its exit, the exit is asked
    when the entry has stopped, so that it covers what that filled last.

    Shows first whom it means, and asks. A watcher hears of it within some seconds, with its next
    report. Needs the rights of an operator. To stop only new orders, and at once: stealer halt

    Exit codes: 0 all have stopped, 1 some have not, or there are none, 2 wrong usage.
    """
    account = app.settings.account
    if bool(targets) == everybody:
        raise click.UsageError("say which watchers to stop, or --all")
    chosen = _chosen(ctx, app, targets)
    if not chosen:
        _fail(ctx, "no watcher reports to this account: nothing to stop")
    if not app.out.as_json:
        show(app.out, chosen)
    question = f"Stop {plural(len(chosen), 'watcher')} of the account {account}?"
    if not yes and not click.confirm(question, err=True):
        _fail(ctx, "nothing was stopped")
    ends = _stop(app.ledger, chosen, timeout, app.out)
    _tell(app.out, ends, timeout)
    if any(not end.ended for end in ends):
        ctx.exit(NOT_DONE)


def _chosen(ctx: click.Context, app: App, targets: tuple[str, ...]) -> list[Watcher]:
    """Whom *targets* name, all if there are none; those that have ended are left out."""
    found = listing(app.ledger)
    for problem in found.problems:
        app.out.warn(problem)
    running = [w for w in found.watchers if not w.ended]
    if not targets:
        return running
    chosen: dict[str, Watcher] = {}
    for target in targets:
        meant = matching(running, target, app.ledger)
        if not meant:
            _fail(ctx, f"{nobody(target)}; nothing was stopped")
        chosen |= {w.owner: w for w in meant}
    return list(chosen.values())


def _stop(ledger: Operator, chosen: list[Watcher], timeout: float, out: Out) -> list[End]:
    """Ask each in its turn and wait until each one's report is gone, or the time is over; says
    each as it ends.
    """
    give_up = time.monotonic() + timeout
    left = {w.owner: w for w in chosen}
    unasked = {w.owner: _entries_of(w, chosen) for w in chosen}
    ends: list[End] = []
    _ask(ledger, left, unasked, timeout)
    if not out.as_json:
        click.echo(f"Asked; they hear of it within {REPORT_SECONDS:g} s or so.", err=True)
    while left and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
        for end in _ended(ledger, list(left.values())):
            del left[end.watcher.owner]
            unasked.pop(end.watcher.owner, None)
            ends.append(end)
            if not out.as_json:
                detail = f" - {end.detail}" if end.detail else ""
                click.echo(printable(f"{end.watcher.name}: {end.ended}{detail}"), err=True)
        _ask(ledger, left, unasked, max(give_up - time.monotonic(), 0.0))
    return ends + [End(w, "", "", w.owner not in unasked) for w in left.values()]


def _ask(
    ledger: Operator, left: dict[str, Watcher], unasked: dict[str, list[Watcher]], seconds: float
) -> None:
    """Ask those of *unasked* before whom nobody must end any more, who then obey for *seconds*."""
    for owner, before in list(unasked.items()):
        if any(entry.owner in left or _may_fill(ledger, entry) for entry in before):
            continue
        del unasked[owner]
        _ask_one(ledger, left[owner], seconds + GRACE_SECONDS)


def _ask_one(ledger: Operator, watcher: Watcher, seconds: float) -> None:
    """The audit entry comes first, so that no stop goes unrecorded."""
    ledger.leave_audit("stop", watcher.claim, watcher.name)
    try:
        ledger.ask_to_stop(watcher.owner, seconds)
    except LedgerMisconfigured as error:
        ledger.leave_audit("stop-refused", watcher.claim, f"{watcher.name}: {error}")
        raise


def _entries_of(watcher: Watcher, chosen: list[Watcher]) -> list[Watcher]:
    """Whom an exit must outlive: the entries of its ticket, if they are to stop as well."""
    if watcher.kind != Kind.EXIT or not watcher.ticket:
        return []
    entries = [w for w in chosen if w.kind != Kind.EXIT and w.ticket == watcher.ticket]
    # One that crashed is listed for an hour beside the process that took its place.
    return [w for w in entries if not w.silent] or entries


def _may_fill(ledger: Operator, entry: Watcher) -> bool:
    """True while an order of the *entry* may be live, though its watcher has stopped."""
    claim = ledger.claim_in_slot(entry.symbol, entry.side, entry.strategy)
    return claim is not None and claim.ticket == entry.ticket and claim.state is not State.CLOSED


def _ended(ledger: Operator, waited_for: list[Watcher]) -> list[End]:
    """Those whose report is gone or tells of an end, with what the stream says of it."""
    owners = [w.owner for w in waited_for]
    reports = text(ledger.read(lambda r: r.hmget(ledger.keys.watchers, owners)))
    gone = [w for w, report in zip(waited_for, reports, strict=True) if is_over(report)]
    if not gone:
        return []
    last = {fields.get("owner"): fields for _, fields in transitions(ledger, "", _LATEST)}
    return [
        End(w, said.get("phase", "ended"), said.get("detail", ""))
        for w in gone
        for said in [last.get(w.owner) or {}]
    ]


def _tell(out: Out, ends: list[End], timeout: float) -> None:
    if out.as_json:
        out.json(
            {
                "watchers": [
                    {**record(end.watcher), "stopped": bool(end.ended), "end": end.ended or None}
                    for end in ends
                ]
            }
        )
    late = [end for end in ends if not end.ended]
    for w in [end.watcher for end in late if not end.asked]:
        out.warn(
            f"{w.name} was not asked to stop, since its entry may still fill: it goes on; by its "
            "own name it is stopped all the same"
        )
    for w in [end.watcher for end in late if end.asked]:
        silent = f", which was silent for {span(w.seen_seconds)} before" if w.silent else ""
        out.warn(
            f"{w.name} ({w.host}:{w.pid}){silent} has not stopped within {timeout:g} s; it still "
            f"obeys if it hears of it within {GRACE_SECONDS:g} s"
        )
    if not out.as_json:
        out.show(f"{len(ends) - len(late)} of {plural(len(ends), 'watcher')} stopped.")


def _fail(ctx: click.Context, sentence: str) -> NoReturn:
    click.echo(f"watchers: {sentence}", err=True)
    ctx.exit(NOT_DONE)
