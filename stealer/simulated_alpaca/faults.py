"""Faults that tests ask for: on the wire (HTTP) and at the exchange (orders).

The exchange's faults are consumed by the engine, the others by the HTTP gate. Each is used `times`
times and then gone; `times` 0 means until it is cleared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .assets import canonical_symbol

WIRE_KINDS = frozenset({"latency", "status", "hang", "html", "drop_reply"})
EXCHANGE_KINDS = frozenset({"stuck_cancel", "fill_on_cancel", "partial_on_cancel", "reject"})
#: How long a hang lasts when nothing is said, seconds.
DEFAULT_HANG_SECONDS = 3600.0


@dataclass
class Fault:
    """One fault. ``seconds`` is real time; empty filters match everything."""

    kind: str
    times: int = 1
    seconds: float = 0.0
    path: str = ""
    method: str = ""
    symbol: str = ""
    side: str = ""
    status: int = 500
    code: int | None = None
    message: str = ""
    fraction: float = 0.5
    used: int = 0

    def describe(self) -> dict[str, Any]:
        """The fault as JSON, without its empty fields."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}


@dataclass
class FaultBook:
    """The faults in force, oldest first."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, body: Any) -> Fault:
        """Add what a JSON object describes. Raises ValueError that says what is wrong."""
        fault = parse_fault(body)
        self.faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all."""
        self.faults.clear()

    def take_wire(self, method: str, path: str) -> Fault | None:
        """Use up one wire fault for a request, or None."""
        for fault in self.faults:
            if (
                fault.kind in WIRE_KINDS
                and fault.method in ("", method)
                and path.startswith(fault.path)
            ):
                return self._use(fault)
        return None

    def take_order(self, kinds: frozenset[str], symbol: str, side: str) -> Fault | None:
        """Use up one exchange fault of ``kinds`` for an order, or None."""
        for fault in self.faults:
            if fault.kind in kinds and fault.symbol in ("", symbol) and fault.side in ("", side):
                return self._use(fault)
        return None

    def _use(self, fault: Fault) -> Fault:
        fault.used += 1
        if fault.times and fault.used >= fault.times:
            self.faults.remove(fault)
        return fault


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "times": (int,),
    "seconds": (int, float),
    "path": (str,),
    "method": (str,),
    "symbol": (str,),
    "side": (str,),
    "status": (int,),
    "code": (int,),
    "message": (str,),
    "fraction": (int, float),
}


def parse_fault(body: Any) -> Fault:
    """A fault from JSON. Raises ValueError naming the field and what is allowed."""
    if not isinstance(body, dict):
        raise ValueError("a fault is a JSON object")
    kinds = WIRE_KINDS | EXCHANGE_KINDS
    if body.get("kind") not in kinds:
        raise ValueError(f"kind must be one of {', '.join(sorted(kinds))}")
    for name, value in body.items():
        if name not in _TYPES:
            raise ValueError(f"unknown field {name!r}; allowed: {', '.join(sorted(_TYPES))}")
        if isinstance(value, bool) or not isinstance(value, _TYPES[name]):
            raise ValueError(f"{name} must be {' or '.join(t.__name__ for t in _TYPES[name])}")
    fault = Fault(**body)
    fault.method = fault.method.upper()
    if fault.symbol:
        fault.symbol = canonical_symbol(fault.symbol)
    if fault.kind == "hang" and not fault.seconds:
        fault.seconds = DEFAULT_HANG_SECONDS
    if fault.times < 0 or fault.seconds < 0 or not 0 < fault.fraction < 1:
        raise ValueError("times and seconds must be >= 0, fraction between 0 and 1")
    return fault
