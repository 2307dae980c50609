"""Settings: the specification's table, its overrides, and what a bad value is answered with."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest

import stealer
from stealer import settings as module
from stealer.settings import Settings, SettingsError

#: DESIGN part 1, written down a second time on purpose: field, variable, default, constant.
TABLE: list[tuple[str, str, object, str]] = [
    (
        "crypto_out_of_hours_force_count",
        "CRYPTO_OUT_OF_HOURS_FORCE_COUNT",
        1,
        "CRYPTO_OUT_OF_HOURS_FORCE_IMMEDIATE_COUNT",
    ),
    (
        "crypto_out_of_hours_tolerance_pct",
        "CRYPTO_OUT_OF_HOURS_TOLERANCE",
        0.016,
        "CRYPTO_OUT_OF_HOURS_TOLERANCE_PCT",
    ),
    (
        "crypto_normal_tolerance_pct",
        "CRYPTO_NORMAL_TOLERANCE",
        0.0066,
        "CRYPTO_NORMAL_TOLERANCE_PCT",
    ),
    ("enabled", "WORK_STEALING_ENABLED", True, "WORK_STEALING_ENABLED"),
    ("entry_tolerance_pct", "WORK_STEALING_TOLERANCE", 0.003, "WORK_STEALING_ENTRY_TOLERANCE_PCT"),
    ("protection_pct", "WORK_STEALING_PROTECTION", 0.004, "WORK_STEALING_PROTECTION_PCT"),
    ("cooldown_seconds", "WORK_STEALING_COOLDOWN", 300.0, "WORK_STEALING_COOLDOWN_SECONDS"),
    ("dry_run", "WORK_STEALING_DRY_RUN", False, "WORK_STEALING_DRY_RUN"),
    (
        "tight_tolerance_pct",
        "BEST_ORDERS_TIGHT_TOLERANCE",
        0.005,
        "BEST_ORDERS_TIGHT_TOLERANCE_PCT",
    ),
    (
        "min_pnl_improvement",
        "WORK_STEALING_MIN_PNL_IMPROVEMENT",
        1.1,
        "WORK_STEALING_MIN_PNL_IMPROVEMENT",
    ),
    ("fight_threshold", "WORK_STEALING_FIGHT_THRESHOLD", 3, "WORK_STEALING_FIGHT_THRESHOLD"),
    (
        "fight_window_seconds",
        "WORK_STEALING_FIGHT_WINDOW",
        1800.0,
        "WORK_STEALING_FIGHT_WINDOW_SECONDS",
    ),
    (
        "fight_cooldown_seconds",
        "WORK_STEALING_FIGHT_COOLDOWN",
        1800.0,
        "WORK_STEALING_FIGHT_COOLDOWN_SECONDS",
    ),
    (
        "max_concurrent_orders",
        "WORK_STEALING_MAX_CONCURRENT_ORDERS",
        4,
        "WORK_STEALING_MAX_CONCURRENT_ORDERS",
    ),
    ("leverage", "WORK_STEALING_LEVERAGE", 2.0, "WORK_STEALING_LEVERAGE"),
]

FRACTIONS = [
    "CRYPTO_OUT_OF_HOURS_TOLERANCE",
    "CRYPTO_NORMAL_TOLERANCE",
    "WORK_STEALING_TOLERANCE",
    "WORK_STEALING_PROTECTION",
    "BEST_ORDERS_TIGHT_TOLERANCE",
    "STEALER_SHORT_SALE_MARGIN",
    "STEALER_CRYPTO_FEE_PCT",
]
SPANS = [
    "WORK_STEALING_COOLDOWN",
    "WORK_STEALING_FIGHT_WINDOW",
    "WORK_STEALING_FIGHT_COOLDOWN",
    "STEALER_RESERVE_SECONDS",
    "STEALER_TRUST_SECONDS",
    "STEALER_ORPHAN_SECONDS",
    "STEALER_ACCOUNT_STALE_SECONDS",
    "STEALER_QUOTE_STALE_SECONDS",
    "STEALER_WAITER_SECONDS",
    "STEALER_QUARANTINE_SECONDS",
]
COUNTS = [
    "CRYPTO_OUT_OF_HOURS_FORCE_COUNT",
    "WORK_STEALING_FIGHT_THRESHOLD",
    "WORK_STEALING_MAX_CONCURRENT_ORDERS",
    "STEALER_MAX_CANDIDATES",
]


@pytest.mark.parametrize(("name", "variable", "default", "constant"), TABLE)
def test_each_constant_has_the_specified_default_and_name(
    name: str, variable: str, default: object, constant: str
) -> None:
    assert getattr(Settings(), name) == default
    assert getattr(module, constant) == default
    assert variable in module.variables()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("CRYPTO_OUT_OF_HOURS_FORCE_COUNT", "2", "crypto_out_of_hours_force_count", 2),
        ("CRYPTO_OUT_OF_HOURS_TOLERANCE", "0.02", "crypto_out_of_hours_tolerance_pct", 0.02),
        ("CRYPTO_NORMAL_TOLERANCE", "0.007", "crypto_normal_tolerance_pct", 0.007),
        ("WORK_STEALING_ENABLED", "0", "enabled", False),
        ("WORK_STEALING_TOLERANCE", "0.001", "entry_tolerance_pct", 0.001),
        ("WORK_STEALING_PROTECTION", "0", "protection_pct", 0.0),
        ("WORK_STEALING_COOLDOWN", "60", "cooldown_seconds", 60.0),
        ("WORK_STEALING_DRY_RUN", "yes", "dry_run", True),
        ("BEST_ORDERS_TIGHT_TOLERANCE", "5e-3", "tight_tolerance_pct", 0.005),
        ("WORK_STEALING_MIN_PNL_IMPROVEMENT", "1.25", "min_pnl_improvement", 1.25),
        ("WORK_STEALING_FIGHT_THRESHOLD", "5", "fight_threshold", 5),
        ("WORK_STEALING_FIGHT_WINDOW", "900", "fight_window_seconds", 900.0),
        ("WORK_STEALING_FIGHT_COOLDOWN", "3600", "fight_cooldown_seconds", 3600.0),
        ("WORK_STEALING_MAX_CONCURRENT_ORDERS", " 8 ", "max_concurrent_orders", 8),
        ("WORK_STEALING_LEVERAGE", "1", "leverage", 1.0),
        ("STEALER_BASE_FIGURE", "cash", "base_figure", "cash"),
        ("STEALER_CRYPTO_FEE_PCT", "0.0015", "crypto_fee_pct", 0.0015),
        ("STEALER_MIN_STOCK_ORDER", "5", "min_stock_order", 5.0),
        ("STEALER_MIN_CRYPTO_ORDER", "0", "min_crypto_order", 0.0),
        ("STEALER_MAX_STOCK_ORDER", "1e5", "max_stock_order", 100_000.0),
        ("STEALER_MAX_CRYPTO_ORDER", "0", "max_crypto_order", 0.0),
        ("STEALER_ACCOUNT", "desk_7", "account", "desk_7"),
        ("REDIS_URL", "rediss://u:p@redis.internal:6380/2", "redis_url", None),
        ("ALPACA_URL", "http://127.0.0.1:8080", "alpaca_url", None),
    ],
)
def test_environment_overrides_each_setting(
    variable: str, text: str, name: str, value: object
) -> None:
    settings = Settings.from_env({variable: text})
    assert getattr(settings, name) == (text if value is None else value)
    assert settings.warnings == ()


def test_every_field_has_exactly_one_variable() -> None:
    names = [entry.name for entry in fields(Settings) if entry.name != "warnings"]
    assert len(module.variables()) == len(names)


def test_an_override_beats_the_environment_and_none_is_no_override() -> None:
    environ = {"WORK_STEALING_COOLDOWN": "60", "WORK_STEALING_LEVERAGE": "1.5"}
    settings = Settings.from_env(environ, cooldown_seconds=7, leverage=None)
    assert (settings.cooldown_seconds, settings.leverage) == (7.0, 1.5)


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_env({"WORK_STEALING_COOLDOWN": " "}) == Settings()


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(TypeError, match="cooldown"):
        Settings.from_env({}, cooldown=3)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "abc", "1e999", "0x10", "1,5"])
@pytest.mark.parametrize("variable", [*FRACTIONS, *SPANS, *COUNTS, "WORK_STEALING_LEVERAGE"])
def test_a_bad_number_names_variable_value_and_what_is_allowed(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: text})
    message = str(caught.value)
    assert message.startswith(f"{variable}={text!r} is not allowed: give ")
    assert message.endswith(module.variables()[variable])


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *((variable, "0.66") for variable in FRACTIONS),  # meant as percent
        *((variable, "0") for variable in SPANS),  # Redis knows no life time of zero
        *((variable, "1.5") for variable in COUNTS),
        ("WORK_STEALING_ENABLED", "2"),
        ("WORK_STEALING_DRY_RUN", "maybe"),
        ("WORK_STEALING_MIN_PNL_IMPROVEMENT", "0.9"),
        ("WORK_STEALING_FIGHT_THRESHOLD", "0"),
        ("WORK_STEALING_LEVERAGE", "0"),
        ("WORK_STEALING_LEVERAGE", "5"),
        ("CRYPTO_SYMBOLS", "BTC,€"),
        ("STEALER_BASE_FIGURE", "buying_power"),
        ("STEALER_ACCOUNT", "a{b}"),
        ("STEALER_TRADING", "real"),
        ("STEALER_MARKET_CLOCK", "2024-01-05T20:00:00@1*600"),  # no zone
        ("STEALER_MARKET_CLOCK", "2024-01-05T20:00:00Z@1*0"),
        ("ALPACA_URL", "ftp://x"),
        ("ALPACA_URL", "http://x:y"),
    ],
)
def test_a_value_out_of_range_names_variable_value_and_what_is_allowed(
    variable: str, text: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: text})
    assert str(caught.value) == (
        f"{variable}={text!r} is not allowed: give {module.variables()[variable]}"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cooldown_seconds", math.nan),
        ("cooldown_seconds", math.inf),
        ("cooldown_seconds", -1),
        ("cooldown_seconds", True),
        ("cooldown_seconds", "300"),
        ("leverage", 10**400),
        ("max_concurrent_orders", 4.0),
        ("max_concurrent_orders", True),
        ("enabled", 1),
        ("crypto_symbols", "BTC"),
        ("account", None),
        ("market_clock", 3),
    ],
)
def test_the_constructor_checks_the_same_way(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(SettingsError, match=rf"^{name} \(\w+\)=.* is not allowed: give "):
        Settings(**given)


@pytest.mark.parametrize(
    "text", ["BTC,ETH,UNI", "btc/usd, eth-usd ,UNIUSD,", "BTC,BTC/USD,ETH,UNI"]
)
def test_crypto_symbols_have_one_form(text: str) -> None:
    settings = Settings.from_env({"CRYPTO_SYMBOLS": text})
    assert settings.crypto_symbols == {"BTCUSD", "ETHUSD", "UNIUSD"}
    assert settings == Settings()


def test_no_crypto_at_all_must_be_said() -> None:
    settings = Settings.from_env({"CRYPTO_SYMBOLS": "none"})
    assert settings.crypto_symbols == frozenset()
    assert settings.policy()["crypto_symbols"] == "none"


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("WORK_STEALING_COOLDOWN_SECONDS", "WORK_STEALING_COOLDOWN"),
        ("WORK_STEALING_DRYRUN", "WORK_STEALING_DRY_RUN"),
        ("BEST_ORDERS_TIGHT_TOLERANCE_PCT", "BEST_ORDERS_TIGHT_TOLERANCE"),
        ("CRYPTO_NORMAL_TOLERANCE_PCT", "CRYPTO_NORMAL_TOLERANCE"),
    ],
)
def test_an_unknown_variable_is_reported_as_a_typo(typo: str, meant: str) -> None:
    settings = Settings.from_env({typo: "1", "HOME": "/", "CRYPTO_WALLET": "x"})
    assert settings.warnings == (
        f"{typo} is set, but there is no such setting; did you mean {meant}?",
    )
    assert settings == Settings()


def test_secrets_show_neither_in_repr_nor_in_errors() -> None:
    environ = {
        "APCA_API_KEY_ID": "KEY-s3cret",
        "APCA_API_SECRET_KEY": "s3cret",
        "REDIS_URL": "redis://user:s3cret@host:1/0?password=s3cret",
    }
    settings = Settings.from_env(environ)
    assert settings.alpaca_secret_key == "s3cret"
    assert "s3cret" not in repr(settings) + str(settings.policy()) + settings.redis_url_shown
    assert settings.redis_url_shown == "redis://user:***@host:1/0"
    for variable in environ:
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({variable: "http://s3cret s3cret"})
        assert "s3cret" not in str(caught.value)
        assert caught.value.__suppress_context__  # nor in a traceback


def test_trading_is_paper_unless_live_is_asked_for_in_so_many_words() -> None:
    assert not Settings().is_live
    assert Settings.from_env({"STEALER_TRADING": "live", "STEALER_ACCOUNT": "main"}).is_live


def test_a_live_account_needs_a_name_of_its_own() -> None:
    with pytest.raises(SettingsError, match="STEALER_ACCOUNT='paper'"):
        Settings(trading="live")


@pytest.mark.parametrize("url", ["https://api.alpaca.markets", "https://API.alpaca.markets:443/v2"])
def test_paper_trading_refuses_the_live_address(url: str) -> None:
    with pytest.raises(SettingsError, match="STEALER_TRADING=live"):
        Settings(alpaca_url=url)
    assert Settings(alpaca_url=url, trading="live", account="main").is_live


def test_the_quarantine_must_outlast_trust_and_a_stale_account() -> None:
    assert Settings().http_budget_seconds == 5.0
    with pytest.raises(SettingsError, match="STEALER_QUARANTINE_SECONDS=25 is not allowed"):
        Settings(quarantine_seconds=25)


@pytest.mark.parametrize("kind", ["stock", "crypto"])
def test_the_largest_order_is_none_or_not_below_the_least(kind: str) -> None:
    variables = (f"STEALER_MIN_{kind.upper()}_ORDER", f"STEALER_MAX_{kind.upper()}_ORDER")
    with pytest.raises(SettingsError, match=f"{variables[1]}=49 is not allowed"):
        Settings.from_env(dict(zip(variables, ("50", "49"), strict=True)))
    for most in ("50", "0"):
        given = Settings.from_env(dict(zip(variables, ("50", most), strict=True)))
        assert getattr(given, f"min_{kind}_order") == 50


@pytest.mark.parametrize("text", ["-1", "nan", "1e10", "ten"])
def test_the_value_of_an_order_is_in_dollars(text: str) -> None:
    with pytest.raises(SettingsError, match="give dollars, from 0 to 1000000000"):
        Settings.from_env({"STEALER_MIN_STOCK_ORDER": text})


def test_policy_is_equal_text_for_equal_settings() -> None:
    written = Settings.from_env({"WORK_STEALING_COOLDOWN": "3e2", "CRYPTO_SYMBOLS": "UNI,ETH,BTC"})
    policy = written.policy()
    assert policy == Settings(cooldown_seconds=300).policy()
    assert policy["cooldown_seconds"] == "300"
    assert policy["enabled"] == "1"
    assert policy["crypto_symbols"] == "BTCUSD,ETHUSD,UNIUSD"
    assert policy["market_clock"] == "system"
    assert {name for name, *_ in TABLE} - policy.keys() == {"dry_run"}


def test_policy_leaves_out_what_is_a_processs_own() -> None:
    own: dict[str, Any] = {
        "account": "a",
        "redis_url": "redis://elsewhere",
        "dry_run": True,
        "alpaca_key_id": "k",
        "alpaca_secret_key": "s",
        "alpaca_url": "http://127.0.0.1:1",
        "alpaca_data_url": "http://127.0.0.1:2",
    }
    assert Settings(**own).policy() == Settings().policy()


def test_each_policy_setting_changes_the_policy() -> None:
    assert replace(Settings(), leverage=1.9).policy() != Settings().policy()
    assert replace(Settings(), entry_tolerance_pct=0.0030001).policy() != Settings().policy()


def test_scaled_shortens_cooldowns_and_windows_only() -> None:
    fast = Settings(warnings=("kept",)).scaled(600)
    assert (fast.cooldown_seconds, fast.fight_window_seconds) == (0.5, 3.0)
    assert fast.fight_cooldown_seconds == 3.0
    assert fast.warnings == ("kept",)
    back = replace(
        fast,
        cooldown_seconds=300.0,
        fight_window_seconds=1800.0,
        fight_cooldown_seconds=1800.0,
    )
    assert back == Settings()
    assert Settings().scaled(1e9).cooldown_seconds == 0.001


@pytest.mark.parametrize("speed", [0, -1, math.nan, math.inf])
def test_scaled_refuses_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(SettingsError, match="speed"):
        Settings().scaled(speed)


def test_the_clock_of_a_replay_comes_from_the_environment() -> None:
    text = "2024-01-05T20:00:00Z@1795373549.5*600"
    settings = Settings.from_env({"STEALER_MARKET_CLOCK": text})
    assert settings.clock.speed == 600
    assert settings.policy()["market_clock"] == text


def test_the_package_exports_settings_lazily() -> None:
    assert stealer.Settings is Settings
    assert "WorkStealingCoordinator" in dir(stealer)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = stealer.nonsense
