"""The order that a fleet's parent sends to nobody."""

from __future__ import annotations

import socket

import psutil
import pytest

from stealer.broker import rehearsal
from stealer.broker.transport import Exchange


def test_it_opens_no_connection_and_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> None:
        raise AssertionError("a rehearsal must not reach out")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    rehearsal.rehearse()
    before = psutil.Process().num_fds()

    rehearsal.rehearse()

    assert psutil.Process().num_fds() == before


def test_it_goes_the_way_that_an_order_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bool] = []
    sending = Exchange.sending

    def watched(self: Exchange):  # type: ignore[no-untyped-def]
        sent.append(self.watched)
        return sending(self)

    monkeypatch.setattr(Exchange, "sending", watched)

    rehearsal.rehearse()

    assert sent == [True]
