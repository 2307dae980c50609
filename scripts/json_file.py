"""``--json FILE`` of every command here: asked for before the work, which may take hours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click


class JsonFile(click.Path):
    """The path of a file that can be written, as far as that can be told without writing it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; a usage error for one that cannot be written."""
        path = super().convert(value, param, ctx)
        folder = Path(path).parent
        try:
            good = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
            if not good and not Path(path).exists():
                raise OSError("the folder is not there, or not ours to write")
            if len(os.fsencode(Path(path).name)) > os.pathconf(folder, "PC_NAME_MAX"):
                raise OSError("the name is too long")
        except OSError as error:
            self.fail(f"{str(path)!r} cannot be written: {error.strerror or error}", param, ctx)
        return path


def write(path: Path | None, record: Any) -> None:
    """*record* into the file, if one was asked for.

    :raises click.ClickException: it cannot be written any more.
    """
    if path is None:
        return
    try:
        path.write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
