"""Ids of requests: new every time, and in order for one asker."""

import os

import pytest

from stealer.request_ids import RequestIds


def test_ids_are_new_and_numbered_in_the_order_they_were_asked() -> None:
    ids = RequestIds()
    first, second = (ids.new().split(".") for _ in range(2))
    assert first[0] != second[0]
    assert first[1] == second[1]
    assert (int(first[2]), int(second[2])) == (1, 2)


def test_a_forked_process_is_another_asker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its first request would be taken for a late copy of its parent's."""
    ids = RequestIds()
    parent = ids.new().split(".")
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    child = ids.new().split(".")
    assert child[1] != parent[1]
    assert child[2] == "1"
