"""Our copy of the broker's rules against the simulated broker's own, on random orders.

What we let pass it must take, and what it refuses for its form we must refuse first. Buying power
is not among the rules: that is the ledger's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stealer.broker import convert
from stealer.broker.outcomes import order_fields
from stealer.evidence import AccountSnapshot, BrokerAccount, BrokerPosition, NewOrder
from stealer.keeper.placed import placed_in
from stealer.order_rules import Surroundings, check
from tests.broker.conftest import account_json

pytest.importorskip("starlette")

from stealer.simulated_alpaca.assets import asset_for
from stealer.simulated_alpaca.errors import ApiError
from stealer.simulated_alpaca.serialize import asset_json, order_json
from tests.simulated_alpaca.bench import Bench

D = Decimal

#: Symbol as it is in here, as the exchange has it, and its price in dollars.
MARKETS = {
    "BTCUSD": ("BTC/USD", 50_000.0),
    "UNIUSD": ("UNI/USD", 7.25),
    "SHIBUSD": ("SHIB/USD", 0.00001234),
    "AAPL": ("AAPL", 200.0),
    "PNY": ("PNY", 0.5),
}
CRYPTO = frozenset(symbol for symbol in MARKETS if symbol.endswith("USD"))

#: Objections for which the simulated broker has the same rule; of the others it knows less.
SHARED = {"price_tick", "min_notional", "wash_trade", "opposite_order", "opposite_position"}


def numbers(scale: float) -> st.SearchStrategy[Decimal]:
    """Around *scale*, on and off any grid."""
    factors = st.one_of(st.sampled_from([0.25, 0.5, 1, 2]), st.floats(0.001, 3))

    def number(factor: float, places: int) -> Decimal:
        rounded: Decimal = round(D(str(scale)) * D(str(factor)), places)
        return max(rounded, D("1e-12"))

    return st.builds(number, factors, st.integers(0, 12))


def orders(symbol: str) -> st.SearchStrategy[NewOrder]:
    """Any order in *symbol*; its id is for the one who sends it to choose."""
    return st.builds(
        NewOrder,
        st.just(""),
        st.just(symbol),
        st.sampled_from(["buy", "sell"]),
        st.one_of(st.integers(1, 30).map(D), numbers(40 / MARKETS[symbol][1])),
        numbers(MARKETS[symbol][1]),
        st.just(symbol in CRYPTO),
        st.sampled_from(["", "", "", "day", "gtc", "ioc"]),
        st.sampled_from([False, False, True]),
    )


#: What the account did before (an order, and whether at the market), and the order to be judged.
CASES = st.sampled_from(sorted(MARKETS)).flatmap(
    lambda symbol: st.tuples(
        st.lists(st.tuples(orders(symbol), st.booleans()), max_size=3), orders(symbol)
    )
)


def body(order: NewOrder, number: int, *, at_market: bool = False) -> dict[str, Any]:
    """The POST's; at the market it makes a position, if it is taken."""
    fields: dict[str, Any] = order_fields(replace(order, client_order_id=f"o{number}"), CRYPTO)
    if at_market:
        fields |= {"type": "market", "qty": str(max(round(order.qty), 1))}
        fields.pop("limit_price")
    return fields


def around(bench: Bench) -> Surroundings:
    """What a keeper would publish of the account now."""
    live = [convert.order_record(order_json(o), CRYPTO) for o in bench.exchange.live.values()]
    held = [
        BrokerPosition(name.replace("/", ""), position.qty, position.qty, "/" in name)
        for name, position in bench.exchange.account.positions.items()
    ]
    account: BrokerAccount = convert.account_record(account_json())
    symbols = placed_in(AccountSnapshot(tuple(live), tuple(held), account))
    assert len(symbols) <= 1
    return Surroundings(market_open=True, **({"placed": p} if (p := _one(symbols)) else {}))


def _one(found: dict[str, Any]) -> Any:
    return next(iter(found.values()), None)


@settings(deadline=None)
@given(CASES)
def test_what_passes_is_taken_and_what_is_refused_did_not_pass(
    case: tuple[list[tuple[NewOrder, bool]], NewOrder],
) -> None:
    earlier, order = case
    bench = Bench(cash=D(10) ** 12, enforce_buying_power=False)
    bench.market.prices = dict(MARKETS.values())
    bench.exchange.symbols = frozenset(bench.market.prices)
    for number, (before, at_market) in enumerate(earlier, 1):
        with suppress(ApiError):
            bench.exchange.submit(bench.real, body(before, number, at_market=at_market))
    bench.wait(1)
    name, price = MARKETS[order.symbol]
    asset = convert.asset_record(asset_json(asset_for(name), D(str(price))))
    objections = check(order, asset, around(bench))

    refusal = ""
    try:
        bench.exchange.submit(bench.real, body(order, 0))
    except ApiError as error:
        refusal = error.message

    codes = {objection.code for objection in objections}
    assert codes or not refusal, (order, refusal)
    assert refusal or not codes & SHARED, (order, objections)
