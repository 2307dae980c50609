"""The kept connection: as a client would, only sooner; and never a half-read answer."""

from __future__ import annotations

import gc
import os
import threading

import pytest
import redis
import redis.sentinel

from stealer.embedded import EmbeddedServer
from stealer.line import Line, line_of, packed_head

pytestmark = pytest.mark.real_server

HEAD = packed_head("ECHO", following=1)


@pytest.fixture
def client(redis_server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(redis_server.url, decode_responses=True)


def test_it_answers_as_the_client_would(client: redis.Redis) -> None:
    line = Line(client)
    assert line.call(HEAD, "größe\r\n") == client.echo("größe\r\n") == "größe\r\n"
    with pytest.raises(redis.exceptions.ResponseError, match="unknown command"):
        line.call(packed_head("NOSUCH", following=1), "x")
    assert line.call(HEAD, "after a refusal") == "after a refusal"


def test_a_connection_that_was_closed_is_left_to_the_client_and_then_taken_anew(
    client: redis.Redis,
) -> None:
    line = Line(client)
    number = line.call(packed_head("CLIENT", following=1), "ID")
    client.client_kill_filter(_id=str(number))
    assert line.call(HEAD, "x") is None
    assert line.call(HEAD, "y") == "y"


def test_an_answer_that_came_too_late_is_never_taken_for_the_next_one(
    redis_server: EmbeddedServer,
) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True, socket_timeout=0.2)
    line, blocked = Line(client), packed_head("BLPOP", "nothing-there", following=1)
    assert line.call(blocked, "0.5") is None, "no answer within the time limit"
    assert line.call(HEAD, "mine") == "mine"


@pytest.mark.parametrize(
    "trouble", [KeyboardInterrupt, UnicodeDecodeError("utf-8", b"x", 0, 1, "")]
)
def test_an_answer_that_was_not_read_to_its_end_is_never_taken_for_the_next_one(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    line = Line(client)
    line.call(HEAD, "first")
    connection = line._own()

    def read() -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(connection, "read_response", read)
        with pytest.raises((KeyboardInterrupt, UnicodeDecodeError)):
            line.call(HEAD, "unread")
    assert line.call(HEAD, "mine") == "mine"


def test_all_who_use_a_client_share_its_line_and_the_connection_goes_back_with_it(
    redis_server: EmbeddedServer,
) -> None:
    pool = redis.ConnectionPool.from_url(redis_server.url, max_connections=4)
    client = redis.Redis(connection_pool=pool)
    line = line_of(client)
    assert line is line_of(client)
    assert line
    assert line.call(HEAD, "x") == b"x"
    del line, client
    gc.collect()
    assert not pool._in_use_connections, "the connection is free again"


def test_a_second_thread_is_sent_to_the_client(client: redis.Redis) -> None:
    line = Line(client)
    answers: list[object] = []
    thread = threading.Thread(
        target=lambda: answers.append(line.call(packed_head("BLPOP", "wanted", following=1), "30"))
    )
    thread.start()
    while not any(c["cmd"] == "blpop" for c in client.client_list()):
        pass
    assert line.call(HEAD, "x") is None
    client.lpush("wanted", "here")
    thread.join()
    assert answers == [["wanted", "here"]]


def test_a_forked_process_takes_a_connection_of_its_own(client: redis.Redis) -> None:
    line, who = Line(client), packed_head("CLIENT", following=1)
    mine = line.call(who, "ID")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(line.call(who, "ID")).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 20).decode() != str(mine)
    assert line.call(who, "ID") == mine, "the child left the parent's connection alone"


def test_a_pool_without_a_connection_to_spare_keeps_all_for_itself(
    redis_server: EmbeddedServer,
) -> None:
    pool = redis.ConnectionPool.from_url(redis_server.url, max_connections=1)
    assert line_of(redis.Redis(connection_pool=pool)) is None


def test_a_pool_that_follows_the_master_has_no_line() -> None:
    sentinel = redis.sentinel.Sentinel([("127.0.0.1", 1)])  # type: ignore[no-untyped-call]
    assert line_of(sentinel.master_for("mymaster")) is None  # type: ignore[no-untyped-call]
