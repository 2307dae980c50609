"""Where an exploration begins: scripted steps without a fault, so that depth is for the rest."""

from __future__ import annotations

#: Name -> the labels of the steps taken first, in order.
SCENES: dict[str, tuple[str, ...]] = {
    "empty": (),
    "full": tuple(
        f"{name}{step}"
        for name in ("BTCUSD", "AAPL")
        for step in (
            " acquires",
            " tops up",
            " launches",
            " writes its POST",
            "'s order arrives",
            " is confirmed",
        )
    ),
}
SCENES["stealing"] = (*SCENES["full"], "ETHUSD acquires", "DELETE of BTCUSD")
