"""How often something may happen, by the name of whoever does it.

Each process of the portal counts for itself and in memory: nothing is written for a request.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock


class TokenBuckets:
    """So many at once, and then so many a second; who was not seen for longest is forgotten."""

    def __init__(
        self,
        burst: float,
        per_second: float,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._most = most
        self._clock = clock
        # How many are left, and as of when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def wait(self, name: str) -> float:
        """Seconds until the next is allowed; 0 for now."""
        return max(0.0, (1 - self._now_left(name)) / self._per_second)

    def take(self, name: str) -> float:
        """Count one if it is allowed; otherwise the seconds until it is."""
        with self._lock:
            left = self._now_left(name)
            if left < 1:
                return (1 - left) / self._per_second
            self._left[name] = (left - 1, self._clock())
            self._left.move_to_end(name)
            if len(self._left) > self._most:
                self._left.popitem(last=False)
            return 0.0

    def clear(self) -> None:
        """Forget everything."""
        self._left.clear()

    def _now_left(self, name: str) -> float:
        left, at = self._left.get(name, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - at) * self._per_second)
