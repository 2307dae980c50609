"""An account with orders on it, a broker that is a dictionary, and a way to call the CLI."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

import pytest
import redis
from click.testing import CliRunner, Result

from stealer.broker.interface import Broker, BrokerUnavailable, MarketClock
from stealer.cli.app import main
from stealer.cli.context import App
from stealer.coordinator import WorkStealingCoordinator
from stealer.evidence import BrokerAccount, BrokerOrder, CancelResult, Outcome
from stealer.model import Claim, OrderIntent
from stealer.settings import Settings


@dataclass
class FakeBroker:
    """What the CLI asks of a broker. ``down`` makes each call fail as the real edge fails."""

    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    down: bool = False
    cancels_end: bool = True
    canceled: list[str] = field(default_factory=list)

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        self._check("look up order")
        return self.orders.get(client_order_id)

    def order_by_id(self, order_id: str) -> BrokerOrder | None:
        self._check("look up order")
        return next((o for o in self.orders.values() if o.id == order_id), None)

    def cancel(self, order_id: str) -> CancelResult:
        self._check("cancel order")
        self.canceled.append(order_id)
        for key, order in self.orders.items():
            if order.id == order_id:
                status = "canceled" if self.cancels_end else "pending_cancel"
                self.orders[key] = replace(order, status=status)
        return CancelResult(Outcome.CONFIRMED)

    def account(self) -> BrokerAccount:
        self._check("read the account")
        plenty = Decimal(4_000_000)
        return BrokerAccount(plenty, plenty, plenty, plenty, plenty, Decimal(4))

    def clock(self) -> MarketClock:
        self._check("read the clock")
        now = time.time()
        return MarketClock(is_open=True, at=now, next_open=now, next_close=now)

    def _check(self, what: str) -> None:
        if self.down:
            raise BrokerUnavailable(f"{what}: no connection to the broker")


@dataclass
class Desk:
    """An account as a test sees it: its coordinator, its broker, and the CLI."""

    client: redis.Redis
    broker: FakeBroker
    coordinator: WorkStealingCoordinator
    settings: Settings

    def run(self, *arguments: str, input: str | None = None) -> Result:  # noqa: A002
        app = App(
            connect=lambda settings: self.client, broker=lambda settings: cast(Broker, self.broker)
        )
        return CliRunner().invoke(
            main, list(arguments), obj=app, input=input, catch_exceptions=False
        )

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def key(self, suffix: str) -> str:
        return f"stealer:{{paper}}:{suffix}"

    def ready(self, equity: float = 5_000.0, cash: float | None = None) -> None:
        """Certified, market open, account and quotes fresh; 2x equity is the limit."""
        self.coordinator.certify()
        self.coordinator.publish_session(True, 3600)
        self.coordinator.publish_account(equity=equity, cash=cash, buying_power=2 * equity)

    def reserve(self, symbol: str, pnl: float, dollars: float = 3_000.0, **more: Any) -> Claim:
        """A granted claim of *dollars* at a limit 2 % below the ask: near nothing."""
        self.quote(symbol)
        intent = OrderIntent(symbol, "buy", dollars / 100, 100, forecasted_pnl=pnl, **more)
        decision = self.coordinator.acquire(intent)
        assert decision.claim is not None, decision
        return decision.claim

    def open(self, symbol: str, pnl: float, dollars: float = 3_000.0, **more: Any) -> Claim:
        """An open order, at the ledger and at the broker."""
        claim = self.reserve(symbol, pnl, dollars, **more)
        self.coordinator.launch(claim)
        order = BrokerOrder(
            f"at-broker-{claim.id[-6:]}-{symbol}", claim.id, symbol, "buy", claim.qty, "new",
            limit_price=Decimal(100),
        )  # fmt: skip
        self.broker.orders[claim.id] = order
        self.coordinator.confirm(claim, order)
        return claim

    def quote(self, symbol: str, ask: float = 102.0) -> None:
        self.coordinator.publish_quote(symbol, ask - 0.1, ask)

    def ask_for(self, symbol: str, pnl: float, dollars: float = 3_000.0, ask: float = 100.1) -> Any:
        """An acquire by a thief whose price is near: granted, a steal or denied."""
        self.quote(symbol, ask)
        return self.coordinator.acquire(
            OrderIntent(symbol, "buy", dollars / 100, 100, forecasted_pnl=pnl)
        )


@pytest.fixture
def desk(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty, uncertified account."""
    for name in ("REDIS_URL", "STEALER_ACCOUNT", "WORK_STEALING_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings()
    coordinator = WorkStealingCoordinator(redis_client, settings, owner="host-a:1")
    return Desk(redis_client, FakeBroker(), coordinator, settings)


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """Three open orders, 9,000 of 10,000 dollars: worst TSLA, then MSFT, best AAPL."""
    desk.ready()
    for symbol, pnl in (("AAPL", 9.0), ("MSFT", 3.0), ("TSLA", 1.0)):
        desk.open(symbol, pnl)
    return desk
