"""Ledgers of a given size for measuring: loaded in bulk, then checked against their own sums."""

from __future__ import annotations

import redis

from stealer.coordinator import WorkStealingCoordinator
from stealer.model import MICRO
from stealer.settings import Settings

#: Each open order needs one thousand dollars; capacity is exactly full.
ORDER_NEED = 1_000 * MICRO
BATCH = 2_000


def full_ledger(client: redis.Redis, account: str, orders: int) -> WorkStealingCoordinator:
    """An account whose capacity is full with *orders* open stock orders, PnL rising from 1.

    The market is open, every symbol has a fresh quote 1 % away, so the worst order can be stolen.
    """
    settings = Settings(
        account=account,
        account_stale_seconds=86_000,
        quote_stale_seconds=86_000,
        quarantine_seconds=86_400 * 3,
        cooldown_seconds=300,
    )
    desk = WorkStealingCoordinator(client, settings)
    desk.certify()
    desk.publish_session(True)
    desk.publish_account(equity=orders * ORDER_NEED / MICRO / settings.leverage)
    for number in range(-1, min(orders, 26**3)):
        desk.publish_quote(symbol_of(number), 101, 101.01)
    desk.publish_quote("THIEF", 99, 99.01)
    for start in range(0, orders, BATCH):
        _load(desk, range(start, min(start + BATCH, orders)))
    client.hset(desk.keys.ledger, "charged_total", orders * ORDER_NEED)
    client.hset(desk.keys.ledger, "since_margin", orders * ORDER_NEED)
    _check(desk, orders)
    return desk


def symbol_of(number: int) -> str:
    """A stock symbol for each order; they repeat after 17,576."""
    letters = ""
    number %= 26**3
    for _ in range(3):
        number, rest = divmod(number, 26)
        letters += chr(ord("A") + rest)
    return "Z" + letters


def _load(desk: WorkStealingCoordinator, numbers: range) -> None:
    with desk.client.pipeline(transaction=False) as pipe:
        for number in numbers:
            claim_id = f"mx_{desk.settings.account}_{number:011x}000000000000_nn_p1.00_s{number}"
            symbol, strategy = symbol_of(number), f"s{number}"
            slot = f"{symbol}|buy|{strategy}"
            fields: dict[str | bytes, str | int] = {
                "slot": slot,
                "symbol": symbol,
                "side": "buy",
                "strategy": strategy,
                "crypto": "0",
                "qty": "10",
                "limit": "100",
                "need": ORDER_NEED,
                "pnl": 1 + number,
                "mode": "normal",
                "forced": "0",
                "owner": "bench",
                "fence": "1.1",
                "state": "open",
                "created_ms": number,
                "fund": ORDER_NEED,
                "fund_crypto": 0,
                "pending": 0,
                "order_id": f"o{number}",
                "deadline_ms": 0,
            }
            pipe.hset(desk.keys.of("claim", claim_id), mapping=fields)  # type: ignore[arg-type]
            pipe.hset(desk.keys.slots, slot, claim_id)
            pipe.zadd(desk.keys.claims, {claim_id: number})
            pipe.zadd(desk.keys.open, {claim_id: 1 + number})
            pipe.zadd(desk.keys.beats, {claim_id: number})
        pipe.execute()


def _check(desk: WorkStealingCoordinator, orders: int) -> None:
    ranked = desk.client.zcard(desk.keys.open)
    if ranked != orders:
        raise RuntimeError(f"loaded {ranked} of {orders} orders")
    first = desk.get_steal_candidates(limit=1)[0]
    if first.protection or first.pnl > 1:
        raise RuntimeError(f"the worst order cannot be stolen: {first}")
