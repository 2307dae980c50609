"""Text from outside, made harmless before a terminal or a log sees it.

Names in plans and forecasts, and everything in Redis, may have been written by somebody else. A
terminal obeys control characters: it would clear the screen, set its title, or show another
number than the one that is there; in a log a line break would forge a line.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

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


class JsonFormatter(logging.Formatter):
    """One JSON object a record, on one line of ASCII: time, level, logger, *constant*, the
    record's own ``fields`` (``extra={"fields": {...}}``), and the message.
    """

    def __init__(self, constant: Mapping[str, str]) -> None:
        super().__init__()
        self._constant = dict(constant)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._constant,
            **getattr(record, "fields", {}),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr(
    layout: str,
    level: int = logging.INFO,
    *,
    force: bool = False,
    as_json: bool = False,
    constant: Mapping[str, str] | None = None,
) -> None:
    """Log to stderr in *layout* (``%(message)s`` and so on), as ``PrintableFormatter`` does.

    :param as_json: instead as ``JsonFormatter`` does, with *constant* in every line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(constant or {}) if as_json else PrintableFormatter(layout))
    logging.basicConfig(level=level, handlers=[handler], force=force)
