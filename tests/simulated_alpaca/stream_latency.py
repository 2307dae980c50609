"""How long events take from the exchange to a client's read: `python -m` this module.

Not a test: it prints milliseconds. Server, orders and reader are three processes on one clock.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import subprocess
import sys
import time

import requests
from websockets.sync.client import ClientConnection, connect

ROUNDS = 300
PAUSE_SECONDS = 0.01
HEADERS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
SERVER = [sys.executable, "-m", "stealer.simulated_alpaca", "--rate-limit", "0"]
OPTIONS = ["--clock", "system", "--partial-probability", "0", "--cash", "1000000000"]
ORDER = {
    "symbol": "ETH/USD",
    "side": "buy",
    "type": "limit",
    "qty": "0.01",
    "limit_price": "1900",
    "time_in_force": "gtc",
}


def trade(url: str) -> None:
    """Fill an order again and again: put it under the price, then bring the price to it."""
    session = requests.Session()
    session.headers.update(HEADERS)
    for _ in range(ROUNDS):
        session.post(url + "/sim/price", json={"symbol": "ETH/USD", "price": 2000})
        session.post(url + "/v2/orders", json=ORDER).raise_for_status()
        # Until the order is new.
        time.sleep(0.05 + PAUSE_SECONDS)
        session.post(url + "/sim/price", json={"symbol": "ETH/USD", "price": 1890})
        time.sleep(PAUSE_SECONDS)


def say(client: ClientConnection, message: object) -> None:
    """Send a message and read its answer."""
    client.send(json.dumps(message))
    client.recv()


def measure(url: str) -> None:
    """Read the trade updates of `trade`, and compare with the times of the exchange's own log."""
    with connect(url.replace("http", "ws", 1) + "/stream") as client:
        say(client, {"action": "auth", "key": "key", "secret": "secret"})
        say(client, {"action": "listen", "data": {"streams": ["trade_updates"]}})
        trader = multiprocessing.get_context("spawn").Process(target=trade, args=(url,))
        trader.start()
        read = []
        for _ in range(3 * ROUNDS):
            client.recv(timeout=10)
            read.append(time.time())
        trader.join()
    events = requests.get(url + "/sim/log?limit=100000", timeout=10).json()["events"]
    for name in ("pending_new", "new", "fill"):
        waits = sorted(
            (at - event["real_time"]) * 1000
            for event, at in zip(events, read, strict=True)
            if event["event"] == name
        )
        p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99)]
        sys.stdout.write(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f}, max {waits[-1]:.2f}\n")


if __name__ == "__main__":
    with subprocess.Popen([*SERVER, *OPTIONS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            measure(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
