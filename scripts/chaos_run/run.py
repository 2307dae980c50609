"""One run from its first process to its verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis

from scripts.chaos_run import actions, drills, judge, times
from scripts.chaos_run.hosts import NoNamespaces, network
from scripts.chaos_run.judge import Finding, Seat
from scripts.chaos_run.scene import Plan, Scene, open_scene
from stealer.errors import StealerError

#: Seconds between two progress lines.
SAY_SECONDS = 5.0

#: Seconds in which the first certificate must have come, and the ledger be empty at the end.
START_SECONDS, QUIET_SECONDS = 60.0, 60.0

Say = Callable[[str], None]


def perform(plan: Plan, directory: Path, say: Say) -> dict[str, Any]:
    """Start, hurt, let it settle, drill, stop, judge: the summary of one run.

    :raises StageError, EmbeddedServerError, WireError: something could not start.
    """
    with ExitStack() as stack:
        try:
            net = stack.enter_context(network(plan.fleets))
        except NoNamespaces as reason:
            say(f"hosts are process groups only: {reason}")
            net = None
        scene = open_scene(plan, directory, net, stack)
        return _perform(scene, say)


def _perform(scene: Scene, say: Say) -> dict[str, Any]:
    plan = scene.plan
    scene.start_processes()
    say(f"{plan.watchers} watchers in {plan.fleets} fleets; waiting for the first certificate")
    scene.run(START_SECONDS, scene.certified)
    scene.run(5)
    scene.began = time.monotonic()
    hurt(scene, say)
    say("faults have ended; everything has time to settle")
    scene.finish_pending()
    settled = drills.settle(scene)
    found = drills.seats(scene)
    seconds = time.monotonic() - scene.began
    say("drills: a keeper, a thief, a flush with every order live")
    drills.kill_leader(scene)
    drills.kill_thief(scene)
    flushed = drills.flush(scene)
    drills.settle(scene)
    say("stopping: watchers take their orders back, a keeper goes on")
    now = time.time()
    scene.blind.append((now, now + actions.STOPPING_SECONDS))
    troubles = scene.stage.stop(scene.stage.fleets())
    scene.market.calm = True
    drills.quiet(scene, QUIET_SECONDS)
    findings = verdict(scene, found, flushed)
    findings += [Finding("process", trouble) for trouble in troubles]
    return summarise(scene, seconds, settled, found, flushed, findings)


def hurt(scene: Scene, say: Say) -> None:
    """Fault after fault until the time is over."""
    kinds = actions.possible(scene.plan.topology, scene.plan.only)
    end = time.monotonic() + scene.plan.seconds
    act_at, say_at = time.monotonic(), 0.0
    while (now := time.monotonic()) < end:
        if now >= act_at:
            act_at = max(act_at + scene.plan.every, now)
            actions.act(scene, kinds)
        if now >= say_at:
            say_at = now + SAY_SECONDS
            say(progress(scene, end - now))
        scene.turn()


def progress(scene: Scene, left: float) -> str:
    """One line."""
    with suppress(OSError):
        report = scene.broker.report()
        running = len(scene.watcher_pids())
        return (
            f"{left:5.0f} s left: {sum(scene.actions.values())} faults; {running} watchers run, "
            f"{len(scene.witness.live)} orders live, {report['orders_opened']} opened, "
            f"{report['fills']} fills, {len(scene.witness.steals)} steals; "
            f"cap violations {report['cap_violations']}, "
            f"duplicates {len(judge.doubled_slots(scene.witness.happenings))}"
        )
    return "the broker does not answer"


def _cancels(scene: Scene) -> judge.Cancels:
    return judge.judged_cancels(scene.witness.happenings, scene.witness.causes, scene.blind)


def verdict(scene: Scene, found: list[Seat], flushed: drills.Flush) -> list[Finding]:
    """Everything that must not be, and is."""
    scene.witness.listen()
    scene.witness.ask_why(scene.ledger.client)
    report, happenings = scene.broker.report(), scene.witness.happenings
    findings = judge.broken_caps(report)
    findings += judge.reused_ids(happenings, report) + judge.doubled_slots(happenings)
    findings += _cancels(scene).findings + judge.crashed(scene.stage.crashes())
    findings += judge.idle(found)
    if scene.witness.lost_events:
        findings.append(Finding("log", f"{scene.witness.lost_events} events were not seen"))
    if flushed.doubled or flushed.lost:
        text = f"{flushed.lost} of {flushed.live_before} lost, {flushed.doubled} doubled"
        findings.append(Finding("flush", text))
    if flushed.live_before < scene.plan.watchers:
        text = f"only {flushed.live_before} of {scene.plan.watchers} orders were live for the drill"
        findings.append(Finding("drill", text))
    if flushed.certified_s is None:
        findings.append(Finding("flush", "the ledger was not certified again"))
    try:
        end = drills.ledger_end(scene)
    except (StealerError, redis.RedisError) as error:
        return [*findings, Finding("leak", f"the ledger cannot be read: {error}")]
    return findings + judge.leaks(end, report, sorted(scene.witness.live))


def summarise(
    scene: Scene,
    seconds: float,
    settled: bool,
    found: list[Seat],
    flushed: drills.Flush,
    findings: list[Finding],
) -> dict[str, Any]:
    """Everything, for programs."""
    report, plan = scene.broker.report(), scene.plan
    leaked = 0
    with suppress(StealerError, redis.RedisError):
        leaked = drills.ledger_end(scene).charged["total"]
    canceled = _cancels(scene)
    causes = Counter(cause.split(" ")[0] for cause in scene.witness.causes.values())
    return {
        "topology": plan.topology,
        "seed": plan.seed,
        "seconds": round(seconds, 1),
        "every": plan.every,
        "watchers": plan.watchers,
        "fleets": plan.fleets,
        "hosts": "network namespaces" if scene.network else "process groups",
        "times": times.ENVIRONMENT,
        "actions": dict(scene.actions),
        "skipped": dict(scene.skipped),
        "orders": report["orders_opened"],
        "fills": report["fills"],
        "fills_during_cancel": report["fills_during_cancel"],
        "cancels": report["cancels"],
        "rejects": report["rejects"],
        "sold_by_hand": scene.market.sold,
        "steals": len(scene.witness.steals),
        "cancel_causes": dict(causes),
        "cancels_judged": canceled.judged,
        "cancels_excused": canceled.excused,
        "audit": dict(scene.witness.audit),
        "cap_violations": report["cap_violations"],
        "cap_violation_details": report["cap_violation_details"],
        "max_exposure_ratio": report["max_exposure_ratio"],
        "judge_window_seconds": report["judge_window_seconds"],
        "duplicate_orders": sum(finding.kind == "duplicate" for finding in findings),
        "leaked_micro": leaked,
        "settled": settled,
        "watchers_by_state": dict(Counter(seat.phase or "silent" for seat in found)),
        "watchers_reasons": dict(Counter(f"{s.phase} {s.reason}".strip() for s in found)),
        "recoveries": scene.recoveries.summary(),
        "flush_drill": asdict(flushed),
        "failovers": scene.servers.failovers,
        "starts": {name: actor.starts for name, actor in scene.stage.actors.items()},
        "tracebacks": scene.stage.crashes(),
        "wire": scene.wire.counts(),
        "findings": judge.counted(findings),
    }
