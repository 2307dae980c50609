"""A deployment as the checks see it: its settings, Redis, the broker; each fact is read once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import redis

from stealer.coordinator import WorkStealingCoordinator
from stealer.ledger import text_hash
from stealer.scripts import text, translated
from stealer.settings import Settings

if TYPE_CHECKING:
    from stealer.broker.interface import Broker


@dataclass
class Patient:
    """Nothing is contacted before a check asks.

    :param connect, open_broker: make the two connections.
    :param now: this host's unix seconds.
    """

    settings: Settings
    connect: Callable[[Settings], redis.Redis]
    open_broker: Callable[[Settings], Broker]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: Callable[[], float] = time.time

    @cached_property
    def ledger(self) -> WorkStealingCoordinator:
        """The account's ledger, as it is: not even our functions are loaded.

        :raises LedgerMisconfigured: the address cannot be used.
        """
        client = self.connect(self.settings)
        return WorkStealingCoordinator(client, self.settings, may_load=False)

    @cached_property
    def broker(self) -> Broker:
        """The account's broker.

        :raises BrokerMisconfigured: keys are missing, or the address cannot be.
        """
        return self.open_broker(self.settings)

    @cached_property
    def info(self) -> dict[str, Any]:
        """What INFO says."""
        return dict(self.ledger.read(lambda r: r.info()))

    @cached_property
    def book(self) -> dict[str, str]:
        """The ledger's hash."""
        return self.hash("ledger")

    @cached_property
    def policy(self) -> dict[str, str]:
        """The account's policy as it was certified."""
        return self.hash("policy")

    @cached_property
    def user(self) -> str:
        """Who we are in Redis."""
        return str(self.ledger.read(lambda r: r.acl_whoami()))

    def hash(self, name: str) -> dict[str, str]:
        """One of the account's fixed hashes."""
        return self.fields(getattr(self.ledger.keys, name))

    def fields(self, key: str) -> dict[str, str]:
        """The hash at *key*."""
        return text_hash(self.ledger.read(lambda r: r.hgetall(key)))

    def config(self, name: str) -> str | None:
        """One setting of the server; None when this user may not see it."""
        found = self.allowed("CONFIG", "GET", name)
        if not found:
            return None
        return str(found[name] if isinstance(found, dict) else found[1])

    def allowed(self, *command: str) -> Any:
        """The answer to an administrator's *command*; None when this user may not give it.

        :raises LedgerUnavailable, LedgerMisconfigured: it failed otherwise.
        """
        try:
            return text(self.ledger.client.execute_command(*command))  # type: ignore[no-untyped-call]
        except redis.exceptions.NoPermissionError:
            return None
        except redis.exceptions.RedisError as error:
            raise translated(error) from error
