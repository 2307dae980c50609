"""Faults that tests ask for: on the wire (HTTP), on streams (WebSocket), at the exchange (orders).

The exchange's faults are consumed by the engine, the wire's by the HTTP gate, the streams' by their
connections. Each is used `times` times and then gone; `times` 0 means until it is cleared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .assets import canonical_symbol
from .orders import RARE

WIRE_KINDS = frozenset({"latency", "status", "hang", "html", "drop_reply"})
EXCHANGE_KINDS = frozenset(
    {
        "stuck_cancel",
        "fill_on_cancel",
        "partial_on_cancel",
        "cancel_rejected",
        "rare_status",
        "reject",
    }
)
STREAM_KINDS = frozenset(
    {
        "stream_drop",
        "stream_mute",
        "stream_delay",
        "stream_duplicate",
        "stream_reorder",
        "stream_refuse",
    }
)
#: These are in force for a time (`seconds`), or for ever, unless `times` is given.
LASTING_KINDS = frozenset({"stream_mute", "stream_refuse"})
#: How late a message comes that others overtake when nothing is said, seconds.
DEFAULT_REORDER_SECONDS = 0.2
TOO_MANY_REQUESTS = 429
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
    #: The order status of a `rare_status`.
    state: str = ""
    used: int = 0
    #: When it was asked for, real unix seconds.
    since: float = 0.0

    def describe(self) -> dict[str, Any]:
        """The fault as JSON, without its empty fields."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}


@dataclass
class FaultBook:
    """The faults in force, oldest first."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, body: Any, now: float = 0.0) -> Fault:
        """Add what a JSON object describes. Raises ValueError that says what is wrong.

        A `stream_drop` is no state but a deed of its caller, and is not kept.
        """
        fault = parse_fault(body)
        fault.since = now
        if fault.kind != "stream_drop":
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

    def take_stream(self, kind: str, path: str, now: float) -> Fault | None:
        """Use up one stream fault of ``kind`` for a stream's path, or None."""
        for fault in list(self.faults):
            if fault.kind != kind or not path.startswith(fault.path):
                continue
            if kind in LASTING_KINDS and fault.seconds and now >= fault.since + fault.seconds:
                self.faults.remove(fault)
                continue
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
    "state": (str,),
}


def parse_fault(body: Any) -> Fault:
    """A fault from JSON. Raises ValueError naming the field and what is allowed."""
    if not isinstance(body, dict):
        raise ValueError("a fault is a JSON object")
    kinds = WIRE_KINDS | EXCHANGE_KINDS | STREAM_KINDS
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
    _complete(fault, body)
    if (fault.kind == "rare_status") != (fault.state in RARE):
        raise ValueError(f"rare_status, and only it, has a state: one of {', '.join(sorted(RARE))}")
    if fault.times < 0 or fault.seconds < 0 or not 0 < fault.fraction < 1:
        raise ValueError("times and seconds must be >= 0, fraction between 0 and 1")
    return fault


def _complete(fault: Fault, body: dict[str, Any]) -> None:
    """What a kind means where its description says nothing."""
    if fault.kind == "hang" and not fault.seconds:
        fault.seconds = DEFAULT_HANG_SECONDS
    if fault.kind == "stream_reorder" and not fault.seconds:
        fault.seconds = DEFAULT_REORDER_SECONDS
    if fault.kind in LASTING_KINDS and "times" not in body:
        fault.times = 0
    if fault.kind == "stream_refuse" and "status" not in body:
        fault.status = TOO_MANY_REQUESTS
