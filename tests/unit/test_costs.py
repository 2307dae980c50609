"""What an order may cost at worst, and why crypto's fee is a part of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stealer.costs import worst_price
from stealer.settings import Settings

D = Decimal


@pytest.mark.parametrize(
    ("side", "is_crypto", "changes", "dollars"),
    [
        ("buy", False, {}, "100"),
        ("sell", False, {}, "103"),
        ("buy", True, {}, "100.25"),
        ("buy", True, {"crypto_fee_pct": 0.0}, "100"),
        ("buy", True, {"leverage": 1.0}, "100.25"),
        ("buy", True, {"leverage": 4.0}, "100.75"),
        ("buy", False, {"crypto_fee_pct": 0.5}, "100"),
    ],
)
def test_a_unit_costs_its_limit_a_shorts_margin_and_a_coins_fee(
    side: str, is_crypto: bool, changes: dict[str, Any], dollars: str
) -> None:
    assert worst_price(side, D(100), is_crypto, Settings(**changes)) == D(dollars)


@given(
    st.decimals("0.01", "4", places=2),
    st.decimals("0", "0.05", places=4),
    st.decimals("1", "100000", places=2),
)
def test_a_fill_at_its_limit_takes_no_more_from_the_cap_than_was_charged(
    leverage: D, fee: D, value: D
) -> None:
    """The fee lowers equity and position: without it in the need, a fill alone would overdraw."""
    settings = Settings(leverage=float(leverage), crypto_fee_pct=float(fee))
    equity = D(1_000_000)
    need = worst_price("buy", value, True, settings)

    before = leverage * equity - need
    after = leverage * (equity - value * fee) - value * (1 - fee)

    assert after >= before
