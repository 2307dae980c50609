"""A plan file that people edit while its fleet runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from watchers.plan import Plan, PlanError, plan_from_bytes, read_bytes


class PlanFile:
    """Watches one file for a new plan.

    An editor may write a file in pieces, and half a plan may be a valid one. So a new content
    counts once it was found twice in a row.
    """

    def __init__(self, path: Path, crypto_symbols: frozenset[str]) -> None:
        self.path = path
        self._crypto = crypto_symbols
        self._signature: tuple[int, ...] = ()
        self._seen = ""  #: digest of the content that was last loaded or refused
        self._candidate = ""
        self._unreadable = ""

    def load(self) -> Plan:
        """The plan as the file has it now.

        :raises PlanError: it cannot be read, or is no valid plan.
        """
        self._signature = self._stat()
        content = read_bytes(self.path)
        self._seen = self._candidate = hashlib.sha256(content).hexdigest()
        return plan_from_bytes(content, self.path, self._crypto)

    def poll(self) -> Plan | None:
        """The new plan, once, after its content has settled; None while nothing is new.

        :raises PlanError: the new content is no plan, or the file is gone; said once for each.
        """
        signature = self._stat()
        if signature == self._signature and self._candidate == self._seen:
            return None
        self._signature = signature
        try:
            content = read_bytes(self.path)
        except PlanError as error:
            if str(error) == self._unreadable:
                return None
            self._unreadable = str(error)
            raise
        self._unreadable = ""
        before, self._candidate = self._candidate, hashlib.sha256(content).hexdigest()
        if self._candidate != before or self._candidate == self._seen:
            return None
        self._seen = self._candidate
        return plan_from_bytes(content, self.path, self._crypto)

    def _stat(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
