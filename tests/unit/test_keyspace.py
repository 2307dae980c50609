"""What `keyspace.py` says of each key is what TYPE is compared with."""

from __future__ import annotations

import pytest

from stealer.keyspace import FIXED, PARTED, kind


@pytest.mark.parametrize("name", [*FIXED, *PARTED])
def test_the_description_of_every_key_begins_with_its_type(name: str) -> None:
    _, description = {**FIXED, **PARTED}[name]
    assert kind(description) in {"hash", "zset", "stream", "string", "list"}, description
