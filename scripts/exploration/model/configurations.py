"""The configurations: each explores one kind of trouble completely in seconds or a minute or two.

Watchers are ordered from the worst forecast PnL to the best. One unit is half an order; unless said
otherwise the limit holds two orders.
"""

from __future__ import annotations

from scripts.exploration.model.state import Budget, Scope

TWO = {"sizes": (2, 2), "pnl": (10, 20), "crypto": (False, False), "orders": (2, 1)}
TWO_AND_A_THIEF = {"orders": (1, 1, 1)}
ROOM_FOR_ONE = ((2, 2),)

_SCOPES = (
    Scope(
        "steals",
        "three watchers, a crash and deadlines anywhere",
        orders=(2, 1, 1),
        budget=Budget(crashes=1),
        deadlines=True,
    ),
    Scope(
        "restart",
        "a watcher crashes and comes back, a cancel has no effect once",
        orders=(2, 1, 1),
        budget=Budget(crashes=1, restarts=1, lost_cancels=1),
        deadlines=True,
    ),
    Scope(
        "refusals",
        "the broker refuses a POST, a watcher crashes",
        orders=(2, 1, 2),
        budget=Budget(crashes=1, refusals=1),
        deadlines=True,
    ),
    Scope(
        "fills",
        "half fills that positions show late, also while an order is being canceled",
        budget=Budget(fills=2),
        keepers=1,
        positions_lag=True,
    ),
    Scope(
        "pools",
        "two crypto watchers and a stock's, fills; the crypto pool holds less",
        sizes=(2, 2, 3),
        pnl=(10, 20, 40),
        crypto=(True, False, True),
        limits=((6, 3),),
        budget=Budget(fills=2),
        keepers=1,
    ),
    Scope(
        "equity",
        "equity falls at any moment, also between funding and launch",
        limits=((4, 4), (2, 2)),
        budget=Budget(equity_moves=1, fills=1),
        keepers=1,
    ),
    Scope(
        "foreign",
        "a person places an order, which fills",
        limits=((6, 6),),
        budget=Budget(fills=1),
        keepers=1,
        foreign_size=2,
    ),
    Scope(
        "foreign-lag",
        "the same, and positions show the person's fill late",
        limits=((6, 6),),
        keepers=1,
        foreign_size=2,
        foreign_lags=True,
        proposed="positions_after_lag",
    ),
    Scope(
        "exit",
        "what our first order bought is sold again, positions lag",
        **TWO,
        limits=ROOM_FOR_ONE,
        budget=Budget(fills=2),
        keepers=1,
        positions_lag=True,
        sale_size=2,
    ),
    Scope(
        "power",
        "the broker's own figure binds before the ledger's limit; fills while canceling",
        limits=((8, 8),),
        power=4,
        budget=Budget(fills=2, crashes=1),
        deadlines=True,
        proposed="topup_asks_broker",
    ),
    Scope(
        "power-snapshots",
        "the same with snapshots: a release is seen by the figure and by the heir",
        **TWO_AND_A_THIEF,
        limits=((8, 8),),
        power=4,
        keepers=1,
        proposed="topup_asks_broker",
    ),
    Scope(
        "slow-release",
        "the broker frees a canceled order's power a moment late",
        limits=((4, 4),),
        power=4,
        slow_release=True,
        keepers=1,
    ),
    Scope(
        "two-keepers",
        "two readings of the account overlap, fills",
        **TWO,
        budget=Budget(fills=3),
        keepers=2,
        positions_lag=True,
    ),
    Scope(
        "memory",
        "Redis loses its memory, at any moment; fills",
        **TWO,
        budget=Budget(flushes=1, fills=2),
        keepers=1,
        deadlines=True,
    ),
    Scope(
        "memory-restart",
        "Redis loses its memory and later restarts",
        **TWO,
        budget=Budget(flushes=1, server_restarts=1),
        keepers=1,
        deadlines=True,
    ),
    Scope(
        "rebuild",
        "the same loss, claims are made again of the broker's orders; fills that lag",
        **TWO,
        budget=Budget(flushes=1, fills=2),
        keepers=1,
        positions_lag=True,
        deadlines=True,
        rebuilds=True,
        proposed="positions_after_lag",
    ),
    Scope(
        "stuck-cancel",
        "a cancel waits for the session; from everywhere rest can be reached",
        orders=(1, 1, 1),
        budget=Budget(stuck_cancels=1),
        deadlines=True,
        progress=True,
    ),
    Scope(
        "progress",
        "two watchers, crash, restart, fills: from everywhere rest can be reached",
        **TWO,
        limits=ROOM_FOR_ONE,
        budget=Budget(crashes=1, restarts=1, fills=1, refusals=1),
        deadlines=True,
        progress=True,
    ),
)  # type: ignore[arg-type]

SCOPES: dict[str, Scope] = {scope.name: scope for scope in _SCOPES}

#: What is known to fail in the product, and is no breach of the cap (docs/model.md).
KNOWN: dict[str, str] = {"power-snapshots": "vain"}
