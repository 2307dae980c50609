"""Where an exploration begins: scripted steps without a fault, so that depth is for the rest."""

from __future__ import annotations

from scripts.exploration.real.stage import Scene


def _opens(*names: str) -> tuple[str, ...]:
    """The steps by which these watchers open their orders, one after the other."""
    return tuple(
        f"{name}{step}"
        for name in names
        for step in (
            " acquires",
            " tops up",
            " launches",
            " writes its POST",
            "'s order arrives",
            " is confirmed",
        )
    )


_FULL = _opens("BTCUSD", "AAPL")

SCENES: dict[str, Scene] = {
    "empty": Scene(),
    "full": Scene(_FULL),
    "stealing": Scene((*_FULL, "ETHUSD acquires", "DELETE of BTCUSD")),
    # The two rivals for the crypto pool. The loss may come once, beside the faults.
    "memory loss": Scene(
        ("BTCUSD acquires", "BTCUSD tops up", "BTCUSD launches"), watchers=(0, 2), losses=1
    ),
}
