"""Alpaca through the unchanged alpaca-py client.

What alpaca-py does not do, and this package adds: a timeout on every call, no hidden repetition
(its own waits three times three seconds after 429 and 504, also for orders), bounded repetition
of reads, a clear outcome for every submit and cancel, canonical symbols, and keys that never
reach a message.

Orders are sent with alpaca-py's ``post`` and not through its ``LimitOrderRequest``, which turns
quantity and price into floats: 123456789.123456789 would lose its last digits and 0.00001234
would go out as 1.234e-05. Here both are text, digit for digit, as Alpaca's interface has them.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

from stealer.broker import convert
from stealer.broker.answers import ErrorAnswer, refusal_kind
from stealer.broker.calls import Admission, Call, CallBudget
from stealer.broker.client import AlpacaClient, Clients, Request
from stealer.broker.endpoints import choose_endpoints
from stealer.broker.interface import (
    BrokerBudgetSpent,
    BrokerError,
    BrokerMalformed,
    BrokerNotFound,
    BrokerRefused,
    BrokerUnavailable,
    Guard,
    MarketClock,
    RequestBudget,
)
from stealer.broker.outcomes import (
    cancel_refused,
    confirmed_if_same,
    log_cancel,
    log_submit,
    order_fields,
)
from stealer.broker.rehearsal import rehearse
from stealer.broker.retries import ReadRetries
from stealer.broker.symbols import canonical_from_broker, is_crypto, symbol_for_broker
from stealer.broker.transport import Exchange, Timeouts
from stealer.evidence import (
    AccountSnapshot,
    Asset,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    CancelResult,
    NewOrder,
    Outcome,
    Quote,
    SubmitResult,
)

log = logging.getLogger(__name__)

#: Orders in one page: the most Alpaca gives (its default is 50).
PAGE_SIZE = 500

#: Pages after which a listing is given up: 50,000 open orders are not this account's.
MAX_PAGES = 100

#: Pages overlap by this much, so that orders submitted in the same instant are not lost whether
#: the server cuts times to nano-, micro- or milliseconds.
PAGE_OVERLAP = timedelta(milliseconds=1)

#: Symbols asked for in one quote request: keeps the address far below 2,000 characters.
QUOTE_BATCH = 100

DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_RETRIES = ReadRetries()

_SYMBOL_IN_TEXT = re.compile(r"[A-Z0-9][A-Z0-9./]*")


class AlpacaBroker:
    """One Alpaca account (see :class:`stealer.broker.interface.Broker`); safe for threads.

    Nothing is contacted until the first call.

    :param crypto_symbols: canonical pairs (``BTCUSD``) this account trades.
    :param live: real money. False refuses every Alpaca address but the paper server's.
    :param trading_url: server without version, e.g. a simulator's; None is Alpaca's own.
    :param data_url: market data server; None is Alpaca's, or *trading_url* if that is not Alpaca.
    :param stock_feed: Alpaca's data feed for stocks (``iex``, ``sip``); None: the account's own.
    :param call_budget: the requests its account has left; None: every call goes out.
    :param patience: seconds a read may wait for that budget; :param tell: is told of each wait.
    :raises BrokerMisconfigured: keys missing, or an address that contradicts *live*.
    """

    def __init__(
        self,
        api_key: str,
        secret_key: str,
        *,
        crypto_symbols: frozenset[str],
        live: bool = False,
        trading_url: str | None = None,
        data_url: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        retries: ReadRetries = DEFAULT_RETRIES,
        stock_feed: str | None = None,
        call_budget: CallBudget | None = None,
        patience: float = 0.0,
        tell: Callable[[str], object] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints = choose_endpoints(live, trading_url, data_url)
        admission = Admission(call_budget, patience, sleep, tell)
        self._client = AlpacaClient(
            api_key, secret_key, self.endpoints, timeouts, retries, sleep, now, admission
        )
        self._crypto = crypto_symbols
        self._stock_feed = stock_feed

    def __repr__(self) -> str:
        kind = "live" if self.endpoints.live else "paper"
        return f"AlpacaBroker({kind}, {self.endpoints.trading_url})"

    @property
    def budget(self) -> RequestBudget:
        """The request budget as the last answer stated it."""
        return self._client.budget

    def prepare(self) -> None:
        """Load and make what the first order would have to, so that it is not late; sends nothing.

        :raises BrokerMisconfigured: alpaca-py is missing, or built differently.
        """
        self._client.clients()
        rehearse(send=False)

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._client.close()

    # -- orders out ---------------------------------------------------------------------------

    def submit(self, order: NewOrder, guard: Guard | None = None) -> SubmitResult:
        """Send *order* at most once. See the interface; *guard* surrounds the write itself."""
        self._client.clients()  # a missing alpaca-py must not look like a failed order
        from alpaca.common.exceptions import APIError

        fields = order_fields(order, self._crypto)
        exchange = Exchange(guard)
        try:
            raw = self._client.write_once(
                exchange, lambda c: c.trading.post("/orders", fields), Call.SUBMIT
            )
            result = self._accepted(order, raw, exchange)
        except APIError as error:
            result = self._refused(order, self._client.error_answer(error))
        except BrokerBudgetSpent as error:
            result = SubmitResult(Outcome.DENIED, kind="rate_limited", message=str(error))
        except Exception as error:  # whatever it is: only the wire knows if the order left
            result = self._broken(exchange, error)
        log_submit(order, result)
        return result

    def _accepted(self, order: NewOrder, raw: object, exchange: Exchange) -> SubmitResult:
        if not exchange.succeeded:
            message = f"the broker answered {exchange.status} to an order"
            return SubmitResult(Outcome.UNRESOLVED, kind="server_error", message=message)
        try:
            found = convert.order_record(raw, self._crypto)
        except BrokerMalformed as error:
            return SubmitResult(Outcome.UNRESOLVED, kind="server_error", message=str(error))
        return confirmed_if_same(order, found, kind="")

    def _refused(self, order: NewOrder, answer: ErrorAnswer) -> SubmitResult:
        kind = refusal_kind(answer)
        if not answer.is_verdict:
            kind = "timeout" if answer.status in (408, 504) else "server_error"
            message = f"the broker answered {answer.status}: {answer.message}"
            return SubmitResult(Outcome.UNRESOLVED, None, kind, answer.code, message)
        if kind == "duplicate_id":
            return self._already_there(order, answer)
        return SubmitResult(Outcome.REJECTED, None, kind, answer.code, answer.message)

    def _already_there(self, order: NewOrder, answer: ErrorAnswer) -> SubmitResult:
        """The broker has seen this id: whatever it has under it is this order's fate."""
        try:
            found = self.order_by_client_id(order.client_order_id)
        except BrokerError as error:
            message = f"{answer.message}; and then {error}"
            return SubmitResult(Outcome.UNRESOLVED, None, "duplicate_id", answer.code, message)
        if found is None:
            message = f"{answer.message}, but a look-up by that id finds nothing"
            return SubmitResult(Outcome.UNRESOLVED, None, "duplicate_id", answer.code, message)
        return confirmed_if_same(order, found, kind="duplicate_id")

    def _broken(self, exchange: Exchange, error: Exception) -> SubmitResult:
        reason = self._client.reason(error)
        if exchange.certainly_not_sent:
            message = f"nothing was sent: {reason}"
            return SubmitResult(Outcome.DENIED, kind="not_sent", message=message)
        kind = "timeout" if reason.startswith("no answer") else "server_error"
        message = f"the order was sent, then: {reason}"
        return SubmitResult(Outcome.UNRESOLVED, kind=kind, message=message)

    def cancel(self, order_id: str) -> CancelResult:
        """Ask once for the order's end. Anything but 204, 404 or "already over" is unresolved."""
        if not _is_uuid(order_id):
            return CancelResult(Outcome.DENIED, message=f"{order_id!r} is not an order id")
        self._client.clients()
        from alpaca.common.exceptions import APIError

        exchange = Exchange()
        try:
            self._client.write_once(
                exchange, lambda c: c.trading.cancel_order_by_id(order_id), Call.CANCEL
            )
            outcome = Outcome.CONFIRMED if exchange.succeeded else Outcome.UNRESOLVED
            result = CancelResult(outcome, message=f"the broker answered {exchange.status}")
        except APIError as error:
            result = cancel_refused(self._client.error_answer(error))
        except BrokerBudgetSpent as error:
            result = CancelResult(Outcome.DENIED, message=str(error))
        except Exception as error:  # as in submit
            reason = self._client.reason(error)
            result = CancelResult(Outcome.UNRESOLVED, message=f"cancel: {reason}")
        log_cancel(order_id, result)
        return result

    # -- reads --------------------------------------------------------------------------------

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """The order, or None only for 404 with Alpaca's code."""
        what = f"look up order {client_order_id}"
        found = self._one_order(what, lambda c: c.trading.get_order_by_client_id(client_order_id))
        if found is not None and found.client_order_id != client_order_id:
            raise BrokerMalformed(f"{what}: the broker answered about {found.client_order_id!r}")
        return found

    def order_by_id(self, order_id: str) -> BrokerOrder | None:
        """The order by the broker's id, or None only for 404 with Alpaca's code."""
        what = f"look up order {order_id}"
        if not _is_uuid(order_id):
            raise BrokerRefused(what, message=f"{order_id!r} is not an order id")
        found = self._one_order(what, lambda c: c.trading.get_order_by_id(order_id))
        if found is not None and found.id != order_id:
            raise BrokerMalformed(f"{what}: the broker answered about order {found.id!r}")
        return found

    def _one_order(self, what: str, request: Request) -> BrokerOrder | None:
        try:
            raw = self._client.read(what, request, Call.LOOK_UP)
            return convert.order_record(raw, self._crypto)
        except BrokerNotFound:
            return None

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every open order, oldest first, all pages; an error is raised, never an empty list."""
        return self._open_orders([])

    def _open_orders(self, warnings: list[str]) -> tuple[BrokerOrder, ...]:
        """Pages forward in time: an order that appears meanwhile is newer, so it is still seen."""
        orders: dict[str, BrokerOrder] = {}
        after: str | None = None
        for _ in range(MAX_PAGES):
            rows = self._order_page(after)
            before = len(orders)
            for row in rows:
                notes: list[str] = []
                record = convert.order_record(row, self._crypto, notes)
                if record.id not in orders:
                    warnings.extend(notes)
                orders[record.id] = record
            if len(rows) < PAGE_SIZE:
                return tuple(orders.values())
            if len(orders) == before:
                break
            after = _page_cursor(rows)
        raise BrokerUnavailable(
            f"list open orders: the broker's pages do not end after {len(orders)} orders"
        )

    def _order_page(self, after: str | None) -> list[object]:
        """One page, by alpaca-py's ``get``: its request model would cut *after* its own way."""
        params: dict[str, Any] = {"status": "open", "limit": PAGE_SIZE, "direction": "asc"}
        params["nested"] = "false"  # legs of a bracket are orders of their own
        if after is not None:
            params["after"] = after
        raw = self._client.read(
            "list open orders", lambda c: c.trading.get("/orders", params), Call.ACCOUNT
        )
        return convert.list_of(raw, "open orders")

    def latest_client_ids(self) -> tuple[str, ...]:
        """Of the newest 500 orders, whatever became of them; what else they say is not read."""
        params = {"status": "all", "limit": PAGE_SIZE, "direction": "desc", "nested": "false"}
        raw = self._client.read(
            "list latest orders", lambda c: c.trading.get("/orders", params), Call.ACCOUNT
        )
        rows = convert.list_of(raw, "latest orders")
        return tuple(str(row.get("client_order_id")) for row in rows if isinstance(row, dict))

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Every open position."""
        raw = self._client.read(
            "read positions", lambda c: c.trading.get_all_positions(), Call.ACCOUNT
        )
        rows = convert.list_of(raw, "positions")
        return tuple(convert.position_record(row, self._crypto) for row in rows)

    def account(self) -> BrokerAccount:
        """The account's figures in dollars."""
        return convert.account_record(
            self._client.read("read account", lambda c: c.trading.get_account(), Call.ACCOUNT)
        )

    def snapshot(self, between: Callable[[], None] = lambda: None) -> AccountSnapshot:
        """Orders, then positions, then the account: that order is a rule of the protocol."""
        warnings: list[str] = []
        orders = self._open_orders(warnings)
        between()
        positions = self.positions()
        return AccountSnapshot(orders, positions, self.account(), tuple(warnings))

    def quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """The latest two-sided quotes by canonical symbol; symbols without one are absent."""
        wanted = sorted({canonical_from_broker(symbol) for symbol in symbols})
        crypto = [symbol for symbol in wanted if is_crypto(symbol, self._crypto)]
        stocks = [symbol for symbol in wanted if symbol not in crypto]
        found: dict[str, Quote] = {}
        for names, call in ((crypto, self._crypto_quotes), (stocks, self._stock_quotes)):
            for batch in _batches(names):
                found.update(self._quote_batch(batch, call))
        return found

    def _quote_batch(
        self, symbols: list[str], call: Callable[[Clients, list[str]], object]
    ) -> dict[str, Quote]:
        """One request; again without the symbols the broker names as unknown, so that one bad
        symbol blinds no other."""
        try:
            what = f"read {len(symbols)} quotes"
            raw = self._client.read(what, lambda c: call(c, symbols), Call.QUOTES)
        except BrokerRefused as refusal:
            words = _SYMBOL_IN_TEXT.findall(refusal.message)
            bad = {canonical_from_broker(word.rstrip("./")) for word in words} & set(symbols)
            if not bad:
                raise
            log.warning("quotes without=%s: %s", ",".join(sorted(bad)), refusal)
            rest = [symbol for symbol in symbols if symbol not in bad]
            return self._quote_batch(rest, call) if rest else {}
        if not isinstance(raw, dict):
            raise BrokerMalformed("quotes: the broker sent no object")
        records = [convert.quote_record(str(name), fields) for name, fields in raw.items()]
        return {quote.symbol: quote for quote in records if quote and quote.symbol in symbols}

    def _crypto_quotes(self, clients: Clients, symbols: list[str]) -> object:
        from alpaca.data.requests import CryptoLatestQuoteRequest

        names = [symbol_for_broker(symbol, self._crypto) for symbol in symbols]
        request = CryptoLatestQuoteRequest(symbol_or_symbols=names)
        return clients.crypto.get_crypto_latest_quote(request)

    def _stock_quotes(self, clients: Clients, symbols: list[str]) -> object:
        from alpaca.data.enums import DataFeed
        from alpaca.data.requests import StockLatestQuoteRequest

        feed = DataFeed(self._stock_feed) if self._stock_feed else None
        request = StockLatestQuoteRequest(symbol_or_symbols=symbols, feed=feed)
        return clients.stocks.get_stock_latest_quote(request)

    def asset(self, symbol: str) -> Asset:
        """What may be ordered of *symbol*: one request (``stealer.asset_rules`` shares answers)."""
        name = canonical_from_broker(symbol)
        path = quote(symbol_for_broker(name, self._crypto), safe="")
        raw = self._client.read(
            f"read asset {name}", lambda c: c.trading.get_asset(path), Call.READ
        )
        asset = convert.asset_record(raw)
        if asset.symbol != name:
            raise BrokerMalformed(f"asset {name}: the broker answered about {asset.symbol}")
        return asset

    def clock(self) -> MarketClock:
        """The stock exchange's clock."""
        return convert.clock_record(
            self._client.read("read clock", lambda c: c.trading.get_clock(), Call.READ)
        )

    def market_is_open(self) -> bool:
        """True while the stock exchange is open."""
        return self.clock().is_open


def _page_cursor(rows: list[object]) -> str:
    """The ``after`` of the next page: just before the newest dated order of a full page."""
    for row in reversed(rows):
        stamp = (row.get("submitted_at") or row.get("created_at")) if isinstance(row, dict) else ""
        if stamp:
            try:
                seconds = convert.unix_seconds(str(stamp))
            except ValueError:
                continue
            moment = datetime.fromtimestamp(seconds, UTC) - PAGE_OVERLAP
            return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    raise BrokerMalformed("list open orders: a full page without any time to continue from")


def _batches(symbols: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(symbols), QUOTE_BATCH):
        yield symbols[start : start + QUOTE_BATCH]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
