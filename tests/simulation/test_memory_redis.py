"""The in-memory server answers as a real one: random commands on both, reply by reply."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from scripts.simulation.memory_redis import Identity, MemoryRedis, MemoryServer
from stealer import OrderIntent, Settings, WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.errors import Uncertified

KEYS = {kind: [f"{{t}}:{kind}:{i}" for i in range(3)] for kind in ("s", "h", "z", "l", "x")}
NAMES = ["a", "b", "c", "dd", "e|buy|m", "Z"]
SCORES = ["0", "1", "-1", "2.5", "0.1", "1e3", "12.345678", "1704300000000", "+inf", "-3", "1e20"]
BOUNDS = ["-inf", "+inf", "0", "1", "(1", "2.5", "(2.5", "-1", "1000"]
PLACES = ["0", "1", "2", "-1", "-2", "5", "-9"]

Command = list[str]
Maker = Callable[[random.Random], Command]


def _pairs(rng: random.Random, values: list[str], *, member_last: bool = False) -> Command:
    flat: Command = []
    for _ in range(rng.randint(1, 3)):
        pair = [rng.choice(NAMES), rng.choice(values)]
        flat += reversed(pair) if member_last else pair
    return flat


def _scored(rng: random.Random, reverse: bool) -> Command:
    name = "ZREVRANGEBYSCORE" if reverse else "ZRANGEBYSCORE"
    command = [name, rng.choice(KEYS["z"]), rng.choice(BOUNDS), rng.choice(BOUNDS)]
    if rng.random() < 0.5:
        command.append("WITHSCORES")
    if rng.random() < 0.5:
        command += ["LIMIT", rng.choice(["0", "1"]), rng.choice(["1", "3", "-1", "0"])]
    return command


def _any_key(rng: random.Random) -> str:
    return rng.choice(KEYS[rng.choice("shzlx")])


MAKERS: list[Maker] = [
    lambda r: ["SET", r.choice(KEYS["s"]), r.choice(NAMES), *r.choice([[], ["PX", "90000"]])],
    lambda r: ["SET", r.choice(KEYS["s"]), "v", r.choice(["NX", "XX"])],
    lambda r: ["GET", r.choice(KEYS["s"])],
    lambda r: ["DEL", _any_key(r), _any_key(r)],
    lambda r: ["EXISTS", _any_key(r), _any_key(r), _any_key(r)],
    lambda r: ["TYPE", _any_key(r)],
    lambda r: ["PEXPIRE", _any_key(r), r.choice(["60000", "-1", "x"])],
    lambda r: ["TTL", _any_key(r)],
    lambda r: ["HSET", r.choice(KEYS["h"]), *_pairs(r, ["1", "2", "text", ""])],
    lambda r: ["HGET", r.choice(KEYS["h"]), r.choice(NAMES)],
    lambda r: ["HMGET", r.choice(KEYS["h"]), r.choice(NAMES), r.choice(NAMES)],
    lambda r: ["HGETALL", r.choice(KEYS["h"])],
    lambda r: ["HDEL", r.choice(KEYS["h"]), r.choice(NAMES), r.choice(NAMES)],
    lambda r: ["HLEN", r.choice(KEYS["h"])],
    lambda r: ["HVALS", r.choice(KEYS["h"])],
    lambda r: ["HSETNX", r.choice(KEYS["h"]), r.choice(NAMES), r.choice(NAMES)],
    lambda r: ["HEXISTS", r.choice(KEYS["h"]), r.choice(NAMES)],
    lambda r: ["HINCRBY", r.choice(KEYS["h"]), r.choice(NAMES), r.choice(["1", "-4"])],
    lambda r: [
        "ZADD",
        r.choice(KEYS["z"]),
        *r.choice([[], [], ["XX"], ["NX"], ["GT"], ["LT", "CH"], ["CH"]]),
        *_pairs(r, SCORES, member_last=True),
    ],
    lambda r: ["ZADD", r.choice(KEYS["z"]), "nonsense", "a"],
    lambda r: ["ZREM", r.choice(KEYS["z"]), r.choice(NAMES), r.choice(NAMES)],
    lambda r: ["ZSCORE", r.choice(KEYS["z"]), r.choice(NAMES)],
    lambda r: ["ZCARD", r.choice(KEYS["z"])],
    lambda r: [r.choice(["ZRANK", "ZREVRANK"]), r.choice(KEYS["z"]), r.choice(NAMES)],
    lambda r: [
        r.choice(["ZRANGE", "ZREVRANGE"]),
        r.choice(KEYS["z"]),
        r.choice(PLACES),
        r.choice(PLACES),
        *r.choice([[], ["WITHSCORES"]]),
    ],
    lambda r: _scored(r, False),
    lambda r: _scored(r, True),
    lambda r: ["ZCOUNT", r.choice(KEYS["z"]), r.choice(BOUNDS), r.choice(BOUNDS)],
    lambda r: ["ZREMRANGEBYSCORE", r.choice(KEYS["z"]), "-inf", r.choice(BOUNDS)],
    lambda r: [r.choice(["LPUSH", "RPUSH"]), r.choice(KEYS["l"]), *r.sample(NAMES, 2)],
    lambda r: [r.choice(["LPOP", "RPOP", "LLEN"]), r.choice(KEYS["l"])],
    lambda r: ["MGET", _any_key(r), r.choice(KEYS["s"]), "none"],
    lambda r: ["LRANGE", r.choice(KEYS["l"]), r.choice(PLACES), r.choice(PLACES)],
    lambda r: ["LTRIM", r.choice(KEYS["l"]), r.choice(PLACES), r.choice(PLACES)],
    lambda r: ["XADD", r.choice(KEYS["x"]), "MAXLEN", r.choice(["2", "~"]), "*", "f", "v"],
    lambda r: ["XADD", r.choice(KEYS["x"]), "MAXLEN", "~", "1000", "*", *_pairs(r, ["v"])],
    lambda r: ["XADD", r.choice(KEYS["x"]), "MAXLEN", "3", "*", *_pairs(r, ["v"])],
    lambda r: ["XLEN", r.choice(KEYS["x"])],
    lambda r: ["XRANGE", r.choice(KEYS["x"]), "-", "+", "COUNT", r.choice(["1", "9"])],
    lambda r: ["XREVRANGE", r.choice(KEYS["x"]), "+", "-"],
    # wrong kinds, unknown commands
    lambda r: [r.choice(["GET", "HGETALL", "ZCARD", "LLEN", "XLEN"]), _any_key(r)],
    lambda r: ["NOSUCH", "a"],
    # scripts: arguments and replies change their type on the way
    lambda r: [
        "EVAL",
        "redis.call('ZADD', KEYS[1], ARGV[1] * 1.5, 'm' .. #ARGV) "
        "return {1.9, -1.9, 'x', redis.call('ZSCORE', KEYS[1], 'm1'), "
        "redis.call('HMGET', 'none', 'a', 'b'), {ok = 'fine'}, true}",
        "1",
        r.choice(KEYS["z"]),
        r.choice(["1", "2.5", "1704300000123"]),
    ],
    lambda r: [
        "EVAL",
        "local t = redis.pcall('GET', KEYS[1]) "
        "if type(t) == 'table' then return t.err end return t",
        "1",
        _any_key(r),
    ],
    lambda r: ["EVAL", "return redis.call('INCRBYNONE', 'a')", "0"],
    lambda r: ["EVAL", "return tostring(1704300000123) .. ' ' .. tostring(0.1) .. ' ' .. 1/3", "0"],
    lambda r: ["EVAL", "return string.format('%011x %.0f %5.2f', 1704300000123, 2^53, -1/3)", "0"],
    lambda r: ["EVALSHA", "0" * 40, "0"],
]


def _answer(client: redis.Redis, command: Command) -> Any:
    """The reply, or the error's kind and first words, made comparable."""
    try:
        reply = client.execute_command(*command)  # type: ignore[no-untyped-call]
    except redis.exceptions.ResponseError as error:
        kind = str(error).split(" ")[0]
        return ("error", kind if kind in ("WRONGTYPE",) else "")
    if command[0].startswith("X") and isinstance(reply, list):  # ids are times
        return [fields for _, fields in reply]
    return None if command[0] == "XADD" else reply


@pytest.fixture
def real_client(redis_server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A RESP2 client of an empty real server."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True, protocol=2) as client:
        client.flushall()
        yield client


def memory_client() -> MemoryRedis:
    """A client of an empty server in memory, on the system's clock."""
    return MemoryRedis(MemoryServer(lambda: int(time.time() * 1_000_000)))


@pytest.mark.real_server
@pytest.mark.parametrize("seed", range(20))
def test_random_commands_get_the_same_answers(real_client: redis.Redis, seed: int) -> None:
    rng = random.Random(seed)
    memory = memory_client()
    for step in range(400):
        command = rng.choice(MAKERS)(rng)
        assert _answer(memory, command) == _answer(real_client, command), (step, command)


@pytest.mark.real_server
def test_every_command_of_the_verbs_is_compared() -> None:
    """A verb that begins to use another command must have it in the comparison above."""
    import re
    from importlib.resources import files

    rng = random.Random(0)
    compared = {maker(rng)[0] for maker in MAKERS for _ in range(40)}
    texts = [
        path.read_text()
        for folder in (files("stealer") / "lua", files("stealer") / "lua" / "include")
        for path in folder.iterdir()
        if path.name.endswith(".lua")
    ]
    used = {name for text in texts for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}
    assert len(used) > 20
    assert used - compared <= {"TIME", "INFO", "PTTL"}  # these differ by time and server


class Clock:
    """Microseconds that move when told."""

    def __init__(self) -> None:
        self.us = 1_704_300_000_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> MemoryServer:
    return MemoryServer(clock)


def test_keys_expire_by_the_given_clock(server: MemoryServer, clock: Clock) -> None:
    client = MemoryRedis(server)
    client.set("a", "1", px=1500)
    clock.us += 1_499_000
    assert (client.get("a"), client.pttl("a")) == ("1", 1)
    clock.us += 2_000
    assert (client.get("a"), client.pttl("a"), client.exists("a")) == (None, -2, 0)


def test_a_saved_state_can_be_restored_any_number_of_times(server: MemoryServer) -> None:
    client = MemoryRedis(server)
    client.hset("h", mapping={"a": "1"})
    client.zadd("z", {"m": 1.5})
    client.xadd("x", {"f": "v"})
    saved, before = server.save(), server.dump()
    for _ in range(2):
        client.hset("h", "a", "2")
        client.zadd("z", {"n": 3})
        client.delete("x")
        assert server.dump() != before
        server.restore(saved)
        assert server.dump() == before


def test_another_run_id_uncertifies_and_scripts_keep_nothing(server: MemoryServer) -> None:
    coordinator = WorkStealingCoordinator(MemoryRedis(server), Settings())
    coordinator.certify()
    assert coordinator.server().certified
    server.reboot("c" * 40)
    assert not coordinator.server().certified
    with pytest.raises(Uncertified):
        coordinator.publish_account(equity=1)
    server.reboot("a" * 40)
    assert coordinator.server().certified
    server.identity = Identity(replid="d" * 40)
    assert not coordinator.server().certified
    server.identity = Identity(role="slave")
    assert not coordinator.server().certified


def test_a_server_that_lost_its_libraries_gets_them_again(server: MemoryServer) -> None:
    coordinator = WorkStealingCoordinator(MemoryRedis(server), Settings())
    coordinator.certify()
    server.reboot("a" * 40, keep_libraries=False)
    assert coordinator.server().certified


def test_the_verbs_run_on_it(server: MemoryServer) -> None:
    coordinator = WorkStealingCoordinator(MemoryRedis(server), Settings())
    coordinator.certify()
    coordinator.publish_account(equity=1000)
    coordinator.publish_quote("BTCUSD", 99, 100)
    decision = coordinator.acquire(OrderIntent("BTCUSD", "buy", "1", "100", "maxdiff", 2.0))
    assert decision.claim is not None
    assert coordinator.launch(decision.claim) == 10.0
    assert list(coordinator.claims()) == [decision.claim.id]


def test_a_server_that_is_down_refuses_connections(server: MemoryServer) -> None:
    client = MemoryRedis(server)
    with server.outage(), pytest.raises(redis.exceptions.ConnectionError):
        client.ping()
    assert client.ping()
