"""The protocol's times, scaled so that minutes hold many recoveries, and what follows from them.

They are set through the documented variables and nothing else; the product is not told that this is
a test. Seconds.
"""

from __future__ import annotations

RESERVE, TRUST, ORPHAN, STALE, QUARANTINE = 6.0, 1.5, 12.0, 3.0, 8.0

ENVIRONMENT = {
    "STEALER_RESERVE_SECONDS": f"{RESERVE:g}",
    "STEALER_TRUST_SECONDS": f"{TRUST:g}",
    "STEALER_ORPHAN_SECONDS": f"{ORPHAN:g}",
    "STEALER_POSITION_LAG_SECONDS": "0.2",
    "STEALER_ACCOUNT_STALE_SECONDS": f"{STALE:g}",
    "STEALER_QUOTE_STALE_SECONDS": f"{STALE:g}",
    "STEALER_WAITER_SECONDS": "4",
    "STEALER_QUARANTINE_SECONDS": f"{QUARANTINE:g}",
    "WORK_STEALING_COOLDOWN": "8",
    "WORK_STEALING_FIGHT_WINDOW": "30",
    "WORK_STEALING_FIGHT_COOLDOWN": "12",
    "CRYPTO_SYMBOLS": "BTCUSD,ETHUSD,UNIUSD,SOLUSD,LINKUSD,AVAXUSD",
}

#: A keeper's pass, and by that its lease (``stealer.keeper.main``).
KEEPER_POLL, LEASE = 0.7, 3.0

#: How long the network may hold a request back: the quarantine is trust, staleness and this.
#: Nothing that is late by more is claimed to be safe (PROTOCOL, "Certification and rebuild").
LATEST = QUARANTINE - TRUST - STALE

#: Prices that a client may have acted on are at most this old when its order arrives.
JUDGE_WINDOW = QUARANTINE

#: The dead stay dead this long before their supervisor starts them again.
RESTART = 2.0
