"""From a price at the broker's stream to the order's arrival there, with many watchers waiting.

Both moments are the simulated broker's own: when its stream told the price, which a request of ours
sets, and when the order is in its log. First with free capacity; then with none, where the order
waits for its victim's cancel. How long a cancel was with the broker, from the request to its
confirmation, is in that log too: the rest of a steal is our own part.
"""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from scripts.benchmarks.estate import (
    DOLLARS,
    LIMIT,
    PRICE,
    SYMBOLS,
    Estate,
    estate,
    until,
    write_plan,
)
from scripts.demonstration.stage import StageError
from stealer.model import MICRO

#: Symbols whose watchers are victims later: all of one limit, opened together.
RESTING = SYMBOLS[:3]

#: Limits of the others are so far apart that one price reaches one of them.
STEP = 0.97

#: A price this far above a limit wakes its watcher and fills nothing.
TOUCH = 1.001

#: Seconds between two looks for an order, between two steals (each takes half a dozen of the 200
#: requests a minute), and for which one order is waited for.
PAUSE_SECONDS = 0.25
STEAL_SECONDS = 3.0
ORDER_SECONDS = 10.0

#: Until the ledger has seen what has filled, or what was taken out.
SETTLE_SECONDS = 15.0


def entries(watchers: int) -> list[dict[str, Any]]:
    """Two fifths rest on three symbols; three fifths are reached one by one on three others."""
    resting = watchers * 2 // 5
    found = [
        {
            "symbol": RESTING[number % 3],
            "strategy": f"r{number // 3}",
            "limit": LIMIT,
            "pnl": 1 + number / 100,
        }
        for number in range(resting)
    ]
    for number in range(watchers - resting):
        rank = number // 3
        found.append(
            {
                "symbol": SYMBOLS[3 + number % 3],
                "strategy": f"t{rank}",
                "limit": round(LIMIT * STEP**rank, 2),
                "pnl": 10 + number,
            }
        )
    return found


def run(directory: Path, watchers: int, release_seconds: float) -> dict[str, Any]:
    """The whole benchmark; milliseconds.

    :param release_seconds: how long the broker holds a canceled order's funds after it has said
        that the order is canceled; an order that needs them is refused until then.
    """
    plan = entries(watchers)
    with estate(directory, "--release-latency", str(release_seconds)) as found:
        found.start_keeper()
        found.start_fleet(write_plan(directory, plan))
        until(lambda: found.phases().count("waiting_for_price") >= watchers, "all watchers")
        time.sleep(3.0)
        moving = [entry for entry in plan if entry["symbol"] not in RESTING]
        free = len(moving) * 2 // 3
        result = {
            "watchers": watchers,
            "release_seconds": release_seconds,
            "free": _summary([_touch(found, entry)[0] for entry in moving[:free]]),
        }
        _open_resting(found, [entry for entry in plan if entry["symbol"] in RESTING])
        _use_up(found)
        later = [_touch_later(found, entry, n) for n, entry in enumerate(moving[free:])]
        held_back = _held_back(found)
        steals = [
            took
            for entry, took in zip(moving[free:], later, strict=True)
            if took is not None and (entry["symbol"], entry["strategy"]) not in held_back
        ]
        if len(steals) < len(later) / 2:
            raise StageError(f"{len(steals)} of {len(later)} orders stole: the account is not full")
        return result | {
            "held_back": len(held_back),
            "steal": _summary([took for took, _ in steals]),
            "steal_own": _summary([took - waited for took, waited in steals]),
        }


def _touch(found: Estate, entry: dict[str, Any]) -> tuple[float, float]:
    """Bring the price to one watcher's limit; milliseconds until its order is at the broker, and
    those of them in which a cancel was with the broker.
    """
    after = _last_event(found)
    told_at = found.price(entry["symbol"], round(entry["limit"] * TOUCH, 3))
    limit = Decimal(str(entry["limit"]))
    deadline = time.monotonic() + ORDER_SECONDS
    while time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
        events = found.get("/sim/log", after=after, limit=1000)["events"]
        for number, event in enumerate(events):
            order = event["order"]
            if order["symbol"] == entry["symbol"] and Decimal(order["limit_price"]) == limit:
                took = float(event["real_time"] - told_at) * 1000
                return took, _canceling(events[:number])
    state = found.state_of(entry["symbol"], entry["strategy"])
    raise StageError(f"no order came for {entry} within {ORDER_SECONDS:g} s: {state}")


def _canceling(events: list[dict[str, Any]]) -> float:
    """Milliseconds from the first request to cancel to the last order that was canceled."""
    asked = [float(e["real_time"]) for e in events if e["event"] == "pending_cancel"]
    ended = [float(e["real_time"]) for e in events if e["event"] == "canceled"]
    return (max(ended) - min(asked)) * 1000 if asked and ended else 0.0


def _touch_later(found: Estate, entry: dict[str, Any], number: int) -> tuple[float, float] | None:
    """A touch with victims to find: an order whose market is not heard of is protected.

    None when the order found room without a steal.
    """
    for symbol in RESTING:
        found.price(symbol, PRICE + 0.01 * (number % 2 + 1))
    time.sleep(STEAL_SECONDS)
    found.take_out(-_loss(found, entry))
    before = _steals(found)
    took = _touch(found, entry)
    return took if _steals(found) > before else None


def _held_back(found: Estate) -> set[tuple[str, str]]:
    """Symbol and strategy of those whose launch was refused because the account was overdrawn: its
    figures were read between the money and the price of a touch. How long that lasts is no latency.
    """
    told = found.desk.read(lambda r: r.xrange(found.desk.keys.transitions))
    refused = [fields for _, fields in told if fields.get("reason") == "overdrawn"]
    names = {symbol.replace("/", ""): symbol for symbol in SYMBOLS}
    return {(names[fields["symbol"]], fields["strategy"]) for fields in refused}


def _steals(found: Estate) -> int:
    return int(found.desk.read(lambda r: r.xlen(found.desk.keys.steals)))


def _loss(found: Estate, entry: dict[str, Any]) -> float:
    """What this touch makes of what others bought, in dollars. It is paid in: a steal is measured,
    and an account that shrinks would have its launches refused besides.
    """
    symbol = entry["symbol"].replace("/", "")
    bought = [p for p in found.get("/v2/positions") if p["symbol"] == symbol]
    falls = (float(p["current_price"]) - entry["limit"] * TOUCH for p in bought)
    return sum((float(p["qty"]) * fall for p, fall in zip(bought, falls, strict=True)), 0.0)


def _last_event(found: Estate) -> int:
    events = found.get("/sim/log", limit=1_000_000)["events"]
    return int(events[-1]["sequence"]) if events else 0


def _open_resting(found: Estate, resting: list[dict[str, Any]]) -> None:
    """All victims-to-be open, and the market far away again."""
    for symbol in RESTING:
        found.price(symbol, LIMIT * TOUCH)
    until(
        lambda: found.desk.read(lambda r: r.zcard(found.desk.keys.open)) >= len(resting),
        "the resting orders",
    )
    for symbol in RESTING:
        found.price(symbol, PRICE)


def _use_up(found: Estate) -> None:
    """Take out money until the next order does not fit."""

    def free() -> float:
        names = ("limit_crypto", "positions_crypto", "foreign_crypto", "charged_crypto")
        figures = found.desk.read(lambda r: r.hmget(found.desk.keys.ledger, *names))
        limit, *used = (int(figure or 0) for figure in figures)
        return (limit - sum(used)) / MICRO

    def full() -> bool:
        if free() >= DOLLARS:
            found.take_out(free() - DOLLARS / 2)
            time.sleep(SETTLE_SECONDS)
        return free() < DOLLARS

    time.sleep(SETTLE_SECONDS)
    until(full, "the account to be full")


def _summary(times: list[float]) -> dict[str, float]:
    return {
        "orders": len(times),
        "median_ms": round(median(times), 2),
        "p99_ms": round(quantiles(times, n=100, method="inclusive")[98], 2),
        "largest_ms": round(max(times), 2),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    rows = [f"{'price to order':<20}{'orders':>8}{'median ms':>11}{'p99 ms':>9}{'largest':>9}"]
    names = {
        "free": "free capacity",
        "steal": "with a steal",
        "steal_own": "less its cancel",
    }
    for key, name in names.items():
        f = result[key]
        rows.append(
            f"{name:<20}{f['orders']:>8}{f['median_ms']:>11}{f['p99_ms']:>9}{f['largest_ms']:>9}"
        )
    held = f"; {result['held_back']} steals held back by an overdrawn account, not counted"
    return [*rows, f"{result['watchers']} watchers{held}"]
