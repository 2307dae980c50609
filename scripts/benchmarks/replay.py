"""What the commands of a verb cost by themselves: the same ones, with constants, and no logic.

One call of the verb is watched with MONITOR; a function is made that sends the same commands again.
What the verb costs more is what its Lua does between them. What was new then is there already when
it is sent again, so that the commands themselves cost a little less than in the verb.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Iterator

import redis

from stealer.line import line_of, packed_head

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_OVER = "the call is over"


def commands_of(client: redis.Redis, call: Callable[[], object]) -> list[list[bytes]]:
    """Every command that scripts sent during *call*, with its arguments, in order."""
    found = []
    with client.monitor() as monitor:
        call()
        client.echo(_OVER)
        for line in _lines(monitor):
            if _OVER in line:
                return found
            if "lua]" in line:
                found.append([ast.literal_eval(f"b{text}") for text in _QUOTED.findall(line)])
    raise RuntimeError("the server stopped telling")


def replayed(client: redis.Redis, name: str, commands: list[list[bytes]]) -> Callable[[], float]:
    """A call that sends *commands* again, from a function *name*; the seconds it took."""
    calls = "\n".join(f"redis.call({', '.join(map(_literal, command))})" for command in commands)
    body = f"function() {calls}\nreturn 'done' end"
    client.function_load(f"#!lua name={name}\nredis.register_function('{name}', {body})", True)
    line, head = line_of(client), packed_head("FCALL", name, "0", following=1)
    if line is None:
        raise RuntimeError("this client has no connection of its own for verbs")

    def timed() -> float:
        started = time.perf_counter()
        line.call(head, "")
        return time.perf_counter() - started

    return timed


def _lines(monitor: redis.client.Monitor) -> Iterator[str]:
    """What MONITOR says, as it says it: redis-py's own reading loses where an argument ends."""
    while True:
        said = monitor.connection.read_response()
        yield said.decode() if isinstance(said, bytes) else said


def _literal(argument: bytes) -> str:
    """*argument* as Lua writes it."""
    return '"' + "".join(f"\\{byte:03d}" for byte in argument) + '"'
