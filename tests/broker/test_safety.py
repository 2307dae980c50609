"""Paper unless asked in so many words; keys in no message; light imports; processes and forks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stealer.broker import alpaca, client, interface, transport
from stealer.broker.alpaca import AlpacaBroker
from stealer.broker.endpoints import DATA_URL, LIVE_URL, PAPER_URL, choose_endpoints

from .conftest import CRYPTO, KEY, ORDER_ID, SECRET, account_json, make_broker, new_order
from .scripted_server import Reply, ScriptedServer

SIMULATOR = "http://127.0.0.1:8000"


def test_the_default_is_paper() -> None:
    ends = choose_endpoints(False, None, None)
    assert (ends.trading_url, ends.data_url, ends.live) == (PAPER_URL, DATA_URL, False)


def test_live_is_possible_when_asked_for() -> None:
    assert choose_endpoints(True, None, None).trading_url == LIVE_URL


def test_a_simulator_serves_market_data_too_unless_told_otherwise() -> None:
    assert choose_endpoints(False, SIMULATOR + "/", None).data_url == SIMULATOR
    assert choose_endpoints(False, SIMULATOR, DATA_URL).data_url == DATA_URL


@pytest.mark.parametrize(
    "url",
    [
        LIVE_URL,
        LIVE_URL + "/",
        "https://API.alpaca.markets",
        "https://api.alpaca.markets.",
        "https://api.alpaca.markets:443",
        "https://broker-api.alpaca.markets",
        "https://anything.alpaca.markets",
    ],
)
def test_a_live_address_without_live_is_refused_loudly(url: str) -> None:
    with pytest.raises(interface.BrokerMisconfigured, match="would trade real money"):
        AlpacaBroker(KEY, SECRET, crypto_symbols=CRYPTO, trading_url=url)


@pytest.mark.parametrize(
    ("live", "url", "part"),
    [
        (True, PAPER_URL, "is the paper server"),
        (True, "http://broker.example", "needs https"),
        (False, "http://paper-api.alpaca.markets", "unencrypted"),
        (False, PAPER_URL + "/v2", "without version"),
        (False, "paper-api.alpaca.markets", "not an http"),
        (False, "ftp://127.0.0.1", "not an http"),
        (False, "http://127.0.0.1:port", "not an address"),
        (False, f"http://{KEY}:{SECRET}@127.0.0.1", "keys do not belong"),
    ],
)
def test_addresses_that_cannot_be_right_are_refused(live: bool, url: str, part: str) -> None:
    with pytest.raises(interface.BrokerMisconfigured, match=part) as caught:
        choose_endpoints(live, url, None)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("key", "secret"), [("", SECRET), (KEY, "")])
def test_missing_keys_are_refused(key: str, secret: str) -> None:
    with pytest.raises(interface.BrokerMisconfigured, match="both the key id and the secret"):
        AlpacaBroker(key, secret, crypto_symbols=CRYPTO)


def test_keys_reach_the_broker_and_nothing_else(
    server: ScriptedServer,
    broker: AlpacaBroker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"who is {KEY} with {SECRET}?"
    shown: list[str] = [repr(broker), repr(broker._client), repr(broker._client._clean)]
    server.on("POST /v2/orders", Reply(403, {"code": 40310000, "message": echo}), Reply(500, echo))
    server.on(f"DELETE /v2/orders/{ORDER_ID}", Reply(500, echo))
    server.on("GET /v2/account", Reply(401, {"message": echo}))
    server.on("GET /v2/positions", Reply(500, echo))
    shown += [repr(broker.submit(new_order())), repr(broker.submit(new_order()))]
    shown.append(repr(broker.cancel(ORDER_ID)))
    for read in (broker.account, broker.positions):
        with pytest.raises(interface.BrokerError) as caught:
            read()
        shown.append(str(caught.getrepr(style="long", chain=True)))
    assert all(seen.headers["apca-api-secret-key"] == SECRET for seen in server.seen)
    text = "\n".join([*shown, caplog.text])
    assert KEY not in text.replace("conftest", "")
    assert SECRET not in text


def test_a_long_error_page_becomes_one_short_line(
    server: ScriptedServer, broker: AlpacaBroker
) -> None:
    server.on("GET /v2/account", Reply(500, "<html>\n" + "words " * 10_000))
    with pytest.raises(interface.BrokerUnavailable) as caught:
        broker.account()
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "module",
    ["interface", "symbols", "convert", "answers", "endpoints", "outcomes"],
)
def test_what_decides_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, stealer.broker.{module}\n"
        "heavy = {'alpaca', 'pandas', 'requests', 'urllib3', 'tenacity'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_edge_is_made_without_alpaca_py() -> None:
    code = (
        "import sys\n"
        "from stealer.broker.alpaca import AlpacaBroker\n"
        "AlpacaBroker('k', 's', crypto_symbols=frozenset())\n"
        "sys.exit('alpaca' in sys.modules or 'pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_call_of_every_client_is_bounded_and_unrepeated(broker: AlpacaBroker) -> None:
    clients = broker._client.clients()
    for made in (clients.trading, clients.stocks, clients.crypto):
        assert made._retry == 0
        for scheme in ("http://x", "https://x"):
            adapter = made._session.get_adapter(scheme)
            assert isinstance(adapter, transport.BoundedAdapter)
            assert adapter.max_retries.total == 0


def test_an_alpaca_py_built_differently_is_refused() -> None:
    class Changed:
        _session = object()

    with pytest.raises(interface.BrokerMisconfigured, match="built differently"):
        client._harden(Changed(), SIMULATOR, alpaca.DEFAULT_TIMEOUTS)  # type: ignore[arg-type]


def test_a_forked_child_opens_connections_of_its_own(
    server: ScriptedServer, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET /v2/account", Reply(200, account_json()))
    broker.account()
    before = broker._client.clients()
    monkeypatch.setattr(os, "getpid", lambda: before.pid + 1)
    after = broker._client.clients()
    assert after.trading is not before.trading
    broker.account()
    for made in (before.trading, before.stocks, before.crypto):
        made._session.close()
    broker.close()


def test_no_password_of_a_netrc_file_is_sent(
    server: ScriptedServer,
    broker: AlpacaBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """requests would look for one at every call, and send that of a default entry."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password elsewhere\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("GET /v2/account", Reply(200, account_json()))
    broker.account()
    headers = server.seen[0].headers
    assert headers["apca-api-key-id"] == KEY
    assert "authorization" not in headers


def test_proxies_and_certificates_of_the_environment_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.touch()
    monkeypatch.setenv("https_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    edge = AlpacaBroker(KEY, SECRET, crypto_symbols=CRYPTO)
    for made in ("trading", "stocks", "crypto"):
        session = getattr(edge._client.clients(), made)._session
        assert session.proxies["https"] == "http://192.0.2.1:3128"
        assert session.verify == str(bundle)


def test_threads_do_not_mix_their_calls(server: ScriptedServer, sleeps: list[float]) -> None:
    """One thread's answered call must not make another's unsent order look sent."""
    server.on("GET /v2/account", Reply(200, account_json()))
    edge = make_broker(server.url, sleeps)
    edge.account()
    outcomes: list[str] = []

    def refuse() -> None:
        for _ in range(20):
            result = edge.submit(new_order(), _refusing_guard)
            outcomes.append(str(result.outcome))

    threads = [threading.Thread(target=refuse)]
    threads += [
        threading.Thread(target=lambda: [edge.account() for _ in range(20)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["denied"] * 20
    assert server.count("POST /v2/orders") == 0
    edge.close()


def _refusing_guard() -> AbstractContextManager[object]:
    raise RuntimeError("no")


def test_the_edge_is_a_broker(broker: AlpacaBroker) -> None:
    kept: interface.Broker = broker
    assert kept is broker
