"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: a failure stops orders, endangers what is promised, or lets strangers in."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what to do ('' for nothing)."""

    check: str
    level: Level
    finding: str
    advice: str = ""


def fine(check: str, finding: str, advice: str = "") -> Finding:
    """All is well."""
    return Finding(check, Level.OK, finding, advice)


def warning(check: str, finding: str, advice: str) -> Finding:
    """It works, and could be better or safer."""
    return Finding(check, Level.WARNING, finding, advice)


def failure(check: str, finding: str, advice: str) -> Finding:
    """It does not work, or not safely."""
    return Finding(check, Level.FAILURE, finding, advice)
