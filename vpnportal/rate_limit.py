"""Token buckets for calls and wrong keys.

Each process counts in its own memory, because a database row for each request would cost more than
most requests.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock


class TokenBuckets:
    """Token buckets by name: `burst` tokens at most, refilled with `per_second` tokens a second.

    Beyond `max_names` the bucket that was used longest ago is dropped. `clock` returns seconds.
    """

    def __init__(
        self,
        burst: float,
        per_second: float,
        max_names: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._max_names = max_names
        self._clock = clock
        # Tokens of each bucket, and the time of that number.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._buckets

    def seconds_to_wait(self, name: str) -> float:
        """Return the seconds until the bucket has a token; 0 if it has one."""
        return max(0.0, (1 - self._tokens(name)) / self._per_second)

    def take_token(self, name: str) -> float:
        """Take a token and return 0, or return the seconds until the bucket has one."""
        with self._lock:
            tokens = self._tokens(name)
            if tokens < 1:
                return (1 - tokens) / self._per_second
            self._buckets[name] = (tokens - 1, self._clock())
            self._buckets.move_to_end(name)
            if len(self._buckets) > self._max_names:
                self._buckets.popitem(last=False)
            return 0.0

    def remember(self, name: str) -> None:
        """Add a bucket, so that it is contained, and take no token."""
        with self._lock:
            self._buckets.setdefault(name, (self._burst, self._clock()))
            self._buckets.move_to_end(name)
            if len(self._buckets) > self._max_names:
                self._buckets.popitem(last=False)

    def clear(self) -> None:
        """Fill all buckets."""
        self._buckets.clear()

    def _tokens(self, name: str) -> float:
        tokens, at = self._buckets.get(name, (self._burst, 0.0))
        return min(self._burst, tokens + (self._clock() - at) * self._per_second)
