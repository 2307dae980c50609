"""Secrets in files: what stands in ``NAME_FILE`` is read instead of ``NAME``.

A file's rights say who may read it, and it is in no process listing, shell history or service
definition; Docker, Kubernetes and systemd hand secrets over that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: More than any password or key: a file of more is not one.
SECRET_BYTES: Final = 4096


def file_variable(variable: str) -> str:
    """The variable that names the file of *variable*."""
    return f"{variable}_FILE"


def secret_text(environ: Mapping[str, str], variable: str) -> str:
    """The text of a secret, from its variable or from its file; '' when neither is given.

    :raises ValueError: both are given, or the file cannot be read; the sentence holds no secret.
    """
    said, path = environ.get(variable, ""), environ.get(file_variable(variable), "").strip()
    if not path:
        return said
    if said.strip():
        raise ValueError(f"{variable} and {variable}_FILE are both set: give one of them")
    named = f"{variable}_FILE={path!r}"
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(SECRET_BYTES + 1)
    except UnicodeDecodeError:
        raise ValueError(f"{named} is not allowed: the file holds no text") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{named} cannot be read: {_why(error)}") from None
    if not text.strip() or len(text) > SECRET_BYTES:
        raise ValueError(f"{named} is not allowed: give a file that holds the secret alone")
    return text


def _why(error: Exception) -> str:
    return (error.strerror or "it cannot be opened") if isinstance(error, OSError) else str(error)
