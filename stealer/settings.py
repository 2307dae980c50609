"""Every constant of the system, its environment variable, and what it may be.

The table of DESIGN part 1 is the specification's; the fields after it are ours. A setting comes
from the constructor, from the environment (`Settings.from_env`) or from its default, and is
checked the same way in each case, so that a bad value stops a process at its start and not in the
middle of a steal.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

from stealer import setting_rules as rules
from stealer.secret_files import file_variable, secret_text
from stealer.sessions import MarketClock
from stealer.setting_rules import Rule

# The specification's constants under its own names. Fractions of a price, seconds, or counts.

#: How many of the best crypto entries enter at once, at any price, out of hours.
CRYPTO_OUT_OF_HOURS_FORCE_IMMEDIATE_COUNT: Final = 1
#: How far the market may be from the limit for the other crypto entries out of hours.
CRYPTO_OUT_OF_HOURS_TOLERANCE_PCT: Final = 0.016
#: The same in stock hours, for every symbol.
CRYPTO_NORMAL_TOLERANCE_PCT: Final = 0.0066
#: Whether anything may be stolen at all. When off, capacity still gates.
WORK_STEALING_ENABLED: Final = True
#: How close to its own limit a thief must be.
WORK_STEALING_ENTRY_TOLERANCE_PCT: Final = 0.003
#: An order this close to its limit is about to fill, and no victim.
WORK_STEALING_PROTECTION_PCT: Final = 0.004
#: Seconds a victim's symbol is left alone, and kept from stealing back.
WORK_STEALING_COOLDOWN_SECONDS: Final = 300.0
#: Log and record what would be done, and do nothing.
WORK_STEALING_DRY_RUN: Final = False
#: Tolerance of the top tier.
BEST_ORDERS_TIGHT_TOLERANCE_PCT: Final = 0.005
#: By what factor a thief's PnL must beat a victim's.
WORK_STEALING_MIN_PNL_IMPROVEMENT: Final = 1.1
#: More than this many steals by one pair, either way round, are a fight ...
WORK_STEALING_FIGHT_THRESHOLD: Final = 3
#: ... when they happen within these seconds ...
WORK_STEALING_FIGHT_WINDOW_SECONDS: Final = 1800.0
#: ... and then the pair rests for these seconds.
WORK_STEALING_FIGHT_COOLDOWN_SECONDS: Final = 1800.0
#: How many entries are in the top tier, which is always kept open, and in the next one.
WORK_STEALING_MAX_CONCURRENT_ORDERS: Final = 4
#: Exposure may be this many times the account's base figure.
WORK_STEALING_LEVERAGE: Final = 2.0

#: The broker's live trading host. With paper trading no address may name it.
LIVE_TRADING_HOST: Final = "api.alpaca.markets"

#: How the specification's variables begin: an unknown name with one of these is probably a
#: typo.
_SPECIFIED_PREFIXES = ("WORK_STEALING_", "BEST_ORDERS_", "CRYPTO_OUT_OF_HOURS_", "CRYPTO_NORMAL_")


class SettingsError(ValueError):
    """A setting that cannot be used. The message names the variable, the value and what is
    allowed.
    """


@dataclass(frozen=True, slots=True)
class _Spec:
    """What stands behind a field: its variable, its rule, and who may see or must share it."""

    env: str
    rule: Rule[Any]
    policy: bool
    secret: bool


def _setting(
    default: Any, env: str, rule: Rule[Any], *, policy: bool = False, secret: bool = False
) -> Any:
    """A field read from the variable *env*.

    *policy*: must be equal on all hosts of an account. *secret*: never shown, neither in `repr`
    nor in errors.
    """
    spec = _Spec(env, rule, policy, secret)
    return field(default=default, repr=not secret, metadata={"spec": spec})


@dataclass(frozen=True)
class Settings:
    """All settings of one process. Tolerances are fractions (0.016 is 1.6 %), times are seconds.

    Raises SettingsError for a value that is not allowed, wherever it came from. `warnings` holds
    sentences about what is allowed but probably not meant.
    """

    # The account, and where it is.
    account: str = _setting("paper", "STEALER_ACCOUNT", rules.account_name())
    redis_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        "REDIS_URL",
        rules.url("redis", "rediss", "unix", "redis+sentinel", user=True),
        secret=True,  # it may carry a password; `redis_url_shown` does not
    )
    redis_password: str = _setting("", "REDIS_PASSWORD", rules.text(), secret=True)
    redis_ca_file: str = _setting("", "REDIS_CA_FILE", rules.path())
    redis_cert_file: str = _setting("", "REDIS_CERT_FILE", rules.path())
    redis_key_file: str = _setting("", "REDIS_KEY_FILE", rules.path())
    redis_durable: bool = _setting(False, "STEALER_REDIS_DURABLE", rules.boolean())
    wait_replicas: int = _setting(0, "STEALER_WAIT_REPLICAS", rules.count(0, 16), policy=True)
    trading: str = _setting("paper", "STEALER_TRADING", rules.one_of("paper", "live"), policy=True)
    alpaca_key_id: str = _setting("", "APCA_API_KEY_ID", rules.text(), secret=True)
    alpaca_secret_key: str = _setting("", "APCA_API_SECRET_KEY", rules.text(), secret=True)
    alpaca_url: str = _setting("", "ALPACA_URL", rules.url("http", "https", optional=True))
    alpaca_data_url: str = _setting(
        "", "ALPACA_DATA_URL", rules.url("http", "https", optional=True)
    )
    streams: bool = _setting(True, "STEALER_STREAMS", rules.boolean())
    stock_feed: str = _setting("iex", "STEALER_STOCK_FEED", rules.one_of("iex", "sip"))

    # The specification's table.
    enabled: bool = _setting(
        WORK_STEALING_ENABLED, "WORK_STEALING_ENABLED", rules.boolean(), policy=True
    )
    dry_run: bool = _setting(WORK_STEALING_DRY_RUN, "WORK_STEALING_DRY_RUN", rules.boolean())
    entry_tolerance_pct: float = _setting(
        WORK_STEALING_ENTRY_TOLERANCE_PCT,
        "WORK_STEALING_TOLERANCE",
        rules.fraction(),
        policy=True,
    )
    protection_pct: float = _setting(
        WORK_STEALING_PROTECTION_PCT, "WORK_STEALING_PROTECTION", rules.fraction(), policy=True
    )
    cooldown_seconds: float = _setting(
        WORK_STEALING_COOLDOWN_SECONDS, "WORK_STEALING_COOLDOWN", rules.seconds(), policy=True
    )
    min_pnl_improvement: float = _setting(
        WORK_STEALING_MIN_PNL_IMPROVEMENT,
        "WORK_STEALING_MIN_PNL_IMPROVEMENT",
        rules.number("a factor from 1 to 2 (1.1 means 10 % better)", 1.0, 2.0),
        policy=True,
    )
    fight_threshold: int = _setting(
        WORK_STEALING_FIGHT_THRESHOLD,
        "WORK_STEALING_FIGHT_THRESHOLD",
        rules.count(1, 1000),
        policy=True,
    )
    fight_window_seconds: float = _setting(
        WORK_STEALING_FIGHT_WINDOW_SECONDS,
        "WORK_STEALING_FIGHT_WINDOW",
        rules.seconds(),
        policy=True,
    )
    fight_cooldown_seconds: float = _setting(
        WORK_STEALING_FIGHT_COOLDOWN_SECONDS,
        "WORK_STEALING_FIGHT_COOLDOWN",
        rules.seconds(),
        policy=True,
    )
    max_concurrent_orders: int = _setting(
        WORK_STEALING_MAX_CONCURRENT_ORDERS,
        "WORK_STEALING_MAX_CONCURRENT_ORDERS",
        rules.count(1, 100_000),
        policy=True,
    )
    leverage: float = _setting(
        WORK_STEALING_LEVERAGE,
        "WORK_STEALING_LEVERAGE",
        rules.number("a factor from 0.01 to 4 (the most a broker lends within a day)", 0.01, 4.0),
        policy=True,
    )
    crypto_out_of_hours_force_count: int = _setting(
        CRYPTO_OUT_OF_HOURS_FORCE_IMMEDIATE_COUNT,
        "CRYPTO_OUT_OF_HOURS_FORCE_COUNT",
        rules.count(0, 1000),
        policy=True,
    )
    crypto_out_of_hours_tolerance_pct: float = _setting(
        CRYPTO_OUT_OF_HOURS_TOLERANCE_PCT,
        "CRYPTO_OUT_OF_HOURS_TOLERANCE",
        rules.fraction(),
        policy=True,
    )
    crypto_normal_tolerance_pct: float = _setting(
        CRYPTO_NORMAL_TOLERANCE_PCT, "CRYPTO_NORMAL_TOLERANCE", rules.fraction(), policy=True
    )
    tight_tolerance_pct: float = _setting(
        BEST_ORDERS_TIGHT_TOLERANCE_PCT,
        "BEST_ORDERS_TIGHT_TOLERANCE",
        rules.fraction(),
        policy=True,
    )
    crypto_symbols: frozenset[str] = _setting(
        frozenset({"BTCUSD", "ETHUSD", "UNIUSD"}),
        "CRYPTO_SYMBOLS",
        rules.crypto_symbols(),
        policy=True,
    )

    # The protocol's times and bounds (PROTOCOL.md).
    reserve_seconds: float = _setting(30.0, "STEALER_RESERVE_SECONDS", rules.seconds(), policy=True)
    trust_seconds: float = _setting(10.0, "STEALER_TRUST_SECONDS", rules.seconds(), policy=True)
    orphan_seconds: float = _setting(120.0, "STEALER_ORPHAN_SECONDS", rules.seconds(), policy=True)
    account_stale_seconds: float = _setting(
        15.0, "STEALER_ACCOUNT_STALE_SECONDS", rules.seconds(), policy=True
    )
    #: How long positions may lag behind fills at the broker: a snapshot reads them that much later
    #: than the orders, and fills younger than this when it begins are not absorbed by it.
    position_lag_seconds: float = _setting(
        2.0, "STEALER_POSITION_LAG_SECONDS", rules.seconds(), policy=True
    )
    quote_stale_seconds: float = _setting(
        15.0, "STEALER_QUOTE_STALE_SECONDS", rules.seconds(), policy=True
    )
    waiter_seconds: float = _setting(10.0, "STEALER_WAITER_SECONDS", rules.seconds(), policy=True)
    quarantine_seconds: float = _setting(
        30.0, "STEALER_QUARANTINE_SECONDS", rules.seconds(), policy=True
    )
    max_candidates: int = _setting(
        2000, "STEALER_MAX_CANDIDATES", rules.count(1, 1_000_000), policy=True
    )
    short_sale_margin_pct: float = _setting(
        0.03, "STEALER_SHORT_SALE_MARGIN", rules.fraction(), policy=True
    )
    #: What the broker takes of a crypto fill, out of what is received (ALPACA.md: 25 bps).
    crypto_fee_pct: float = _setting(
        0.0025, "STEALER_CRYPTO_FEE_PCT", rules.fraction(), policy=True
    )
    #: Least and largest value of one order, in dollars; a largest of 0 is none.
    min_stock_order: float = _setting(1.0, "STEALER_MIN_STOCK_ORDER", rules.dollars(), policy=True)
    min_crypto_order: float = _setting(
        10.0, "STEALER_MIN_CRYPTO_ORDER", rules.dollars(), policy=True
    )
    max_stock_order: float = _setting(0.0, "STEALER_MAX_STOCK_ORDER", rules.dollars(), policy=True)
    max_crypto_order: float = _setting(
        200_000.0, "STEALER_MAX_CRYPTO_ORDER", rules.dollars(), policy=True
    )
    base_figure: str = _setting(
        "equity", "STEALER_BASE_FIGURE", rules.one_of("equity", "last_equity", "cash"), policy=True
    )
    market_clock: str = _setting(
        "system", "STEALER_MARKET_CLOCK", rules.market_clock(), policy=True
    )

    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name, spec in _specs():
            value = getattr(self, name)
            try:
                canonical = spec.rule.check(value)
            except (ValueError, TypeError):
                raise _not_allowed(f"{name} ({spec.env})", value, spec) from None
            object.__setattr__(self, name, canonical)
        self._check_together()

    def _check_together(self) -> None:
        """Rules between settings. Raises SettingsError."""
        if self.http_budget_seconds <= 0:
            raise SettingsError(
                f"STEALER_QUARANTINE_SECONDS={self.quarantine_seconds:g} is not allowed: "
                f"it must be more than STEALER_TRUST_SECONDS ({self.trust_seconds:g}) and "
                f"STEALER_ACCOUNT_STALE_SECONDS ({self.account_stale_seconds:g}) together, "
                "or a late order outlives it"
            )
        if self.position_lag_seconds >= self.account_stale_seconds:
            raise SettingsError(
                f"STEALER_POSITION_LAG_SECONDS={self.position_lag_seconds:g} is not allowed: it "
                f"must be less than STEALER_ACCOUNT_STALE_SECONDS={self.account_stale_seconds:g}, "
                "or every snapshot is stale when it is published"
            )
        for kind in ("stock", "crypto"):
            least, most = getattr(self, f"min_{kind}_order"), getattr(self, f"max_{kind}_order")
            if 0 < most < least:
                raise SettingsError(
                    f"STEALER_MAX_{kind.upper()}_ORDER={most:g} is not allowed: it must be 0 "
                    f"(none) or at least STEALER_MIN_{kind.upper()}_ORDER={least:g}"
                )
        self._check_redis()
        if self.is_live and self.account == "paper":
            raise SettingsError(
                "STEALER_ACCOUNT='paper' is not allowed with STEALER_TRADING=live: "
                "give the live account a name of its own, so that it shares no ledger with paper"
            )
        if not self.is_live and urlsplit(self.alpaca_url).hostname == LIVE_TRADING_HOST:
            raise SettingsError(
                f"ALPACA_URL={self.alpaca_url!r} is not allowed with STEALER_TRADING=paper: "
                "it is the live trading address; ask for live trading with STEALER_TRADING=live"
            )

    def _check_redis(self) -> None:
        """Rules between the settings of the connection. Raises SettingsError."""
        parts = urlsplit(self.redis_url)
        if self.redis_password and parts.password:
            raise SettingsError(
                "REDIS_URL and REDIS_PASSWORD both hold a password: take it out of REDIS_URL"
            )
        if self.redis_ca_file and parts.scheme != "rediss":
            raise SettingsError(
                f"REDIS_CA_FILE={self.redis_ca_file!r} is not allowed with a REDIS_URL of "
                f"{parts.scheme}://, which is not encrypted: write rediss://"
            )
        if bool(self.redis_cert_file) != bool(self.redis_key_file):
            raise SettingsError(
                "REDIS_CERT_FILE and REDIS_KEY_FILE belong together: one is not allowed without "
                "the other"
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Settings from *environ* (the process's own by default).

        An override wins over the environment; one that is None is as if not given, so that a
        command can pass its options on. An empty variable counts as unset. A secret may be in a
        file instead, whose path is in the variable with `_FILE` behind its name.

        Raises SettingsError for a bad value and TypeError for an override that is no setting.
        """
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in overrides.items() if value is not None}
        for name, spec in _specs():
            if name in given:
                continue
            try:
                text = (secret_text if spec.secret else _plain_text)(environ, spec.env)
            except ValueError as error:
                raise SettingsError(str(error)) from None
            if not text.strip():
                continue
            try:
                given[name] = spec.rule.read(text)
            except (ValueError, OverflowError):
                raise _not_allowed(spec.env, text, spec) from None
        warnings = (*given.pop("warnings", ()), *_probable_typos(environ))
        return cls(**given, warnings=warnings)

    @property
    def is_live(self) -> bool:
        """True when orders go to the live market. Only `STEALER_TRADING=live` makes it so."""
        return self.trading == "live"

    @property
    def clock(self) -> MarketClock:
        """The market's clock on the system's time."""
        return MarketClock.parse(self.market_clock)

    @property
    def http_budget_seconds(self) -> float:
        """The longest the broker's answer is waited for, so that no order outlives the quarantine.

        PROTOCOL.md: the quarantine is longer than trust, HTTP timeout and account staleness
        together.
        """
        return self.quarantine_seconds - self.trust_seconds - self.account_stale_seconds

    @property
    def redis_url_shown(self) -> str:
        """The Redis address without its password, for people and logs."""
        parts = urlsplit(self.redis_url)
        user, at, host = parts.netloc.rpartition("@")
        if at and ":" in user:
            user = f"{user.partition(':')[0]}:***"
        return parts._replace(netloc=f"{user}{at}{host}", query="", fragment="").geturl()

    def policy(self) -> dict[str, str]:
        """The settings that must be equal on all hosts of an account, as canonical text.

        Kept in Redis as a hash. Equal settings give equal text, however they were written. Where
        a process connects to, its keys and its dry run are its own business.
        """
        return {
            name: spec.rule.write(getattr(self, name)) for name, spec in _specs() if spec.policy
        }

    def scaled(self, speed: float) -> Settings:
        """These settings for a market *speed* times as fast: cooldowns and windows are shorter.

        Times about the real machines and network (trust, staleness, quarantine and the like) stay.

        Raises SettingsError when *speed* is not positive and finite.
        """
        if not (math.isfinite(speed) and speed > 0):
            raise SettingsError(f"speed={speed!r} is not allowed: give a positive, finite factor")

        def shorter(seconds: float) -> float:
            return max(seconds / speed, 0.001)

        return replace(
            self,
            cooldown_seconds=shorter(self.cooldown_seconds),
            fight_window_seconds=shorter(self.fight_window_seconds),
            fight_cooldown_seconds=shorter(self.fight_cooldown_seconds),
        )


def variables() -> dict[str, str]:
    """Every environment variable read here, with what it may be: for help pages and
    documentation.
    """
    return {spec.env: spec.rule.allowed for _, spec in _specs()}


def file_variables() -> list[str]:
    """The variables that may name a file with a secret instead of holding it."""
    return [file_variable(spec.env) for _, spec in _specs() if spec.secret]


def refuse_secret_option(redis_url: str | None) -> None:
    """An address from the command line may hold no password: ``ps`` shows it to everybody.

    Raises SettingsError.
    """
    if redis_url and "@" in redis_url and ":" in redis_url.rpartition("@")[0].partition("://")[2]:
        raise SettingsError(
            "--redis-url holds a password, which every user of this host can see in `ps`: "
            "give the password in REDIS_PASSWORD_FILE, REDIS_PASSWORD or REDIS_URL"
        )


def _specs() -> Iterator[tuple[str, _Spec]]:
    """Name and specification of each field that has a variable."""
    for entry in fields(Settings):
        if "spec" in entry.metadata:
            yield entry.name, entry.metadata["spec"]


def _plain_text(environ: Mapping[str, str], variable: str) -> str:
    return environ.get(variable, "")


def _not_allowed(label: str, value: object, spec: _Spec) -> SettingsError:
    # An address with a user in it may hold a password, also where none is allowed.
    holds_user = "://" in str(value) and "@" in str(value)
    shown = "(hidden)" if spec.secret or holds_user else repr(value)
    return SettingsError(f"{label}={shown} is not allowed: give {spec.rule.allowed}")


def _probable_typos(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that looks like one of the specification's and is none."""
    known = [spec.env for _, spec in _specs()]
    for name in sorted(environ):
        if not name.startswith(_SPECIFIED_PREFIXES) or name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield f"{name} is set, but there is no such setting{hint}"
