"""The account as a whole: capacity, trust in it, and what is going on."""

from __future__ import annotations

from dataclasses import dataclass, fields

from stealer.cli.operator import Operator
from stealer.cli.views.reading import Fields, Reader, number_in
from stealer.model import State
from stealer.replies import StreamHealth
from stealer.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of our own ledger; ``used`` is a fraction of the limit."""

    name: str
    limit_micro: int
    positions_micro: int
    foreign_micro: int
    charged_micro: int
    free_micro: int
    used: float


@dataclass(frozen=True, slots=True)
class BrokerRoom:
    """The broker's own figure, less what was charged after it was read: the second clamp."""

    name: str
    figure_micro: int
    charged_since_micro: int
    room_micro: int


@dataclass(frozen=True, slots=True)
class Waiter:
    """A slot that was refused for want of capacity and still counts."""

    slot: str
    pnl: float
    need_micro: int
    is_crypto: bool
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Session:
    """The stock market's session as scripts see it; ``known`` is False before a keeper said it."""

    known: bool
    is_open: bool
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class ApiWindow:
    """What the broker still takes in this minute; ``known`` once one of its answers has said so.

    ``limit`` 0 is none. ``reset_seconds`` None: nothing was sent in this minute.
    """

    interface: str
    known: bool
    limit: int
    left: int
    reset_seconds: float | None
    held_seconds: float


@dataclass(frozen=True, slots=True)
class ApiWaiter:
    """A process that was told to ask again for a call of this kind."""

    who: str
    call: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Account:
    """Everything ``stealer status`` shows. Ages in seconds; None when there is nothing to date."""

    account: str
    redis: str
    at_ms: int
    pools: tuple[Pool, ...]
    broker: tuple[BrokerRoom, ...]
    age_seconds: float | None
    stale_after_seconds: float
    fresh: bool
    certified: bool
    epoch: int
    term: int
    no_steal_seconds: float
    keeper: str
    keeper_seconds_left: float
    streams: tuple[StreamHealth, ...]
    session: Session
    halted: str
    claims: dict[str, int]
    waiters: tuple[Waiter, ...]
    watchers: int
    api: tuple[ApiWindow, ...]
    api_waiting: tuple[ApiWaiter, ...]
    counters: dict[str, int]
    denied: dict[str, int]
    drift: dict[str, dict[str, str]]
    dry_run: bool
    enabled: bool
    problems: tuple[str, ...]


def account(ledger: Operator) -> Account:
    """The account now, in a handful of round trips whatever its size (claims in batches)."""
    reader = Reader(ledger)
    certified = bool(reader.script(ledger.certified))
    now = reader.now_ms()
    book = reader.hash("ledger")
    policy = account_settings(reader)
    account_ms = book.whole("account_ms")
    age = max(now - account_ms, 0) / 1000 if account_ms else None
    holder, left = reader.string(ledger.keys.keeper)
    counters, denied = _counters(reader)
    return Account(
        account=ledger.settings.account,
        redis=ledger.settings.redis_url_shown,
        at_ms=now,
        pools=pools(book),
        broker=broker_rooms(book),
        age_seconds=age,
        stale_after_seconds=policy.account_stale_seconds,
        fresh=age is not None and age <= policy.account_stale_seconds,
        certified=certified,
        epoch=book.whole("epoch"),
        term=book.whole("term"),
        no_steal_seconds=max(book.whole("no_steal_until") - now, 0) / 1000,
        keeper=holder,
        keeper_seconds_left=left,
        streams=streams(reader, now),
        session=session(book, now),
        halted=book.text("halted"),
        claims=_states(reader),
        waiters=waiters(reader, now),
        watchers=len(reader.hash("watchers").values),
        api=tuple(api_window(reader, name, now) for name in ("budget", "data_budget")),
        api_waiting=api_waiters(reader, now),
        counters=counters,
        denied=denied,
        drift=_drift(ledger, reader.hash("policy")),
        dry_run=ledger.settings.dry_run,
        enabled=ledger.settings.enabled and policy.enabled,
        problems=tuple(dict.fromkeys(reader.problems)),
    )


def pools(book: Fields) -> tuple[Pool, ...]:
    """Both pools: ``free = limit - positions - foreign - charged`` (PROTOCOL, "Ledger")."""
    result = []
    for name in ("total", "crypto"):
        limit, positions, foreign, charged = (
            book.whole(f"{part}_{name}") for part in ("limit", "positions", "foreign", "charged")
        )
        taken = positions + foreign + charged
        used = taken / limit if limit > 0 else (1.0 if taken > 0 else 0.0)
        result.append(Pool(name, limit, positions, foreign, charged, limit - taken, used))
    return tuple(result)


def broker_rooms(book: Fields) -> tuple[BrokerRoom, ...]:
    """The broker's own figures; crypto weighs 2 in margin power."""
    result = []
    for name in ("margin", "cash"):
        figure, since = book.whole(f"power_{name}"), book.whole(f"since_{name}")
        result.append(BrokerRoom(name, figure, since, figure - since))
    return tuple(result)


def session(book: Fields, now_ms: int) -> Session:
    """The session, flipped by itself when its moment came, as the scripts do."""
    said, until = book.text("session"), book.whole("session_until")
    is_open = said == "open"
    if until and now_ms >= until:
        return Session(said != "", not is_open, None)
    return Session(said != "", is_open, (until - now_ms) / 1000 if until else None)


def streams(reader: Reader, now_ms: int) -> tuple[StreamHealth, ...]:
    """What the keeper hears by; none when it polls, or when there is no keeper."""

    def ago(moment: str) -> float | None:
        at = number_in(moment)
        return None if at is None else max(now_ms - at, 0) / 1000

    result = []
    for name, said in sorted(reader.hash("streams").values.items()):
        connected, heard, connects = [*said.split(" "), "-", "-", "0"][:3]
        result.append(StreamHealth(name, ago(connected), ago(heard), int(number_in(connects) or 0)))
    return tuple(result)


def account_settings(reader: Reader) -> Settings:
    """Our settings with the account's policy on top: what the scripts decide by.

    What of the policy cannot be read is reported, and ours is used instead.
    """
    own = reader.ledger.settings
    stored = reader.hash("policy").values
    names = {f.name: f.metadata["spec"].env for f in fields(Settings) if "spec" in f.metadata}
    mine = {**own.policy(), **{k: v for k, v in stored.items() if k in own.policy()}}
    keep = {f.name: getattr(own, f.name) for f in fields(Settings) if f.name not in mine}
    keep.pop("warnings", None)
    try:
        return Settings.from_env({names[k]: v for k, v in mine.items()}, **keep)
    except SettingsError as error:
        reader.problems.append(f"{reader.keys.policy}: {error}; using this host's settings")
        return own


def waiters(reader: Reader, now_ms: int) -> tuple[Waiter, ...]:
    """Slots waiting for capacity, best first; expired ones are left out."""
    waiting = reader.hash("waiting").values
    result = []
    for slot, pnl in reader.ranked("waiters", best_first=True):
        parts = [number_in(part) for part in waiting.get(slot, "").split(" ")]
        if len(parts) != 3 or None in parts:
            continue
        need, crypto, expires = (int(part or 0) for part in parts)
        if expires > now_ms:
            result.append(Waiter(slot, pnl, need, crypto == 1, (expires - now_ms) / 1000))
    return tuple(result)


def api_window(reader: Reader, name: str, now_ms: int) -> ApiWindow:
    """The budget at *name*, which has begun anew when its end has come."""
    book = reader.hash(name)
    limit, ends = book.whole("limit"), book.whole("ends")
    used = book.whole("used") if ends > now_ms else 0
    return ApiWindow(
        "market data" if name == "data_budget" else "trading",
        book.text("known") == "1",
        limit,
        max(limit - used, 0),
        (ends - now_ms) / 1000 if ends > now_ms else None,
        max(book.whole("held") - now_ms, 0) / 1000,
    )


def api_waiters(reader: Reader, now_ms: int) -> tuple[ApiWaiter, ...]:
    """Who waits for the budget; one whose time has come has asked again, or is gone."""
    rows = [
        (member.rpartition(" "), until - now_ms)
        for member, until in reader.ranked("budget_waiting")
    ]
    return tuple(ApiWaiter(who, call, left / 1000) for (who, _, call), left in rows if left > 0)


def _states(reader: Reader) -> dict[str, int]:
    """How many claims are in each state; those that cannot be read are counted as such."""
    key = reader.keys.claims
    ids = [str(i) for i in reader.ask(key, lambda r: r.zrange(key, 0, -1))]
    found = dict.fromkeys([state.value for state in State], 0)
    keys = [reader.keys.of("claim", claim_id) for claim_id in ids]
    for name, state in reader.each(keys, lambda r, k: r.hget(k, "state")):
        if state not in found:
            found.setdefault("unreadable", 0)
            if state is not None:
                reader.problems.append(f"{name}: state is {str(state)[:40]!r}")
        found[state if state in found else "unreadable"] += 1
    return found


#: Counters that are shown also while they are zero.
MAIN_COUNTERS = (
    "work_steal_attempts_total",
    "work_steal_success_total",
    "work_steal_fights_detected",
    "orders_protected_total",
    "granted_total",
    "api_refused_total",
    "api_429_total",
)


def _counters(reader: Reader) -> tuple[dict[str, int], dict[str, int]]:
    """Counters, and how often was denied by reason."""
    book = reader.hash("counters")
    counters, denied = dict.fromkeys(MAIN_COUNTERS, 0), {}
    for name in sorted(book.values):
        if name.startswith("denied:"):
            denied[name.removeprefix("denied:")] = book.whole(name)
        else:
            counters[name] = book.whole(name)
    return counters, denied


def _drift(ledger: Operator, stored: Fields) -> dict[str, dict[str, str]]:
    """Settings in which this host differs from the account's policy."""
    mine = ledger.settings.policy()
    return {
        name: {"here": mine[name], "account": value}
        for name, value in sorted(stored.values.items())
        if name in mine and mine[name] != value
    }
