"""What the parent of a fleet works out once for all its children."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

from stealer.access import Role, needs, probes
from stealer.scripts import function_library
from watchers.process import preload


def _reckons_anew() -> None:
    """In a child: exit status 0 when it finds all that it needs to begin."""
    before = needs.cache_info().misses, function_library.cache_info().misses
    probes(Role.WATCHER, "paper")
    function_library()
    os._exit(int(before != (needs.cache_info().misses, function_library.cache_info().misses)))


def test_a_child_reckons_nothing_anew_that_its_parent_knows() -> None:
    needs.cache_clear()
    function_library.cache_clear()
    preload.cache_clear()
    preload()

    child = multiprocessing.get_context("fork").Process(target=_reckons_anew)
    child.start()
    child.join(30)

    assert child.exitcode == 0


def test_a_watcher_loads_nothing_that_only_people_need() -> None:
    code = (
        "import sys; import watchers.cli; from watchers.process import preload; preload();"
        "print([name for name in ('rich', 'watchers.cli_look') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "[]\n"
