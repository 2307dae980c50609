"""The rate limit: a fixed window of a minute for each key."""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOW_SECONDS = 60.0


@dataclass
class RateLimiter:
    """``limit`` requests in each clock minute of real time and for each key; 0 is no limit."""

    limit: int
    _used: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, key: str, now: float) -> tuple[bool, dict[str, str]]:
        """Count a request: whether it may pass, and the headers that say what is left."""
        window = int(now // WINDOW_SECONDS)
        started, used = self._used.get(key, (window, 0))
        used = 0 if started != window else used
        allowed = not self.limit or used < self.limit
        self._used[key] = (window, used + allowed)
        return allowed, {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - used - 1, 0)),
            "X-RateLimit-Reset": str(int((window + 1) * WINDOW_SECONDS)),
        }
