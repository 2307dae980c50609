"""What every command is given: settings, connections, and how to speak.

Tests replace the two factories: ``runner.invoke(main, [...], obj=App(connect=...))``.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import redis

    from stealer.broker.interface import Broker
    from stealer.cli.operator import Operator
    from stealer.cli.out import Out
    from stealer.settings import Settings

#: Seconds for which a command may wait for the account's API budget.
PATIENCE_SECONDS = 10.0

F = TypeVar("F", bound=Callable[..., Any])


def connect_redis(settings: Settings) -> redis.Redis:
    """A client for people: bounded time, named in CLIENT LIST."""
    from stealer.connect import connect

    return connect(settings, name="stealer-cli")


def connect_broker(settings: Settings) -> Broker:
    """The account's broker. alpaca-py is imported at its first call.

    :raises BrokerMisconfigured: keys are missing, or the address contradicts paper or live.
    """
    import logging

    from stealer.budget import AS_PERSON
    from stealer.connect import connect_broker as connect
    from stealer.connect import connect_budget
    from stealer.errors import LedgerMisconfigured

    # Its repeats are for logs; a person is told how it ended, and what is waited for.
    for name in ("stealer.broker", "stealer.budget"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    try:
        budget = connect_budget(settings, who=f"command-{os.getpid()}", role=AS_PERSON)
    except LedgerMisconfigured:  # said by whatever needs Redis; the broker can be asked without
        budget = None
    return connect(settings, budget, patience=PATIENCE_SECONDS, tell=_say)


def _say(sentence: str) -> None:
    click.echo(f"stealer: {sentence}", err=True)


@dataclass
class App:
    """One invocation. Nothing is read or opened before a command asks for it."""

    connect: Callable[[Settings], redis.Redis] = connect_redis
    broker: Callable[[Settings], Broker] = connect_broker
    overrides: dict[str, Any] = field(default_factory=dict)
    json: bool = False
    color: bool = True
    program: str = "stealer"

    @cached_property
    def settings(self) -> Settings:
        """Settings from the environment and the options.

        :raises SettingsError: one of them is not allowed.
        """
        from stealer.settings import Settings, refuse_secret_option

        refuse_secret_option(self.overrides.get("redis_url"))
        settings = Settings.from_env(**self.overrides)
        for warning in settings.warnings:
            self.out.warn(warning)
        return settings

    @cached_property
    def ledger(self) -> Operator:
        """The account's ledger with the operator's verbs."""
        from stealer.cli.operator import Operator

        return Operator(self.connect(self.settings), self.settings, owner=self.who)

    @cached_property
    def out(self) -> Out:
        """How this invocation speaks."""
        from stealer.cli.out import Out

        return Out(as_json=self.json, color=self.color, program=self.program)

    @property
    def who(self) -> str:
        """user@host, for the audit stream."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container without an entry for this user id
            user = "unknown"
        return f"{user}@{socket.gethostname()}"


pass_app = click.make_pass_decorator(App, ensure=True)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is None or value is False:
        return
    app = ctx.ensure_object(App)
    if param.name == "as_json":
        app.json = True
    elif param.name == "no_color":
        app.color = False
    else:
        app.overrides[str(param.name)] = value


def common_options(*, shown: bool = False, json: bool = True) -> Callable[[F], F]:
    """The shared options; on a command only ``--json`` is shown in its help, all are taken."""

    def option(name: str, text: str, hidden: bool, **more: Any) -> Callable[[F], F]:
        return click.option(
            *name.split(),
            help=text,
            hidden=hidden,
            expose_value=False,
            callback=_remember,
            is_eager=True,
            **more,
        )

    def decorate(function: F) -> F:
        wrapped = option("--no-color", "Plain text, also on a terminal.", not shown, is_flag=True)(
            function
        )
        if json:
            wrapped = option("--json as_json", "JSON for programs.", False, is_flag=True)(wrapped)
        wrapped = option("--redis-url", "Where Redis is (REDIS_URL).", not shown, metavar="URL")(
            wrapped
        )
        return option(
            "--account", "Which account's ledger (STEALER_ACCOUNT).", not shown, metavar="NAME"
        )(wrapped)

    return decorate


def log_format_option(function: F) -> F:
    """--log-format, of every command that runs until it is stopped."""
    return click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        envvar="STEALER_LOG_FORMAT",
        default="text",
        show_default=True,
        help="Log lines for people, or one JSON object each for programs  [STEALER_LOG_FORMAT]",
    )(function)
