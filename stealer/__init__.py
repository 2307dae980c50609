"""Work stealing for order watchers that share one Alpaca account.

The three names of the contract are exported lazily (PEP 562): `import stealer.settings` must not
pay for redis-py, because every watcher process pays it again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stealer.coordinator import WorkStealingCoordinator
    from stealer.model import OrderIntent
    from stealer.settings import Settings

__all__ = ["OrderIntent", "Settings", "WorkStealingCoordinator", "__version__"]

__version__ = "0.1.0"

_HOME = {
    "OrderIntent": "stealer.model",
    "Settings": "stealer.settings",
    "WorkStealingCoordinator": "stealer.coordinator",
}


def __getattr__(name: str) -> object:
    """Import an exported name from its home on first use.

    Raises AttributeError for any other name.
    """
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
