"""What a person sees of the demo: on a terminal a picture, in a pipe a line now and then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stealer.cli.operator import Operator
from stealer.cli.views import account, orders, records

NEW_YORK = ZoneInfo("America/New_York")

#: Rows shown of each kind; a small terminal has 24 lines.
ORDER_ROWS = 10
STEAL_ROWS = 5
TIMER_ROWS = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything one picture needs, read in one go."""

    account: account.Account
    orders: orders.Orders
    cooldowns: tuple[records.Timer, ...]
    fights: tuple[records.Timer, ...]
    steals: list[records.Steal]
    report: dict[str, Any]
    market_time: datetime
    elapsed: float
    seconds: float


def read_frame(
    ledger: Operator, report: dict[str, Any], market_time: datetime, elapsed: float, seconds: float
) -> Frame:
    """The ledger as an operator would see it now."""
    return Frame(
        account.account(ledger),
        orders.orders(ledger),
        tuple(t for t in records.cooldowns(ledger).cooldowns if t.kind == "cooldown"),
        records.fights(ledger).fights,
        records.steals(ledger, STEAL_ROWS),
        report,
        market_time,
        elapsed,
        seconds,
    )


def line(frame: Frame) -> str:
    """One line for a pipe or a log."""
    counters = frame.account.counters
    used = ", ".join(f"{p.name} {_share(p)}" for p in frame.account.pools)
    last = frame.steals[-1] if frame.steals else None
    stolen = f"; last {last.thief} from {' '.join(last.victims)}" if last else ""
    return (
        f"t+{frame.elapsed:3.0f}s  {_market(frame)}  used {used}; "
        f"{len(frame.orders.open)} open, {len(frame.account.waiters)} waiting; "
        f"steals {counters.get('work_steal_success_total', 0)}, "
        f"fights {counters.get('work_steal_fights_detected', 0)}, "
        f"fills {frame.report['fills']}{stolen}"
    )


def picture(frame: Frame) -> RenderableType:
    """The whole screen."""
    return Group(_head(frame), _capacity(frame), _orders(frame), _below(frame))


def show(console: Console, frame: Frame) -> None:
    """A line, where no picture can be drawn."""
    console.print(line(frame), soft_wrap=True, highlight=False)


def _share(pool: account.Pool) -> str:
    """How much of a pool is used. Its limit can fall below what is in use: cash may be spent on
    stocks while crypto is held; then nothing new goes out, and nothing is shed."""
    return f"{pool.used:4.0%}" if pool.free_micro >= 0 else "over"


def _market(frame: Frame) -> str:
    session = frame.account.session
    state = ("open" if session.is_open else "closed") if session.known else "not known yet"
    return f"{frame.market_time.astimezone(NEW_YORK):%a %d %b %H:%M} NY ({state})"


def _head(frame: Frame) -> Text:
    left = max(frame.seconds - frame.elapsed, 0)
    text = Text("work stealing  ", style="bold")
    text.append(f"{_market(frame)}  {left:.0f} s left  ", style="default")
    if not frame.account.certified:
        text.append("certifying: waiting out what may be in flight", style="yellow")
    elif not frame.account.fresh:
        text.append("account stale", style="red")
    return text


def _capacity(frame: Frame) -> Table:
    table = Table.grid(padding=(0, 1))
    for pool in frame.account.pools:
        bar = ProgressBar(100, min(max(pool.used, 0), 1) * 100, width=30)
        table.add_row(
            Text(pool.name),
            bar,
            Text(f"{_share(pool)} of ${pool.limit_micro / 1e6:,.0f}"),
            Text(f"free ${pool.free_micro / 1e6:,.0f}", style="dim"),
        )
    return table


def _orders(frame: Frame) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name, side in (
        ("#", "right"),
        ("order", "left"),
        ("PnL", "right"),
        ("tier", "left"),
        ("away", "right"),
        ("$", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    rows = [*frame.orders.open, *frame.orders.others][:ORDER_ROWS]
    for order in rows:
        away = f"{order.distance:.2%}" if order.distance is not None else ""
        note = order.state if order.state != "open" else (order.protection or "can be stolen")
        style = {"evicting": "red", "reserved": "cyan", "launching": "cyan"}.get(order.state, "")
        table.add_row(
            str(order.rank or ""),
            f"{order.symbol} {order.strategy}",
            f"{order.pnl:,.2f}",
            order.tier.replace("_", " "),
            away,
            f"{order.need_micro / 1e6:,.0f}",
            note.replace("_", " "),
            style=style,
        )
    return table


def _below(frame: Frame) -> Table:
    table = Table.grid(padding=(0, 3), expand=True)
    counters = frame.account.counters
    steals = Text()
    for steal in reversed(frame.steals):
        worth = f"{steal.thief_pnl} over {' '.join(steal.victim_pnls)}"
        steals.append(f"{steal.thief} from {' '.join(steal.victims)}", style="bold")
        steals.append(f"  {worth}{'  FIGHT' if steal.fight else ''}\n", style="dim")
    timers = Text()
    for timer in frame.fights[:TIMER_ROWS]:
        timers.append(f"{' / '.join(timer.who)}  {timer.seconds_left:.0f} s  fight\n", style="red")
    for timer in frame.cooldowns[:TIMER_ROWS]:
        timers.append(f"{' '.join(timer.who)}  {timer.seconds_left:.1f} s\n")
    stolen = counters.get("work_steal_success_total", 0)
    fought = counters.get("work_steal_fights_detected", 0)
    facts = (
        f"opened {frame.report['orders_opened']}  fills {frame.report['fills']}\n"
        f"waiting {len(frame.account.waiters)}  watchers {frame.account.watchers}\n"
        f"cap violations {frame.report['cap_violations']}"
    )
    table.add_row(
        Panel(steals, title=f"steals {stolen}", title_align="left"),
        Panel(timers, title=f"cooldowns, fights {fought}", title_align="left"),
        Panel(facts, title="at the broker", title_align="left"),
    )
    return table
