"""What users type wrong and what they find broken: one clear sentence, a documented exit code, no
traceback, and nothing charged.
"""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from stealer.embedded import EmbeddedServer
from tests.conftest import FAST
from tests.coordination.desk import Desk

pytestmark = [pytest.mark.processes, pytest.mark.real_server]

#: Keys that look right, and a broker's address where nobody listens: nothing leaves this machine.
KEYS = {
    "APCA_API_KEY_ID": "key",
    "APCA_API_SECRET_KEY": "secret",
    "ALPACA_URL": "http://127.0.0.1:9",
}

#: The password in every address here; it must never be shown.
SECRET = "hunter2"

Result = subprocess.CompletedProcess[str]


def run(module: str, *arguments: str, **environment: str) -> Result:
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "HOME")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=keep | KEYS | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def watcher(*arguments: str, **environment: str) -> Result:
    """``watchers open-position`` with good options first, so that later ones replace them."""
    good = ("--limit-price", "100", "--target-qty", "1", "--poll-seconds", "0.1")
    return run("watchers", "open-position", *good, *arguments, **environment)


def documented(module: str) -> set[int]:
    """Exit codes that ``--help`` explains."""
    text = run(module, "--help").stdout
    described = text[text.index("Exit codes:") :]
    return {int(code) for code in re.findall(r"(?<!\S)(\d)\s+[A-Za-z]", described)}


@pytest.fixture(scope="module")
def codes() -> dict[str, set[int]]:
    return {module: documented(module) for module in ("stealer.cli", "watchers")}


def assert_said(result: Result, code: int, word: str, allowed: set[int]) -> None:
    said = result.stderr
    assert result.returncode == code, result
    assert code in allowed, f"--help does not explain {code}: {allowed}"
    assert "Traceback" not in said + result.stdout
    assert SECRET not in said + result.stdout
    sentences = [line for line in said.splitlines() if re.match(r"(watchers|stealer|Error):", line)]
    assert len(sentences) == 1, said
    assert word.lower() in sentences[0].lower(), said


def nothing_charged(server: EmbeddedServer, password: str | None = None) -> None:
    with redis.Redis(port=server.port, password=password, decode_responses=True) as client:
        desk = Desk(client)
        assert desk.coordinator.claim_ids() == []
        assert (desk.charged(), desk.charged("crypto")) == (0, 0)


@pytest.fixture
def ready(redis_server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """A certified account with a quote, on which a good intent would be granted at once."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        client.flushall()
        desk = Desk(client).open_shop()
        for symbol in ("AAPL", "BTCUSD"):
            desk.market(symbol)
        yield redis_server
    nothing_charged(redis_server)


BAD_ENTRIES = [
    (("AA PL",), "symbol"),
    (("DOGE/USD",), "symbol"),
    (("",), "symbol"),
    (("AAPL", "--target-qty", "-1"), "qty"),
    (("AAPL", "--target-qty", "NaN"), "qty"),
    (("AAPL", "--target-qty", "1e400"), "qty"),
    (("AAPL", "--limit-price", "0"), "limit_price"),
    (("AAPL", "--limit-price", "inf"), "limit_price"),
    (("AAPL", "--limit-price", "a lot"), "limit_price"),
    (("AAPL", "--target-qty", "1e12", "--limit-price", "1e12"), "largest"),
    (("AAPL", "--forecast-pnl", "nan"), "pnl"),
    (("AAPL", "--strategy", "max diff"), "strategy"),
    (("AAPL", "--poll-seconds", "nan"), "poll"),
    (("AAPL", "--expiry-minutes", "-1"), "expiry"),
    (("AAPL", "--tolerance-pct", "2"), "tolerance"),
    (("AAPL", "--side", "long"), "side"),
    (("AAPL", "--mode", "fast"), "mode"),
]


def test_values_no_order_can_have(ready: EmbeddedServer, codes: dict[str, set[int]]) -> None:
    def attempt(arguments: tuple[str, ...]) -> Result:
        return watcher(*arguments, REDIS_URL=ready.url)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(attempt, [arguments for arguments, _ in BAD_ENTRIES]))
    for result, (_, word) in zip(results, BAD_ENTRIES, strict=True):
        assert_said(result, 2, word, codes["watchers"])


def test_a_short_sale_of_crypto_is_refused_at_the_start(
    ready: EmbeddedServer, codes: dict[str, set[int]]
) -> None:
    short = ("BTC/USD", "--side", "sell", "--expiry-minutes", "0.02")

    assert_said(watcher(*short, REDIS_URL=ready.url), 2, "short", codes["watchers"])


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ("[[entry]\n", "TOML"),
        ("", "entry"),
        ('[[entry]]\nsymbol = "AAPL"\ntarget_qty = 1\n', "limit_price is missing"),
        ('[[entry]]\nsymbol = "AAPL"\ntarget_qty = nan\nlimit_price = 1\n', "target_qty"),
        (None, "cannot be read"),
    ],
)
def test_a_plan_that_is_none(
    tmp_path: Path, ready: EmbeddedServer, codes: dict[str, set[int]], plan: str | None, word: str
) -> None:
    path = tmp_path / "plan.toml"
    if plan is not None:
        path.write_text(plan)

    assert_said(run("watchers", "run", str(path), REDIS_URL=ready.url), 2, word, codes["watchers"])


def test_missing_keys(ready: EmbeddedServer, codes: dict[str, set[int]]) -> None:
    none = {"APCA_API_KEY_ID": "", "APCA_API_SECRET_KEY": ""}

    as_watcher = watcher("AAPL", REDIS_URL=ready.url, **none)
    as_keeper = run("stealer.cli", "keeper", "--once", REDIS_URL=ready.url, **none)

    assert_said(as_watcher, 4, "keys", codes["watchers"])
    assert_said(as_keeper, 2, "keys", codes["stealer.cli"])


def test_redis_down(codes: dict[str, set[int]]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://:{SECRET}@127.0.0.1:{nobody.getsockname()[1]}/0"
        as_watcher = watcher("AAPL", REDIS_URL=url)
        as_keeper = run("stealer.cli", "keeper", "--once", REDIS_URL=url)

    assert_said(as_watcher, 3, "cannot be reached", codes["watchers"])
    assert_said(as_keeper, 3, "cannot be reached", codes["stealer.cli"])


def test_a_wrong_password_and_a_user_without_scripting(
    tmp_path: Path, codes: dict[str, set[int]]
) -> None:
    with EmbeddedServer.start(tmp_path, extra=(*FAST, "--requirepass", "right")) as server:
        with redis.Redis(port=server.port, password="right") as client:
            client.acl_setuser(
                "reader", enabled=True, passwords=[f"+{SECRET}"], keys=["*"],
                categories=["+@all", "-@scripting"],
            )  # fmt: skip
        wrong = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
        unable = f"redis://reader:{SECRET}@127.0.0.1:{server.port}/0"
        for url, word in ((wrong, "password"), (unable, "right")):
            assert_said(watcher("AAPL", REDIS_URL=url), 3, word, codes["watchers"])
            keeper = run("stealer.cli", "keeper", "--once", REDIS_URL=url)
            assert_said(keeper, 3, word, codes["stealer.cli"])
        nothing_charged(server, "right")


# ---- a broker that is no broker: watchers and keeper go on, say why, and hold nothing


class _Html(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html><body>Welcome to our proxy</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(params=["down", "html"])
def no_broker(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "down":
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{nobody.getsockname()[1]}"
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Html) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_watcher_without_a_broker_waits_says_so_and_reserves_nothing(
    ready: EmbeddedServer, no_broker: str, codes: dict[str, set[int]]
) -> None:
    expires = ("--expiry-minutes", "0.05")

    result = watcher("AAPL", *expires, REDIS_URL=ready.url, ALPACA_URL=no_broker)

    assert result.returncode == 1
    assert 1 in codes["watchers"]
    assert "blocked (broker)" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_keeper_without_a_broker_says_so_and_publishes_nothing(
    ready: EmbeddedServer, no_broker: str
) -> None:
    with redis.Redis.from_url(ready.url, decode_responses=True) as client:
        desk = Desk(client)
        before = desk.figure("account_ms")

        result = run("stealer.cli", "keeper", "--once", REDIS_URL=ready.url, ALPACA_URL=no_broker)

        assert "Traceback" not in result.stderr
        assert result.stderr.count("account: ") == 1, result.stderr
        assert "broker" in result.stderr
        assert desk.figure("account_ms") == before
