"""Bugs planted on purpose, to see that the judge finds them.

Each is the product with one rule taken out, either in the text of a script (the original text must be
there) or in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stealer import scripts


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug.

    :param edits: (file under ``stealer/lua``, original text, text instead).
    :param patches: (owner, attribute, made from the original).
    """

    what: str
    edits: tuple[tuple[str, str, str], ...] = ()
    patches: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The product has this bug inside the block."""
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in self.patches]
        read = scripts._source

        def edited(path: str) -> str:
            text = read(path)
            for file, original, instead in self.edits:
                if file == path:
                    if original not in text:
                        raise LookupError(f"{path} has no longer the text {original!r}")
                    text = text.replace(original, instead)
            return text

        for owner, name, make in self.patches:
            setattr(owner, name, make(getattr(owner, name)))
        if self.edits:
            scripts._source = edited
        _forget_rendered()
        try:
            yield
        finally:
            scripts._source = read
            for owner, name, original in kept:
                setattr(owner, name, original)
            _forget_rendered()


def _forget_rendered() -> None:
    """What was made of the scripts' texts is made anew."""
    for cached in (scripts.library, scripts.script_text, scripts._digest, scripts._stateful):
        cached.cache_clear()


BUGS: dict[str, Bug] = {}
