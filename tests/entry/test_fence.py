"""The fence around the POST: what it leaves behind, and what it does not trust."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stealer import fence
from stealer.entry import ARMING_SECONDS, Ending, Entries
from tests.entry.stage import Stage


def test_it_ticks_inside_and_leaves_handler_timer_and_mask_as_they_were() -> None:
    before = signal.getsignal(signal.SIGALRM)
    outer = signal.setitimer(signal.ITIMER_REAL, 500, 7)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        with fence.armed(100):
            assert 99 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
            assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
            assert signal.SIGALRM not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 490 < left <= 500
        assert interval == 7
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.SIGALRM in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


def test_it_is_disarmed_when_the_block_fails() -> None:
    outer = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        with pytest.raises(OSError, match="the wire"), fence.armed(100):
            raise OSError("the wire")
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)


def test_off_the_main_thread_nothing_is_armed_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = signal.getitimer(signal.ITIMER_REAL)[1]
    seen: list[float] = []

    def work() -> None:
        for _ in range(2):
            with fence.armed(0.001):
                seen.append(signal.getitimer(signal.ITIMER_REAL)[1])

    thread = threading.Thread(target=work, name="sender")
    thread.start()
    thread.join()

    assert seen == [before, before]
    assert caplog.text.count("sender have no fence") == 1


def test_the_operating_systems_clock_brings_the_operating_systems_fence(stage: Stage) -> None:
    assert Entries(stage.coordinator, stage.broker).fence is fence.armed
    assert stage.entries.fence is fence.unarmed  # a test's clock, which no timer follows


def test_the_post_is_fenced_for_what_is_left_of_the_trust(stage: Stage) -> None:
    asked: list[float] = []

    @contextmanager
    def noted(within: float) -> Iterator[None]:
        asked.append(within)
        yield

    stage.entries.fence = noted
    stage.broker.while_connecting = lambda: stage.clock.advance(4)

    assert stage.open("AAPL", 1.0, 1_000).ending is Ending.OPEN
    assert asked == [pytest.approx(stage.coordinator.settings.trust_seconds - 4)]


def test_a_fence_that_took_long_to_arm_is_not_trusted_and_nothing_is_sent(stage: Stage) -> None:
    @contextmanager
    def slow(within: float) -> Iterator[None]:
        stage.clock.advance(ARMING_SECONDS * 1.01)  # stopped before the timer was set
        yield

    stage.entries.fence = slow
    result = stage.open("AAPL", 1.0, 1_000)

    assert (result.ending, result.reason) == (Ending.REFUSED, "not_sent")
    assert "held up" in result.detail
    assert stage.broker.posted == []
    stage.assert_nothing_left()
