"""The broker: paper or live, reachable, with keys that fit and an account that may trade."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from stealer.broker.interface import BrokerBudgetSpent, BrokerRateLimited
from stealer.budget import LONGEST_HOLD_SECONDS
from stealer.doctor.finding import Finding, failure, fine, warning
from stealer.doctor.patient import Patient

#: Seconds by which the broker's clock may differ from this host's.
SKEW = 5.0


def trading(patient: Patient) -> Iterator[Finding]:
    """What an order costs."""
    settings = patient.settings
    where = f", at {settings.alpaca_url}" if settings.alpaca_url else ""
    if settings.is_live:
        yield fine(
            "trading",
            f"LIVE: ORDERS OF ACCOUNT {settings.account!r} SPEND REAL MONEY{where}",
            "STEALER_TRADING=paper trades on paper",
        )
    else:
        yield fine("trading", f"paper: account {settings.account!r} trades no real money{where}")
    for said in settings.warnings:
        yield warning("settings", said, "correct or unset the variable")


def account(patient: Patient) -> Iterator[Finding]:
    """Whether keys and account are good for orders."""
    found = patient.broker.account()
    if found.trading_blocked or found.status != "ACTIVE":
        blocked = ", trading is blocked" if found.trading_blocked else ""
        yield failure(
            "broker",
            f"the account's status is {found.status}{blocked}: no order will be taken",
            "log in at the broker's page and see why",
        )
        return
    yield fine(
        "broker",
        f"answers; equity {found.equity:,.2f}, cash {found.cash:,.2f}, buying power "
        f"{found.buying_power:,.2f}, multiplier {found.multiplier}",
    )
    leverage = Decimal(str(patient.settings.leverage))
    if found.multiplier < leverage:
        yield warning(
            "broker",
            f"the broker lends {found.multiplier} times the equity, the cap is {leverage} times "
            "it: the broker's own figure decides before the cap does",
            f"set WORK_STEALING_LEVERAGE={found.multiplier} on every host",
        )
    if found.buying_power <= 0:
        yield warning(
            "broker", "there is no buying power", "close positions, or wait for settlement"
        )


def budget_spent(patient: Patient, name: str, error: BrokerRateLimited) -> Finding:
    """The broker took no question, which says nothing about keys and address."""
    now = patient.now()
    wait = error.wait_seconds if isinstance(error, BrokerBudgetSpent) else None
    until = now + wait if wait is not None else error.reset_at
    when = "for a while"
    # A reset that has passed, or is further than any that is believed, tells nothing.
    if until is not None and 0 < until - now <= LONGEST_HOLD_SECONDS:
        until = math.ceil(until)
        when = f"until {datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC ({until - now:.0f} s)"
    return failure(
        name,
        f"the account's API budget is spent {when}: the broker could not be asked",
        "wait, and call doctor again; `stealer status` shows what is left and who waits",
    )


def clock(patient: Patient) -> Iterator[Finding]:
    """This host's clock against the broker's."""
    if patient.settings.market_clock != "system":
        yield fine("broker clock", "not compared: the market's time is a replay's")
        return
    before = patient.now()
    at = patient.broker.clock().at
    after = patient.now()
    skew = max(before - at, 0.0) or min(after - at, 0.0)
    if abs(skew) < SKEW:
        yield fine("broker clock", "this host and the broker agree on the time")
        return
    way = "ahead of" if skew > 0 else "behind"
    yield warning(
        "broker clock",
        f"this host's clock is {abs(skew):.0f} s {way} the broker's",
        "run an NTP client; with a simulator, start it with --clock system",
    )
