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
from stealer.scripts import text
from watchers.cli_look import record, show
from watchers.listing import Watcher, is_over, listing, matching, transitions
from watchers.status import REPORT_SECONDS

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
    """What became of one watcher; ``ended`` is empty when it did not stop in time."""

    watcher: Watcher
    ended: str
    detail: str


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

    An entry takes its order back. An exit leaves its order at the broker, unless it was started
    with --cancel-on-stop.

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
    for watcher in chosen:
        app.ledger.leave_audit("stop", watcher.claim, watcher.name)
        app.ledger.ask_to_stop(watcher.owner, timeout + GRACE_SECONDS)
    ends = _wait(app.ledger, chosen, timeout, app.out)
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
            _fail(
                ctx,
                f"no watcher is called {printable(target)!r}, by name, ticket, fleet or symbol: "
                "`watchers list` shows all; nothing was stopped",
            )
        chosen |= {w.owner: w for w in meant}
    return list(chosen.values())


def _wait(ledger: Operator, chosen: list[Watcher], timeout: float, out: Out) -> list[End]:
    """Until each one's report is gone, or the time is over; says each as it ends."""
    give_up = time.monotonic() + timeout
    left = {w.owner: w for w in chosen}
    ends: list[End] = []
    if not out.as_json:
        click.echo(f"Asked; they hear of it within {REPORT_SECONDS:g} s or so.", err=True)
    while left and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
        for end in _ended(ledger, list(left.values())):
            del left[end.watcher.owner]
            ends.append(end)
            if not out.as_json:
                detail = f" - {end.detail}" if end.detail else ""
                click.echo(printable(f"{end.watcher.name}: {end.ended}{detail}"), err=True)
    return ends + [End(w, "", "") for w in left.values()]


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
    late = [end.watcher for end in ends if not end.ended]
    for w in late:
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
