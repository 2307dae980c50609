"""One watcher's task and status as a JSON file, for whoever has no Redis at hand.

The file is replaced as a whole, by a rename, so that a reader never sees half of it. It is the
watcher's word alone: after a crash it stays as it was, and ``status.seen`` says how old it is.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

#: Only the user who runs the watcher may read it: prices and quantities are nobody else's business.
MODE = 0o600

#: By these keys an existing file is known as a status file, which may be replaced.
_KEYS = ("task", "status", "ended")

#: A status file is far smaller.
_MAX_BYTES = 1_000_000


class StatusFileError(ValueError):
    """The file cannot be written, or would replace something that is no status file."""


class StatusFile:
    """The file *path* of one watcher.

    :param task: what the watcher was asked to do, as plain values.
    """

    def __init__(self, path: Path, task: Mapping[str, Any]) -> None:
        self._path = path
        self._task = dict(task)
        self._complained = False

    def begin(self) -> None:
        """Write the task, before a status is known: while a mistake can still be said at once.

        :raises StatusFileError: it cannot be written, or another kind of file would be lost.
        """
        _refuse_to_replace(self._path)
        try:
            self._replace({}, "")
        except OSError as error:
            raise StatusFileError(
                f"{self._path}: cannot be written: {error.strerror or error}; "
                "give a file in a directory that exists and may be written"
            ) from None

    def write(self, status: Mapping[str, Any], ended: str = "") -> None:
        """Put *status* there; trouble is said once, and the watcher goes on.

        :param ended: how the watcher ended, empty while it runs.
        """
        try:
            self._replace(status, ended)
        except OSError as error:
            if not self._complained:
                log.warning(
                    "%s: the status cannot be written any more: %s (said once)",
                    self._path,
                    error.strerror or error,
                )
            self._complained = True
        else:
            self._complained = False

    def _replace(self, status: Mapping[str, Any], ended: str) -> None:
        content = {"task": self._task, "status": dict(status), "ended": ended or None}
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with suppress(FileNotFoundError):  # left by a process of this number that was killed
            beside.unlink()
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")
            beside.replace(self._path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise


def _refuse_to_replace(path: Path) -> None:
    """Somebody's plan or key file under the same name must not be lost.

    :raises StatusFileError: *path* is there, and is not one of ours.
    """
    try:
        if path.is_dir():
            raise StatusFileError(f"{path}: is a directory; give the name of a file in it")
        if path.exists() and not path.is_file():  # a pipe would never end, /dev/null looks empty
            raise StatusFileError(f"{path}: is no regular file; give the name of one, or a new one")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StatusFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        found = json.loads(content) if content else dict.fromkeys(_KEYS)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or any(key not in found for key in _KEYS):
        raise StatusFileError(
            f"{path}: is there already and is no status of a watcher: it would be replaced; "
            "give another name"
        )
