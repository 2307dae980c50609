"""The rules of the protocol that can be switched off, a sentence each.

A rule that is switched off must make some configuration fail: otherwise the model does not show
that the rule is needed. ``configurations.WITNESS`` names that configuration.
"""

from __future__ import annotations

#: name -> what holds while it is on. (M): marked so in PROTOCOL.
RULES: dict[str, str] = {
    # ---- from a reservation to an order
    "launch": "(M) a claim is `launching` before its POST may leave; only `reserved` is aborted",
    "post_fence": "a POST is not written once the trust in its launch has passed",
    "not_found_is_no_evidence": "(M) a 404 frees a launched claim only after the quarantine",
    "deficit_blocks_launch": "(M) launch needs free >= 0: an equity drop stops what was funded",
    "retry_refused": "what is refused for want of power is sent again, with the same id",
    # ---- stealing
    "only_open_victims": "(M) only `open` claims are victims",
    "irrevocable": "(M) `evicting` never becomes `open` again",
    "slot_until_terminal": "(M) a slot is held until its claim is terminal",
    "heirless_first": "(M) evictions nobody waits for are inherited before a victim is chosen",
    "old_not_inherited": "an eviction older than two reservation periods is not inherited",
    "heir_on_terminal": "(M) the heir is paid on terminal evidence, not on an accepted cancel",
    "best_waiter_first": "a worse waiter yields to a better one that fits",
    "yield_only_if_fits": "a better waiter that does not fit blocks nobody",
    # ---- counting
    "filled_stays_charged": "(M) a fill stays charged until a published snapshot shows it",
    "lag": "a snapshot absorbs only fills older than the lag of positions behind orders",
    "crypto_pool": "crypto is charged to the crypto pool as well as to the total",
    "foreign_counted": "orders of others count for what they add to positions",
    "exit_is_no_exposure": "a sell of what is held is no exposure",
    "orders_first": "(M) a snapshot reads orders before positions",
    "newest_snapshot": "(M) a snapshot that is not the latest begun is refused",
    "positions_after_lag": "positions are read no sooner than the lag after the orders",
    # ---- the broker's own figure
    "clamp": "what is new must also fit the broker's own buying power",
    "draw_follows_victims": "a thief's draw on that figure grows as its victims end",
    "topup_asks_broker": "after its victims ended, a claim must fit the broker's own figure again",
    # ---- strays, silence, loss of memory
    "condemn": "an unknown order of ours is charged and canceled",
    "strays_before_publish": "strays are condemned before the snapshot listing them is published",
    "orphans_evicted": "an open order whose owner stays silent is evicted",
    "quarantine_before_certify": "(M) nothing is certified while a POST may be on its way",
    "certificate_fences": "(M) a snapshot begun before the certificate is refused",
    "no_steal_kept": "a later certificate does not shorten the pause after a loss of memory",
    "rebuilt_canceling_evicts": "an order that is being canceled is rebuilt as `evicting`",
    "rebuilt_fills_charged": "a rebuilt claim's fills are absorbed by a snapshot, not at once",
}

#: Rules that make many more states, and are explored by the configurations they were found with.
BY_REQUEST = frozenset({"positions_after_lag", "topup_asks_broker"})

#: Explored everywhere.
PRODUCT = frozenset(RULES) - BY_REQUEST
