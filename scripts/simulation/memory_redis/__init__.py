"""A small Redis in memory, for simulations: one process, a clock that is given, state as a value.

It runs the real Lua of ``stealer/lua`` in LuaJIT (or Lua 5.1) on plain Lua tables. Its replies are
compared with a real server's in ``tests/simulation/test_memory_redis.py``.
"""

from scripts.simulation.memory_redis.client import MemoryRedis
from scripts.simulation.memory_redis.server import Identity, MemoryServer, Saved

__all__ = ["Identity", "MemoryRedis", "MemoryServer", "Saved"]
