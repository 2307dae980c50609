"""How a stream's messages look on the wire: JSON or MessagePack, and moments in either."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgpack

from .serialize import timestamp


@dataclass(frozen=True)
class Moment:
    """A point in market time, unix seconds: text in JSON, an extension type in MessagePack."""

    seconds: float


def _json_default(value: Any) -> Any:
    if isinstance(value, Moment):
        return timestamp(value.seconds)
    raise TypeError(f"not a message: {value!r}")


def _msgpack_default(value: Any) -> Any:
    if isinstance(value, Moment):
        # Whole microseconds: what the engine works with.
        return msgpack.Timestamp.from_unix_nano(round(value.seconds * 1e6) * 1000)
    raise TypeError(f"not a message: {value!r}")


def encode(message: Any, packed: bool) -> bytes:
    """A message as MessagePack if ``packed``, else as JSON."""
    if packed:
        return bytes(msgpack.packb(message, default=_msgpack_default))
    return json.dumps(message, default=_json_default, separators=(",", ":")).encode()


def decode(frame: str | bytes, packed: bool) -> Any:
    """A client's frame. Raises ValueError when it cannot be read.

    JSON is understood in either kind of frame; MessagePack only where the client announced it.
    """
    if isinstance(frame, bytes) and packed:
        try:
            return msgpack.unpackb(frame)
        except Exception as error:  # msgpack's errors share no base below Exception
            raise ValueError("not MessagePack") from error
    return json.loads(frame)
