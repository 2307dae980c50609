"""What a setting's value may be: small rules, each with the sentence an operator sees.

A rule has two ways in: `read` takes an environment variable's text, `check` takes a Python value
given to the constructor. Both return the value in its one canonical form, or raise `ValueError`;
the message is put together in `stealer.settings`, which knows the variable's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from stealer.sessions import MarketClock

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_PAIR = re.compile(r"(?:([A-Z0-9]{2,10})[/-]?USD)|([A-Z0-9]{2,10})")
_ACCOUNT = re.compile(r"[A-Za-z0-9_]{1,24}")


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """One kind of value: how to read, check and write it, and what is allowed in words."""

    allowed: str
    read: Callable[[str], T]
    check: Callable[[object], T]
    write: Callable[[T], str] = str


def boolean() -> Rule[bool]:
    """A switch."""

    def read(text: str) -> bool:
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(text)
        return word in _TRUE

    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value

    return Rule("1 or 0 (also true, false, yes, no, on, off)", read, check, lambda on: "01"[on])


def number(allowed: str, minimum: float, maximum: float) -> Rule[float]:
    """A finite number from *minimum* to *maximum*, both included."""

    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(value)
        # Also false for NaN. An int too large for a float is out of range, not an OverflowError.
        if not minimum <= value <= maximum:
            raise ValueError(value)
        return float(value)

    return Rule(allowed, lambda text: check(float(text)), check, _plain)


def fraction() -> Rule[float]:
    """A share of a price. Half is far above any sane tolerance, and just below 0.66 meant as
    percent.
    """
    return number("a fraction from 0 to 0.5 (0.016 means 1.6 %)", 0.0, 0.5)


def dollars() -> Rule[float]:
    """The value of an order; a billion is the most the ledger takes."""
    return number("dollars, from 0 to 1000000000", 0.0, 1e9)


def seconds() -> Rule[float]:
    """A span of time. One millisecond is the finest life time a Redis key can have."""
    return number("seconds, from 0.001 to 2592000 (30 days)", 0.001, 30 * 86_400.0)


def count(minimum: int, maximum: int) -> Rule[int]:
    """A whole number from *minimum* to *maximum*, both included."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise ValueError(value)
        return value

    return Rule(f"a whole number from {minimum} to {maximum}", lambda text: check(int(text)), check)


def one_of(*words: str) -> Rule[str]:
    """One of a few words, lower case."""

    def check(value: object) -> str:
        if value not in words:
            raise ValueError(value)
        return str(value)

    return Rule(f"one of {', '.join(words)}", lambda text: check(text.strip().lower()), check)


def account_name() -> Rule[str]:
    """The account's name in every key and order id, hence the narrow alphabet."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not _ACCOUNT.fullmatch(value):
            raise ValueError(value)
        return value

    return Rule("1 to 24 letters, digits or underscores", lambda text: check(text.strip()), check)


def url(*schemes: str, optional: bool = False, user: bool = False) -> Rule[str]:
    """An address with one of *schemes*; the empty string too where *optional*.

    *user*: it may carry a user and password. An @ further behind is a password with a letter in it
    that ends the address's first part: it would be taken, and shown, for a host.
    """
    forms = " or ".join(f"{scheme}://..." for scheme in schemes)
    hint = " (in a password / is %2F, ? %3F, # %23, @ %40)" if user else " without a user"

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        if optional and not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ValueError(value)
        # Reading the port raises ValueError when it is no port; of several hosts each has its own.
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if any(urlsplit(f"//{host}").port == 0 for host in hosts):
            raise ValueError(value)
        if len(hosts) > 1 and not parts.scheme.endswith("+sentinel"):
            raise ValueError(value)
        if "@" in parts.path + parts.query + parts.fragment or ("@" in parts.netloc and not user):
            raise ValueError(value)
        if not value.isprintable():
            raise ValueError(value)
        return value

    return Rule(f"an address like {forms}{hint}", lambda text: check(text.strip()), check)


def path() -> Rule[str]:
    """A file's name, or none. Whether it is there is seen when it is used."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(value)
        return value

    return Rule("the path of a file", lambda given: check(given.strip()), check)


def text() -> Rule[str]:
    """Any text without white space, also none: a key of the broker."""

    def check(value: object) -> str:
        if not isinstance(value, str) or any(letter.isspace() for letter in value):
            raise ValueError(value)
        return value

    return Rule("text without white space", lambda given: check(given.strip()), check)


def crypto_symbols() -> Rule[frozenset[str]]:
    """Crypto pairs against the dollar, canonical (`BTCUSD`) from `BTC`, `BTC/USD` or `BTCUSD`."""

    def canonical(symbol: str) -> str:
        match = _PAIR.fullmatch(symbol.strip().upper())
        if match is None:
            raise ValueError(symbol)
        return f"{match[1] or match[2]}USD"

    def check(value: object) -> frozenset[str]:
        if isinstance(value, str) or not isinstance(value, frozenset | set | tuple | list):
            raise ValueError(value)
        return frozenset(canonical(str(symbol)) for symbol in value)

    def read(text: str) -> frozenset[str]:
        if text.strip().lower() == "none":
            return frozenset()
        return check([symbol for symbol in text.split(",") if symbol.strip()])

    return Rule(
        "crypto tickers or dollar pairs separated by commas, like BTC,ETH/USD, or the word none",
        read,
        check,
        lambda symbols: ",".join(sorted(symbols)) or "none",
    )


def market_clock() -> Rule[str]:
    """The text form of `stealer.sessions.MarketClock`."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        return MarketClock.parse(value).text

    return Rule(MarketClock.FORM, check, check)


def _plain(value: float) -> str:
    """300.0 as `300` and 1.1 as `1.1`, so that hosts compare equal whatever way a value was
    written.
    """
    return format(value, ".12g") if math.isfinite(value) else str(value)
