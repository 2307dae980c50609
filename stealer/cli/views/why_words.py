"""What would change a watcher's last decision, in sentences.

One function for each reason of ``acquire``; each works from the ledger as it is now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from stealer.cli.views.case import Case, must_beat
from stealer.cli.views.records import in_words
from stealer.cli.words import PROTECTIONS, money, percent, plural, pnl, span
from stealer.model import State
from stealer.replies import Candidate

Sentences = Iterator[str]

#: Phases in which a watcher has ended; its report may outlive it.
ENDED = frozenset({"done", "expired", "stopped", "impossible"})


def changes(case: Case) -> Sentences:
    """Sentences, the most telling first."""
    if case.claim is not None:
        yield from _holding(case)
        return
    if str(case.watcher.get("phase")) in ENDED:
        yield f"Its watcher has ended: {_phase(case)}. It asks no more."
        return
    if case.decision.at_ms is None:
        yield f"It has not asked for capacity yet: {_watcher(case, 'asks')}."
    yield from _always(case)
    explain = _REASONS.get(case.decision.reason)
    if explain:
        yield from explain(case)
    elif case.decision.outcome in ("granted", "steal"):
        yield from _after_claim(case)


def _after_claim(case: Case) -> Sentences:
    if case.watcher:
        yield f"It held a claim that has ended since; {_watcher(case, 'asks again', 'by itself')}."
        return
    yield (
        "It held a claim that has ended since, and no watcher of it reports now: nobody asks "
        f"again before one runs. How the last one ended: watchers logs {case.symbol}"
    )


def _watcher(case: Case, asks: str, how: str = "") -> str:
    """Where its watcher says it is, and when it asks, which need not be said without *how*."""
    if not case.watcher:
        return "no watcher of it reports"
    if case.watcher.get("phase") == "blocked":
        how = "once that is over"
    return f"its watcher is {_phase(case)}" + (f", and {asks} {how}" if how else "")


def _phase(case: Case) -> str:
    phase, reason = (
        str(case.watcher.get(name) or "").replace("_", " ") for name in ("phase", "reason")
    )
    return (phase or "running") + (f" ({reason})" if reason else "")


def _holding(case: Case) -> Sentences:
    claim = case.claim
    assert claim is not None
    yield {
        State.RESERVED: "It holds a reservation; its watcher has not sent the order yet.",
        State.LAUNCHING: "Its order is on the way to the broker.",
        State.OPEN: "Its order is open: there is nothing to change.",
        State.EVICTING: "Its order is being canceled; the slot is free once the broker says so.",
        State.CLOSED: "Its order has ended; its fills wait for the next account snapshot.",
    }[claim.state]
    if claim.state is State.RESERVED and claim.fund < claim.need:
        yield (
            f"It is funded with {money(claim.fund)} of {money(claim.need)}; "
            f"{plural(claim.pending, 'victim')} must end first."
        )
    if claim.state is State.EVICTING:
        yield f"Cause: {claim.cause or 'unknown'}{f', by {claim.by}' if claim.by else ''}."


def _always(case: Case) -> Sentences:
    """What stops everybody now, whatever the last decision was."""
    view = case.account
    if not view.certified:
        yield "Nobody opens anything: a keeper must certify the ledger. Start one: stealer keeper"
    if view.halted:
        yield f"Nobody opens anything: halted ({view.halted}). To allow it: stealer resume"
    if view.certified and not view.fresh:
        age = "there is none" if view.age_seconds is None else f"it is {span(view.age_seconds)} old"
        yield (
            f"Nobody opens anything until the keeper publishes an account snapshot: {age}, "
            f"{span(view.stale_after_seconds)} is allowed."
        )


def _distance(case: Case) -> Sentences:
    allowed = case.policy.entry_tolerance_pct
    which, verb = ("ask", "fall") if case.side == "buy" else ("bid", "rise")
    if case.limit and case.quote:
        price = case.quote[1] if case.side == "buy" else case.quote[0]
        target = case.limit * (1 + allowed if case.side == "buy" else 1 - allowed)
        if case.distance is not None and case.distance <= allowed:
            yield (
                f"The {which} is {price:,.8g} now: close enough to steal "
                f"({percent(case.distance)} from the limit {case.limit:,.8g}); it is tried again."
            )
        else:
            yield (
                f"To steal, the {which} must {verb} from {price:,.8g} to {target:,.8g}: within "
                f"{percent(allowed)} of its limit {case.limit:,.8g}."
            )
    else:
        said = re.search(r"([\d.]+)% from its limit", case.decision.detail)
        if said:
            far = float(said.group(1)) / 100
            yield (
                f"To steal, the {which} must {verb} by {percent(far - allowed, 3)} of the limit: "
                f"it was {percent(far, 3)} away, {percent(allowed)} is allowed."
            )
    yield from _capacity(case)


def _capacity(case: Case) -> Sentences:
    """How much must become free, or whom a steal would take."""
    if case.need is None:
        said = re.match(r"short ([^;]*)", case.decision.detail)
        yield (f"At its last try it was short: {said.group(1)}. " if said else "") + (
            "How much it needs now is known when its watcher asks again."
        )
        return
    if not case.short:
        yield f"It needs {money(case.need)}, which is free now: its next try should be granted."
        return
    lack = ", ".join(f"{money(v)} in {_POOLS[name]}" for name, v in case.short.items())
    yield f"It needs {money(case.need)}; without a steal {lack} must become free."
    if not case.policy.enabled:
        return
    if case.pnl_needed is not None:
        names = ", ".join(f"{v.symbol} ({pnl(v.pnl)})" for v in case.victims)
        enough = case.pnl is not None and case.pnl > case.pnl_needed
        has = f"its PnL is {pnl(case.pnl)}" if case.pnl is not None else "it has no forecast"
        yield (
            f"A steal would take {names}: its PnL must be above {pnl(case.pnl_needed)}; {has}"
            + (", enough." if enough else ".")
        )
    elif case.victims:
        freed = sum(v.need - v.filled for v in case.victims)
        yield f"All orders that could be stolen would free {money(freed)}, which is not enough."
    yield from _protected(case)


_POOLS = {
    "total": "the total pool",
    "crypto": "the crypto pool",
    "margin": "the broker's buying power",
    "cash": "the broker's cash for crypto",
}


def _protected(case: Case) -> Sentences:
    """What protects worse orders from this one, when that is what stands in the way."""
    improvement = case.policy.min_pnl_improvement
    worse = [
        c
        for c in case.candidates
        if c.protection and (case.pnl is None or case.pnl > must_beat(c.pnl, improvement))
    ]
    if not worse or (
        case.pnl_needed is not None and case.pnl is not None and case.pnl > case.pnl_needed
    ):
        return
    shown = [f"{c.symbol} ({pnl(c.pnl)}): {_why_protected(case, c)}" for c in worse[:5]]
    more = f", and {len(worse) - 5} more" if len(worse) > 5 else ""
    yield f"Worse orders that are protected: {'; '.join(shown)}{more}."


def _why_protected(case: Case, found: Candidate) -> str:
    """A protection in words, and when it ends if that is a matter of time."""
    victim, protection = found.symbol, found.protection
    return PROTECTIONS.get(protection, protection) + _left(case, victim, protection)


def _left(case: Case, victim: str, protection: str) -> str:
    if protection == "market_closed" and case.account.session.seconds_left is not None:
        return f" for {span(case.account.session.seconds_left)}"
    kind, who = {
        "cooldown": ("cooldown", (victim,)),
        "steal_back": ("steal_back", (case.symbol, victim)),
        "fight": ("fight", tuple(sorted((case.symbol, victim)))),
    }.get(protection, ("", ()))
    for timer in case.timers:
        if timer.kind == kind and timer.who == who:
            return f" for {span(timer.seconds_left)}"
    return ""


def _timers(case: Case) -> Sentences:
    """Cooldowns and fights that concern this symbol, then capacity."""
    slot = f"{case.symbol}|{case.side}|{case.strategy}"
    for timer in case.timers:
        # A symbol's own cooldown protects it; it does not keep it from opening.
        mine = timer.who[0] in (case.symbol, slot) and timer.kind != "cooldown"
        if mine or (timer.kind == "fight" and case.symbol in timer.who):
            yield f"{in_words(timer.kind, timer.who)} for another {span(timer.seconds_left)}."
    yield from _capacity(case)


def _quote(case: Case) -> Sentences:
    allowed = span(case.policy.quote_stale_seconds)
    if case.quote is None:
        yield f"There is no quote for {case.symbol}: the keeper must publish one."
    elif case.quote_age is not None and case.quote_age > case.policy.quote_stale_seconds:
        yield (
            f"Its quote is {span(case.quote_age)} old, {allowed} is allowed: the keeper must "
            "publish a newer one."
        )
    else:
        yield "Its quote is fresh again: the next try gets further."


def _yield(case: Case) -> Sentences:
    rival = case.decision.detail.split(" ", 1)[0].replace("|", " ")
    yield f"{rival} is worth more and is served first; it tries again once that has its order."
    yield from _capacity(case)


def _duplicate(case: Case) -> Sentences:
    yield "The claim that held its slot has ended: its next try gets further."


def _off(case: Case) -> Sentences:
    yield "Work stealing is switched off (WORK_STEALING_ENABLED): only free capacity helps."
    yield from _capacity(case)


def _dry(case: Case) -> Sentences:
    yield "It runs dry (WORK_STEALING_DRY_RUN): it opens nothing. See stealer steals --dry-run"


def _too_many(case: Case) -> Sentences:
    most = plural(case.policy.max_candidates, "candidate")
    yield f"More than {most} stand before a victim: raise STEALER_MAX_CANDIDATES on every host."


def _over(case: Case) -> Sentences:
    """The reasons that ``_always`` explains while they last."""
    view = case.account
    if view.certified and not view.halted and view.fresh:
        yield "That is over: its next try gets further."


def _budget(case: Case) -> Sentences:
    yield "The broker takes so many requests a minute; orders go on at the reset (stealer status)."


_REASONS: dict[str, Callable[[Case], Sentences]] = {
    "not_close_enough": _distance,
    "no_capacity": _capacity,
    "pnl_not_better": _capacity,
    "all_protected": _capacity,
    "cooldown": _timers,
    "fight": _timers,
    "stale_quote": _quote,
    "yield": _yield,
    "duplicate": _duplicate,
    "disabled": _off,
    "dry_run": _dry,
    "too_many_candidates": _too_many,
    "no_budget": _budget,
    "halted": _over,
    "stale_account": _over,
    "uncertified": _over,
}
