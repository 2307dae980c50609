"""Answers held against the public specification: what is missing, added or of another type.

`specification/specification.json` notes the specification, `specification/differences.json` every
difference of ours, with its reason. A kind is ``string``, ``number``, ``uuid`` and the like, an
``enum NAME`` or an ``object NAME``; ``?`` at its end allows null. `specification/errors.json`
lists every refusal: endpoint, status, code, message with its figures as N, further fields, and
whose words they are.

``python -m tests.simulated_alpaca.comparison`` writes the page that shows all this.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "specification"
SPECIFICATION: dict[str, Any] = json.loads((FOLDER / "specification.json").read_text())
DIFFERENCES: dict[str, Any] = json.loads((FOLDER / "differences.json").read_text())
ERRORS: list[list[Any]] = json.loads((FOLDER / "errors.json").read_text())
PAGE = Path(__file__).parents[2] / "docs" / "simulated-alpaca-specification.md"

_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
Names = dict[str, set[str]]


@dataclass
class Findings:
    """What a comparison found, each by the name of the object it is about."""

    missing: Names = field(default_factory=lambda: defaultdict(set))
    added: Names = field(default_factory=lambda: defaultdict(set))
    #: Values outside an enumeration, by the enumeration's name.
    values: Names = field(default_factory=lambda: defaultdict(set))
    #: Sentences about fields of the wrong type.
    wrong: set[str] = field(default_factory=set)
    seen: Names = field(default_factory=lambda: defaultdict(set))

    def answer(self, shape: str, body: Any) -> None:
        """Compare a body with a shape: ``order``, ``[order]``, ``[a|b]``, ``PAGE of ITEM``."""
        if shape.startswith("["):
            if not isinstance(body, list):
                self.wrong.add(f"{shape} is {type(body).__name__}")
                return
            for item in body:
                self.object(_chosen(shape[1:-1].split("|"), item), item)
        elif " of " in shape:
            page, item = shape.split(" of ")
            self.object(page, body)
            [found] = [value for value in body.values() if isinstance(value, dict)]
            for value in found.values():
                for one in value if isinstance(value, list) else [value]:
                    self.object(item, one)
        elif shape:
            self.object(shape, body)

    def object(self, name: str, value: Any) -> None:
        """Compare one object."""
        fields = SPECIFICATION["objects"][name]["fields"]
        self.seen[name] |= value.keys()
        self.missing[name] |= fields.keys() - value.keys()
        self.added[name] |= value.keys() - fields.keys()
        for key in fields.keys() & value.keys():
            self._value(f"{name}.{key}", fields[key], value[key])

    def _value(self, where: str, kind: str, value: Any) -> None:
        if value is None:
            if not kind.endswith("?"):
                self.wrong.add(f"{where} is null")
            return
        kind = kind.removesuffix("?")
        if kind.startswith("object ") and isinstance(value, dict):
            if "code" not in value:
                self.object(kind.split()[1], value)
        elif kind.startswith("enum "):
            if value not in SPECIFICATION["enumerations"][kind.split()[1]]:
                self.values[kind.split()[1]].add(value)
        elif not _fits(kind, value):
            self.wrong.add(f"{where} is {value!r}, not {kind}")

    def fields(self) -> dict[str, dict[str, set[str]]]:
        """The fields of each compared object that are missing somewhere, or added."""
        return {
            name: {"not_sent": self.missing[name], "added": self.added[name]}
            for name in self.seen
            if self.missing[name] or self.added[name]
        }


def _chosen(names: list[str], item: dict[str, Any]) -> str:
    """The object of several that shares most fields with the item."""
    return max(names, key=lambda n: len(SPECIFICATION["objects"][n]["fields"].keys() & item.keys()))


def _fits(kind: str, value: Any) -> bool:
    if kind == "uuid":
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    if kind == "date-time":
        return isinstance(value, str) and datetime.fromisoformat(_micros(value)).tzinfo is not None
    return isinstance(value, _PLAIN[kind]) and (kind == "boolean") == isinstance(value, bool)


def _micros(text: str) -> str:
    """An RFC 3339 time without its nanoseconds, which Python cannot read."""
    return re.sub(r"(\.\d{6})\d{3}", r"\1", text)


def recorded_fields() -> dict[str, dict[str, set[str]]]:
    """The recorded differences of fields, in the form of `Findings.fields`."""
    return {
        name: {side: set(entry.get(side, {})) for side in ("not_sent", "added")}
        for name, entry in DIFFERENCES["fields"].items()
    }


_HEAD = """# The simulated Alpaca and Alpaca's specification

Written by `python -m tests.simulated_alpaca.comparison` from the files in
`tests/simulated_alpaca/specification`; `tests/simulated_alpaca/test_specification.py` holds them
against the running server, and puts every answer through alpaca-py's own models.

The specification is Alpaca's Trading API 2.0.1 and Market Data API 1.1, as published in March
2026. What is not named here is the same: fields, types, enumerations, status codes, query
parameters.
"""

_FOOT = """
The specification gives statuses, and of a body `code` and `message` only. Codes and words marked
Alpaca were seen there; ours are made up in their style. Figures are shown as N.
"""


def _table(title: str, head: list[str], rows: list[list[Any]]) -> str:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in [head, *rows]]
    cells.insert(1, ["---"] * len(head))
    lines = "\n".join("| " + " | ".join(row) + " |" for row in cells)
    return f"\n## {title}\n\n{lines}\n"


def _pairs(section: str) -> list[list[Any]]:
    """``{name: {item: reason}}`` as rows."""
    return [
        [f"`{name}`", f"`{item}`", reason]
        for name, items in DIFFERENCES[section].items()
        for item, reason in items.items()
    ]


def page() -> str:
    """The page, from the recorded files."""
    sent = {"not_sent": "not sent", "added": "added"}
    fields = [
        [f"`{name}`", f"`{item}`", sent[side], reason]
        for name, entry in DIFFERENCES["fields"].items()
        for side, items in entry.items()
        for item, reason in items.items()
    ]
    endpoints = [
        [f"`{name}`", ", ".join([*entry["answers"], *map(str, entry["errors"])])]
        for name, entry in SPECIFICATION["endpoints"].items()
        if name not in DIFFERENCES["not_served"]
    ]
    absent = {**DIFFERENCES["not_served"], **DIFFERENCES["families_not_served"]}
    errors = [
        [f"`{name}`", status, code, f"`{message}`", f"`{more}`" if more else "", whose]
        for name, status, code, message, more, whose in ERRORS
    ]
    reason = ["endpoint", "name", "reason"]
    return _HEAD + "".join(
        [
            _table("Endpoints served", ["endpoint", "statuses of the specification"], endpoints),
            _table(
                "Trading endpoints not served",
                ["endpoint or family", "reason"],
                [[f"`{name}`", why] for name, why in absent.items()],
            ),
            _table("Fields that differ", ["object", "field", "", "reason"], fields),
            _table("Values beyond an enumeration", ["enumeration", *reason[1:]], _pairs("values")),
            _table(
                "Other types",
                ["field", "reason"],
                [[f"`{name}`", why] for name, why in DIFFERENCES["types"].items()],
            ),
            _table("Statuses beyond the specification", reason, _pairs("statuses")),
            _table("Query parameters without effect", reason, _pairs("query_ignored")),
            _table("Order fields without effect", reason, _pairs("body_ignored")),
            _table(
                "Errors",
                ["endpoint", "status", "code", "message", "further fields", "words"],
                errors,
            ),
            _FOOT,
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
