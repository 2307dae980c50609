"""Names for requests, by which a script knows a copy of one that it answered already."""

from __future__ import annotations

import itertools
import os
import secrets


class RequestIds:
    """Ids ``random.asker.number``: new for every request, and in order for those of one asker.

    A call that was given up may still reach the server, seconds after a later one was answered. The
    script tells by the number (``acquire.lua``); the random part keeps claims' ids new for ever.
    """

    def __init__(self) -> None:
        self._process = 0

    def new(self) -> str:
        """The next id. A forked process is another asker than its parent."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._asker = secrets.token_hex(4)
            self._numbers = itertools.count(1)
        return f"{secrets.token_hex(6)}.{self._asker}.{next(self._numbers)}"
