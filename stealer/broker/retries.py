"""How often and how long a read is repeated. Only reads: a POST or a DELETE is sent once."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from stealer.broker.interface import BrokerBudgetSpent, BrokerRateLimited, BrokerUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadRetries:
    """Bounds on the repetition of one read; times in seconds.

    ``total`` bounds the start of the last attempt: the whole read takes at most that plus one
    attempt's own timeouts. A rate limit that resets later than that is raised, not waited for.
    """

    attempts: int = 4
    first_wait: float = 0.25
    longest_wait: float = 4.0
    reset_spread: float = 0.5  #: processes released by one reset come back spread over this long
    total: float = 15.0


def _may_pass(error: BaseException) -> bool:
    """True for what another attempt may not meet. A wait for the API budget was waited already."""
    if isinstance(error, BrokerBudgetSpent):
        return False
    return isinstance(error, BrokerUnavailable | BrokerRateLimited)


def read_retrying(
    policy: ReadRetries, sleep: Callable[[float], None], now: Callable[[], float]
) -> Retrying:
    """A tenacity controller that repeats on *unavailable* and *rate limited* only.

    JSON that came through whole but made no sense is found later and not asked for again.

    :param sleep: waits that many seconds; :param now: unix seconds.
    """
    backoff = wait_random_exponential(multiplier=policy.first_wait, max=policy.longest_wait)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, BrokerRateLimited) and error.reset_at is not None:
            return max(error.reset_at - now(), 0.0) + random.uniform(0, policy.reset_spread)
        return float(backoff(state))

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        log.warning(
            "read again attempt=%d wait=%.2fs: %s",
            state.attempt_number + 1,
            state.upcoming_sleep,
            error,
        )

    return Retrying(
        stop=stop_after_attempt(policy.attempts) | stop_before_delay(policy.total),
        wait=wait,
        retry=retry_if_exception(_may_pass),
        sleep=sleep,
        before_sleep=tell,
        reraise=True,
    )
