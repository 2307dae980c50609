"""A real server with one user for each role of the account `paper`, as `stealer acl` makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stealer.access import Role, user_line, user_name
from stealer.coordinator import WorkStealingCoordinator
from stealer.embedded import EmbeddedServer
from stealer.settings import Settings

ACCOUNT = "paper"


@dataclass
class Guarded:
    """The server, its administrator, and who may come in."""

    server: EmbeddedServer
    admin: Any
    opened: list[Any] = field(default_factory=list)

    def password(self, role: Role) -> str:
        return f"password-of-the-{role}-0123456789abcdef"

    def make(self, role: Role, *more: str) -> str:
        """Make or change the user of *role*, with rules behind its own; its name."""
        rules = user_line(role, ACCOUNT, self.password(role)).split(" ")[2:]
        self.admin.execute_command(
            "ACL", "SETUSER", user_name(role, ACCOUNT), "reset", *rules, *more
        )
        return user_name(role, ACCOUNT)

    def url(self, role: Role) -> str:
        name, password = user_name(role, ACCOUNT), self.password(role)
        return f"redis://{name}:{password}@127.0.0.1:{self.server.port}/0"

    def client(self, role: Role) -> Any:
        """A connection as *role*, which tries once."""
        client = redis.Redis.from_url(
            self.url(role), decode_responses=True, retry=Retry(NoBackoff(), 0)
        )
        self.opened.append(client)
        return client

    def coordinator(self, role: Role, **settings: Any) -> WorkStealingCoordinator:
        return WorkStealingCoordinator(self.client(role), Settings(**settings), owner=f"a {role}")

    def everything(self) -> dict[str, Any]:
        """What every key holds."""
        return {key: self.admin.dump(key) for key in sorted(self.admin.keys("*"))}


@pytest.fixture
def guarded(redis_server: EmbeddedServer) -> Iterator[Guarded]:
    admin = redis.Redis.from_url(redis_server.url)
    admin.flushall()
    guarded = Guarded(redis_server, admin)
    for role in Role:
        guarded.make(role)
    yield guarded
    for client in guarded.opened:
        client.close()
    for role in Role:
        admin.acl_deluser(user_name(role, ACCOUNT))
    admin.close()
