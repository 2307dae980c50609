"""A trouble that every poll meets again: its beginning, each change and its end are logged."""

from __future__ import annotations

import logging
import re

log = logging.getLogger(__name__)

#: What differs from poll to poll in the same sentence: how long it waits, until when.
_NUMBER = re.compile(r"\d+(\.\d+)?")


class Repeated:
    """One kind of trouble; *what* names it in the line that tells its end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = ""

    def met(self, subject: str, trouble: object) -> None:
        """*subject* has met it (again)."""
        sentence = f"{subject}: {trouble}"
        kind = _NUMBER.sub("", sentence)
        if kind != self._said:
            log.warning("%s", sentence)
        self._said = kind

    def over(self, subject: str) -> None:
        """It is gone, if it was there."""
        if self._said:
            log.info("%s: %s is no trouble any more", subject, self._what)
        self._said = ""
