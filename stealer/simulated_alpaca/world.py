"""The server's one engine and its real clock, and how a request reaches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request

from .exchange import Exchange
from .history import MINUTE, EquityHistory


@dataclass
class World:
    """An exchange and the function that tells it the present (real unix seconds)."""

    exchange: Exchange
    now: Callable[[], float]
    history: EquityHistory = field(default_factory=EquityHistory)
    _noted: int = -1

    def advanced(self) -> Exchange:
        """The exchange, after everything that was due has happened."""
        self.exchange.advance(self.now())
        minute = int(self.exchange.market_time // MINUTE)
        if minute != self._noted:
            self._noted = minute
            self.history.note(self.exchange.market_time, self.exchange.figures().equity)
        return self.exchange


def world_of(request: Request) -> World:
    """The world that a request is about."""
    world = request.app.state.world
    assert isinstance(world, World)
    return world
