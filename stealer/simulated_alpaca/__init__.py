"""A simulated Alpaca: an HTTP server that the unchanged alpaca-py client works against.

It imports nothing else of this project, because it is also the judge of it. The engine
(`exchange.Exchange`) is pure and can be driven without the server by a virtual clock.
"""

from .clock import MarketClock
from .exchange import Event, Exchange, ExchangeConfig
from .generator import GeneratedMarket
from .replay import BarsError, ReplayedMarket
from .server import ServerThread, make_world
from .settings import ServerConfig, StreamConfig
from .world import World

__all__ = [
    "BarsError",
    "Event",
    "Exchange",
    "ExchangeConfig",
    "GeneratedMarket",
    "MarketClock",
    "ReplayedMarket",
    "ServerConfig",
    "ServerThread",
    "StreamConfig",
    "World",
    "make_world",
]
