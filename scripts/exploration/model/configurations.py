"""The configurations: each explores one kind of trouble completely in seconds or a minute or two.

Watchers are ordered from the worst forecast PnL to the best. One unit is half an order; unless said
otherwise the limit holds two orders.
"""

from __future__ import annotations

from typing import Any

from scripts.exploration.model.state import Budget, Scope

TWO: dict[str, Any] = {
    "sizes": (2, 2),
    "pnl": (10, 20),
    "crypto": (False, False),
    "orders": (2, 1),
}
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
        orders=(2, 1, 1),
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
        also="positions_after_lag",
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
        budget=Budget(fills=2),
        deadlines=True,
        also="topup_asks_broker",
    ),
    Scope(
        "power-steal",
        "the same without fills: every thief gets what its victims held there",
        limits=((8, 8),),
        power=4,
        also="topup_asks_broker",
    ),
    Scope(
        "power-snapshots",
        "the same with snapshots: a release is seen by the figure and by the heir",
        limits=((8, 8),),
        power=4,
        budget=Budget(fills=1),
        keepers=1,
        also="topup_asks_broker",
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
        "Redis loses its memory and later restarts; room for one order",
        **TWO,
        limits=ROOM_FOR_ONE,
        budget=Budget(flushes=1, server_restarts=1),
        keepers=1,
        deadlines=True,
    ),
    Scope(
        "memory-crash",
        "Redis loses its memory, a watcher crashes",
        **TWO,
        budget=Budget(flushes=1, crashes=1),
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
        also="positions_after_lag",
    ),
    Scope(
        "rebuild-partial",
        "one order, half filled, when the memory is lost; positions lag",
        sizes=(2,),
        pnl=(10,),
        crypto=(False,),
        orders=(2,),
        budget=Budget(flushes=1, fills=1),
        keepers=1,
        positions_lag=True,
        deadlines=True,
        rebuilds=True,
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
)

SCOPES: dict[str, Scope] = {scope.name: scope for scope in _SCOPES}

#: Rule -> the configuration in which it is seen to be needed.
WITNESS: dict[str, str] = {
    "launch": "steals",
    "post_fence": "steals",
    "not_found_is_no_evidence": "steals",
    "deficit_blocks_launch": "equity",
    "retry_refused": "slow-release",
    "only_open_victims": "refusals",
    "irrevocable": "steals",
    "slot_until_terminal": "restart",
    "heirless_first": "steals",
    "old_not_inherited": "stuck-cancel",
    "heir_on_terminal": "steals",
    "best_waiter_first": "steals",
    "yield_only_if_fits": "pools",
    "filled_stays_charged": "fills",
    "lag": "fills",
    "crypto_pool": "pools",
    "foreign_counted": "foreign",
    "exit_is_no_exposure": "exit",
    "orders_first": "foreign",
    "newest_snapshot": "two-keepers",
    "positions_after_lag": "foreign-lag",
    "clamp": "power",
    "draw_follows_victims": "power-steal",
    "topup_asks_broker": "power",
    "condemn": "memory-crash",
    "strays_before_publish": "memory-restart",
    "orphans_evicted": "steals",
    "quarantine_before_certify": "memory-restart",
    "certificate_fences": "memory",
    "no_steal_kept": "memory-restart",
    "rebuilt_canceling_evicts": "rebuild",
    "rebuilt_fills_charged": "rebuild-partial",
}

#: What is known to fail in the product, and is no breach of the cap (docs/model.md).
KNOWN: dict[str, str] = {"power-snapshots": "vain"}
