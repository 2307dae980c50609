"""Text from outside, made harmless before a terminal or a log sees it.

Names in plans and forecasts, and everything in Redis, may have been written by somebody else. A
terminal obeys control characters: it would clear the screen, set its title, or show another
number than the one that is there; in a log a line break would forge a line.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Final

#: The longest value a message shows whole: many times what a good one needs.
SHOWN_LETTERS: Final = 60

#: What JSON may hold as it is and a terminal may still obey: C1 controls, marks of direction.
_LETTER = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str) -> str:
    """*text* with control characters shown as ``?``, so that no value can steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shown(value: object) -> str:
    """*value* for a message, as Python writes it: on one line, short, and never an error itself."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or nested too deep
        return "a value too long to show"
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "..."


def printable_json(text: str) -> str:
    """JSON text that means the same, with every letter that cannot be shown written ``\\uXXXX``."""

    def escaped(match: re.Match[str]) -> str:
        letter = match.group()
        return letter if letter.isprintable() else json.dumps(letter)[1:-1]

    return _LETTER.sub(escaped, text)


class PrintableFormatter(logging.Formatter):
    """One line a record, whatever is in it; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """The line of a record."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802
        """A traceback, each of its lines harmless."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(printable(line) for line in lines)


def log_to_stderr(layout: str, level: int = logging.INFO, *, force: bool = False) -> None:
    """Log to stderr in *layout* (``%(message)s`` and so on), as ``PrintableFormatter`` does."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter(layout))
    logging.basicConfig(level=level, handlers=[handler], force=force)
