"""alpaca-py's clients, made safe: bounded, never repeating by themselves, one per process.

alpaca-py is used unchanged. It is imported at the first call and not before, because it costs a
process about a second and 80 MB; a parent of many processes calls :func:`preload` once before it
forks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from urllib3.exceptions import HTTPError as WireError

from stealer.broker.answers import Cleaner, ErrorAnswer, read_error
from stealer.broker.calls import Admission, Answered, Call
from stealer.broker.endpoints import Endpoints
from stealer.broker.failures import read_failure, reason_of
from stealer.broker.interface import BrokerMisconfigured, BrokerUnavailable, RequestBudget
from stealer.broker.retries import ReadRetries, read_retrying
from stealer.broker.transport import (
    BoundedAdapter,
    Exchange,
    Timeouts,
    budget_from,
    recording,
    seconds_to_reset,
)

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient
    from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
    from alpaca.trading.client import TradingClient

#: What alpaca-py, requests and urllib3 raise for a call that failed on the wire or whose body
#: was not what alpaca-py's own code expected of it.
_WIRE_FAILURES = (
    requests.RequestException,
    WireError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)


C = TypeVar("C", bound="RESTClient")


class Clients:
    """alpaca-py's three clients; those for quotes are made when used: a watcher needs none.

    ``pid`` because sockets must not be shared after a fork; ``trading``: orders and account.

    :param keys: key id and secret.
    :raises BrokerMisconfigured: alpaca-py is missing, or built differently.
    """

    def __init__(self, keys: tuple[str, str], endpoints: Endpoints, timeouts: Timeouts) -> None:
        preload()
        from alpaca.trading.client import TradingClient

        self.pid = os.getpid()
        self._keys, self._endpoints, self._timeouts = keys, endpoints, timeouts
        self.trading: TradingClient = self._hardened(
            TradingClient(
                *keys,
                paper=not endpoints.live,
                raw_data=True,
                url_override=endpoints.trading_url,
            ),
            endpoints.trading_url,
        )

    @cached_property
    def stocks(self) -> StockHistoricalDataClient:
        """Quotes of stocks."""
        from alpaca.data.historical import StockHistoricalDataClient

        made = StockHistoricalDataClient(*self._keys, **self._data_options())
        return self._hardened(made, self._endpoints.data_url)

    @cached_property
    def crypto(self) -> CryptoHistoricalDataClient:
        """Quotes of cryptos."""
        from alpaca.data.historical import CryptoHistoricalDataClient

        made = CryptoHistoricalDataClient(*self._keys, **self._data_options())
        return self._hardened(made, self._endpoints.data_url)

    def close(self) -> None:
        """Close the connections this process holds open."""
        if self.pid == os.getpid():
            for name in {"trading", "stocks", "crypto"} & self.__dict__.keys():
                getattr(self, name)._session.close()

    def _data_options(self) -> dict[str, Any]:
        return {"raw_data": True, "url_override": self._endpoints.data_url}

    def _hardened(self, client: C, url: str) -> C:
        _harden(client, url, self._timeouts)
        return client


#: One call of alpaca-py.
Request = Callable[[Clients], object]


def preload() -> None:
    """Import alpaca-py now, so that processes forked from this one share its memory.

    :raises BrokerMisconfigured: alpaca-py is not installed or broken.
    """
    try:
        import alpaca.data.historical
        import alpaca.trading.client  # noqa: F401
    except ImportError as error:
        raise BrokerMisconfigured(
            f"alpaca-py cannot be imported ({error}); install it: pip install alpaca-py"
        ) from None


class AlpacaClient:
    """Raw calls on one account; safe for threads and across forks. Holds the keys, shows none.

    :param sleep: waits that many seconds; :param now: unix seconds.
    :param admission: whom each call asks for a request of the account's API budget.
    """

    def __init__(
        self,
        api_key: str,
        secret_key: str,
        endpoints: Endpoints,
        timeouts: Timeouts,
        retries: ReadRetries,
        sleep: Callable[[float], None],
        now: Callable[[], float],
        admission: Admission,
    ) -> None:
        if not api_key or not secret_key:
            raise BrokerMisconfigured("Alpaca keys: both the key id and the secret must be given")
        self.endpoints = endpoints
        self.budget = RequestBudget()
        self._keys = (api_key, secret_key)
        self._clean = Cleaner(self._keys)
        self._timeouts, self._retries = timeouts, retries
        self._sleep, self._now = sleep, now
        self.admission = admission
        self._made: Clients | None = None
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"AlpacaClient({self.endpoints.trading_url})"

    def read(self, what: str, request: Request, call: Call) -> object:
        """The raw JSON answer to one read, repeated within bounds (:mod:`.retries`).

        :param what: begins the sentence of an error: "read account".
        :param call: what it is for; each attempt is a request of the API budget.
        :raises BrokerError: the family of :mod:`.interface`.
        """
        retrying = read_retrying(self._retries, self._sleep, self._now)
        return retrying(self._read_once, what, request, call)

    def _read_once(self, what: str, request: Request, call: Call) -> object:
        clients = self.clients()
        from alpaca.common.exceptions import APIError

        self.admission.enter(what, call)
        exchange, began = Exchange(), time.monotonic()
        try:
            with recording(exchange):
                answer = request(clients)
        except APIError as error:
            budget = budget_from(exchange.headers)
            raise read_failure(what, self.error_answer(error), budget) from None
        except _WIRE_FAILURES as error:
            raise BrokerUnavailable(f"{what}: {self.reason(error)}") from None
        finally:
            self._note(exchange, call, began, asked=True)
        if not exchange.succeeded:
            raise BrokerUnavailable(f"{what}: the broker answered {exchange.status}")
        return answer

    def write_once(self, exchange: Exchange, request: Request, call: Call) -> object:
        """The raw answer to one POST or DELETE, sent at most once; *exchange* tells how far it got.

        It asks for no budget: what it used is counted afterwards.

        :raises BrokerBudgetSpent: nothing was sent, the broker refuses everything for a while.
        :raises alpaca.common.exceptions.APIError: an answer from 400 up.
        :raises Exception: whatever broke on the way.
        """
        clients = self.clients()
        self.admission.enter_held(call)
        began = time.monotonic()
        try:
            with recording(exchange):
                return request(clients)
        finally:
            if not exchange.certainly_not_sent:
                self._note(exchange, call, began, asked=False)

    def error_answer(self, error: Any) -> ErrorAnswer:
        """What an APIError says, without its ``code`` and ``message``: they raise on HTML."""
        return read_error(int(error.status_code or 0), str(error), self._clean)

    def reason(self, error: BaseException) -> str:
        """Why a call failed, in a few words without keys."""
        return reason_of(error, self._timeouts, self._clean)

    def _note(self, exchange: Exchange, call: Call, began: float, *, asked: bool) -> None:
        """Keep the request budget the answer stated, and tell who shares it."""
        stated = budget_from(exchange.headers)
        self.budget = stated or self.budget
        reset_in = seconds_to_reset(exchange.headers, self._now())
        answer = Answered(stated, reset_in, exchange.status, time.monotonic() - began)
        self.admission.left(call, answer, asked=asked)

    def clients(self) -> Clients:
        """alpaca-py's clients, anew in a forked child.

        :raises BrokerMisconfigured: alpaca-py is not installed or broken.
        """
        if self._made is None or self._made.pid != os.getpid():
            with self._making:
                if self._made is None or self._made.pid != os.getpid():
                    self._made = Clients(self._keys, self.endpoints, self._timeouts)
        return self._made

    def close(self) -> None:
        """Close the connections this process holds open."""
        if self._made is not None:
            self._made.close()


def _harden(client: RESTClient, url: str, timeouts: Timeouts) -> None:
    """The one place that touches alpaca-py's private parts (written against 0.44.0).

    ``_retry``: its constructor takes ``retry_attempts`` but ignores 0 (``if retry_attempts and
    retry_attempts > 0``), and TradingClient does not pass it on. With 0, ``_request`` makes one
    attempt and a 429 or 504 arrives as an APIError. ``_session``: the only way to a timeout.
    """
    session, retry = getattr(client, "_session", None), getattr(client, "_retry", None)
    if not isinstance(session, requests.Session) or not isinstance(retry, int):
        raise BrokerMisconfigured(
            "this version of alpaca-py is built differently: its hidden repetition of orders "
            "cannot be switched off; install alpaca-py 0.44.0"
        )
    client._retry = 0
    # requests asks the environment at every call: its proxies and certificates are the same for
    # all, and a password that ~/.netrc has for the host, or for any, is not to be sent there.
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify = found["proxies"], found["verify"]
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, BoundedAdapter(timeouts))
