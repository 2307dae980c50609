"""One place that opens connections, to Redis and to the broker, with bounded time.

Every verb may be repeated, so lost calls are (PROTOCOL, "Rules for every script"); but a caller
that waits for ever holds a claim whose deadline passes, so the whole is bounded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from stealer.broker.calls import Call, CallBudget
from stealer.budget import ApiBudget
from stealer.errors import AddressUnusable, LedgerMisconfigured
from stealer.evidence import BrokerOrder, Quote
from stealer.settings import Settings

if TYPE_CHECKING:
    from stealer.broker.alpaca import AlpacaBroker
    from stealer.broker.streams import AlpacaStreams

#: Seconds for connecting, and for one answer. Longer than any script takes.
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0

#: The same for a question about the API budget, which is not repeated: a call that must not wait
#: for Redis goes on without an answer.
BUDGET_SECONDS = 0.5

#: Seconds for which a watcher's read may wait for the API budget.
PATIENCE_SECONDS = 1.0

#: Where a sentinel listens unless its address says otherwise.
SENTINEL_PORT = 26379

#: A database's number; servers have 16 unless they are told otherwise.
DATABASE = re.compile("[0-9]{1,5}")

#: Repeats of a lost call, 0.05 to 1 s apart.
REPEATS = 3


def connect(
    settings: Settings,
    *,
    name: str = "",
    answer_seconds: float = ANSWER_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    repeats: int = REPEATS,
) -> redis.Redis:
    """A client for the account's Redis; nothing is sent yet.

    :param name: shown by CLIENT LIST, for operators.
    :param answer_seconds: longer for a client that blocks on purpose.
    :param repeats: of a lost call.
    :raises AddressUnusable: REDIS_URL cannot be used. LedgerMisconfigured: a file cannot be read.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "client_name": name.replace(" ", "-") or None,
        # No CLIENT SETINFO: two round trips for nobody, and a right that Redis 7.0 does not know.
        "driver_info": None,
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": answer_seconds,
        "health_check_interval": 30,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), repeats),
        "retry_on_error": [redis.exceptions.ConnectionError, redis.exceptions.TimeoutError],
    }
    try:
        parts = urlsplit(settings.redis_url)
        _check(parts)
        if parts.scheme != "unix":  # such a socket knows no keep-alive, and needs none
            options["socket_keepalive"] = True
        if parts.scheme == "redis+sentinel":
            client = _through_sentinel(settings, options)
        else:
            client = redis.Redis.from_url(settings.redis_url, **options, **_credentials(settings))
        # A pool makes its first connection at the first command: what it does not take is met here.
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise AddressUnusable(f"REDIS_URL {settings.redis_url_shown!r}: {error}") from None
    return client


def keeper_name(account: str, owner: str) -> str:
    """What CLIENT LIST calls each connection of a keeper, so that keepers can be told apart."""
    return f"stealer-keeper/{account}/{owner}"


def _check(parts: SplitResult) -> None:
    """What redis-py takes from an address, or passes over, and later fails with or is wrong about.

    Bounds of time and the server's certificate are not for an address to loosen.

    :raises ValueError: in words that repeat nothing of the address.
    """
    asked = parse_qsl(parts.query, keep_blank_values=True)
    sentinel = parts.scheme == "redis+sentinel"
    if parts.fragment or (sentinel and asked) or [name for name, _ in asked] not in ([], ["db"]):
        only = "nothing" if sentinel else "nothing but ?db=NUMBER"
        raise ValueError(f"{only} may follow (in a password ? is %3F and # is %23)")
    database = asked[0][1] if asked else "0"
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path.strip("/"):
            raise ValueError("give the socket's whole path, as in unix:///run/redis.sock")
        if not unquote(parts.path).isprintable():
            raise ValueError("the socket's path holds a control character")
    else:
        path = parts.path.strip("/")
        in_path = path.partition("/")[2] if sentinel else path
        if in_path and asked:
            raise ValueError("the database is given twice")
        database = in_path or database
        _check_hosts(parts)
    if not DATABASE.fullmatch(database):
        raise ValueError("the database must be a whole number, as in redis://HOST:6379/0")


def _check_hosts(parts: SplitResult) -> None:
    """:raises ValueError: a name that no resolver takes."""
    for host in parts.netloc.rpartition("@")[2].split(","):
        name = unquote(urlsplit(f"//{host}").hostname or "")
        try:
            name.encode("idna")
        except UnicodeError:
            raise ValueError("no host can have such a name") from None
        if not name.isprintable():
            raise ValueError("the host's name holds a control character")


def _through_sentinel(settings: Settings, options: dict[str, Any]) -> redis.Redis:
    """A client that asks the sentinels for the master whenever it opens a connection.

    ``redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DATABASE``; user and password are
    the servers'. A pooled connection that is left with a deposed master, or with one that became a
    replica, grants nothing: scripts compare the server's identity and role with the certificate.

    :raises ValueError: no service is named, the database is no number, or TLS is asked for.
    """
    parts = urlsplit(settings.redis_url)
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("name the service, as in redis+sentinel://HOST:26379/mymaster")
    hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(host.hostname, host.port or SENTINEL_PORT) for host in hosts],
        # One that does not answer at once is away: the next is asked, all again as the call is.
        sentinel_kwargs={
            "socket_connect_timeout": options["socket_connect_timeout"],
            "socket_timeout": options["socket_connect_timeout"],
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,
        },
    )
    login = {"username": parts.username, "password": parts.password}
    login = {key: unquote(value) for key, value in login.items() if value}
    credentials = _credentials(settings)
    if credentials.keys() - {"password"}:
        raise ValueError("REDIS_CA_FILE and the like go with rediss://, not with sentinels")
    login |= credentials
    database_number = int(database or 0)
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        service, db=database_number, **login, **options
    )
    return client


def _credentials(settings: Settings) -> dict[str, Any]:
    """The password that is not in the address, and the files of TLS. The server's certificate and
    name are always verified.

    :raises LedgerMisconfigured: a file cannot be read.
    """
    files = {
        "ssl_ca_certs": ("REDIS_CA_FILE", settings.redis_ca_file),
        "ssl_certfile": ("REDIS_CERT_FILE", settings.redis_cert_file),
        "ssl_keyfile": ("REDIS_KEY_FILE", settings.redis_key_file),
    }
    for variable, path in files.values():
        if path and not os.access(path, os.R_OK):
            raise LedgerMisconfigured(f"{variable}={path!r} cannot be read: is it there, and ours?")
    options = {name: path for name, (_, path) in files.items() if path}
    if settings.redis_password:
        options["password"] = settings.redis_password
    return options


def connect_budget(
    settings: Settings, *, who: str, role: Mapping[Call, Call] | None = None
) -> ApiBudget:
    """The account's API budget, on a connection of its own; nothing is sent yet.

    :param who: names this process to operators. :param role: what its calls count as.
    :raises LedgerMisconfigured: the address cannot be used.
    """
    client = connect(
        settings,
        name=f"{who}-budget",
        answer_seconds=BUDGET_SECONDS,
        connect_seconds=BUDGET_SECONDS,
        repeats=0,
    )
    return ApiBudget(client, settings.account, who=who, role=role)


def connect_broker(
    settings: Settings,
    budget: CallBudget | None = None,
    *,
    patience: float = PATIENCE_SECONDS,
    answer_seconds: float | None = None,
    tell: Callable[[str], object] | None = None,
) -> AlpacaBroker:
    """The account's broker; nothing is sent yet, and alpaca-py is loaded at the first call.

    :param budget: the requests its account has left; None: every call goes out.
    :param patience: seconds a read may wait for it; :param tell: is told of each wait.
    :param answer_seconds: for connecting, and for an answer, to a read that is not worth a repeat;
        None: the usual bounds.
    :raises BrokerMisconfigured: keys are missing, or the address does not go with paper or live.
    """
    from stealer.broker.alpaca import DEFAULT_RETRIES, DEFAULT_TIMEOUTS, AlpacaBroker
    from stealer.broker.retries import ReadRetries
    from stealer.broker.transport import Timeouts

    # No answer is waited for longer than an order may be on its way: the quarantine counts on that.
    bounded = min(DEFAULT_TIMEOUTS.read, settings.http_budget_seconds)
    timeouts, retries = Timeouts(DEFAULT_TIMEOUTS.connect, bounded), DEFAULT_RETRIES
    if answer_seconds is not None:
        timeouts, retries = Timeouts(answer_seconds, answer_seconds), ReadRetries(attempts=1)
    return AlpacaBroker(
        settings.alpaca_key_id,
        settings.alpaca_secret_key,
        crypto_symbols=settings.crypto_symbols,
        live=settings.is_live,
        trading_url=settings.alpaca_url or None,
        data_url=settings.alpaca_data_url or None,
        timeouts=timeouts,
        retries=retries,
        stock_feed=settings.stock_feed,
        call_budget=budget,
        patience=patience,
        tell=tell,
    )


def connect_streams(
    settings: Settings,
    on_quotes: Callable[[list[Quote]], object],
    on_order: Callable[[str, BrokerOrder], object],
    on_connect: Callable[[str], object],
) -> AlpacaStreams:
    """The account's streams, connecting from now on; see :class:`AlpacaStreams`.

    :raises BrokerMisconfigured: as :func:`connect_broker`, or alpaca-py cannot be used.
    """
    from stealer.broker.endpoints import choose_endpoints
    from stealer.broker.streams import AlpacaStreams

    return AlpacaStreams(
        settings.alpaca_key_id,
        settings.alpaca_secret_key,
        choose_endpoints(
            settings.is_live, settings.alpaca_url or None, settings.alpaca_data_url or None
        ),
        crypto_symbols=settings.crypto_symbols,
        on_quotes=on_quotes,
        on_order=on_order,
        on_connect=on_connect,
        stock_feed=settings.stock_feed,
    )
