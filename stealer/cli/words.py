"""Amounts, times and reasons as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from stealer.model import MICRO, decimal_text

#: What a protection means, in a few words for a table.
PROTECTIONS = {
    "probe": "probe",
    "force_immediate": "forced",
    "market_closed": "market closed",
    "stale_quote": "no fresh quote",
    "near_fill": "about to fill",
    "cooldown": "cooldown",
    "own_symbol": "own symbol",
    "steal_back": "would steal back",
    "fight": "fight",
}

TIERS = {
    "force_immediate": "forced",
    "tight_tolerance": "tight",
    "normal": "normal",
    "steal_only": "steal only",
}


def dollars(micro: int | None, places: int = 2) -> str:
    """Micro-dollars as ``1,234.56``; a dash for none."""
    if micro is None:
        return "-"
    return f"{Decimal(micro) / MICRO:,.{places}f}"


def money(micro: int) -> str:
    """Micro-dollars with a dollar sign, for sentences."""
    return f"-${dollars(-micro)}" if micro < 0 else f"${dollars(micro)}"


def number(value: Decimal | None) -> str:
    """A price or quantity, digit for digit, with thousands separated."""
    if value is None:
        return "-"
    if not value.is_finite():
        return str(value)
    whole, _, rest = decimal_text(value).partition(".")
    grouped = f"{int(whole):,}" if whole.lstrip("-").isdigit() else whole
    return f"{grouped}.{rest}" if rest else grouped


def percent(fraction: float | None, places: int = 2) -> str:
    """0.0066 as ``0.66%``."""
    return "-" if fraction is None else f"{fraction * 100:.{places}f}%"


def pnl(value: float | None) -> str:
    """A forecast PnL in dollars."""
    return "-" if value is None else f"{value:,.2f}"


def span(seconds: float | None) -> str:
    """A length of time, short: ``4s``, ``3m05s``, ``2h10m``, ``5d03h``."""
    if seconds is None:
        return "-"
    whole = int(max(seconds, 0) + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def clock(ms: float | None) -> str:
    """A moment in ms as date and time in UTC."""
    if not ms:
        return "-"
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, OSError, ValueError):
        return "-"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 order``, ``2 orders``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
