"""The order and the cancel that a fleet's parent, and each watcher, sends to nobody."""

from __future__ import annotations

import socket

import psutil
import pytest

from stealer.broker import rehearsal
from stealer.broker.interface import BrokerMisconfigured
from stealer.broker.transport import Exchange


@pytest.mark.parametrize("send", [True, False])
def test_it_opens_no_connection_and_leaves_nothing_open(
    send: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reached: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *to: reached.append(to))
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    caplog.set_level("DEBUG", "stealer.broker.rehearsal")
    rehearsal.rehearse(send=send)
    before = psutil.Process().num_fds()

    rehearsal.rehearse(send=send)

    assert psutil.Process().num_fds() == before
    assert reached == []
    assert caplog.records == []  # it went as far as it was to


def test_what_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise BrokerMisconfigured("alpaca-py is built differently")

    monkeypatch.setattr(rehearsal, "Clients", broken)
    rehearsal.rehearse()


@pytest.mark.parametrize("send", [True, False])
def test_it_goes_the_way_that_an_order_and_a_cancel_go(
    send: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bool] = []
    sending = Exchange.sending

    def watched(self: Exchange):  # type: ignore[no-untyped-def]
        sent.append(self.watched)
        return sending(self)

    monkeypatch.setattr(Exchange, "sending", watched)

    rehearsal.rehearse(send=send)

    assert sent == [True, True]
