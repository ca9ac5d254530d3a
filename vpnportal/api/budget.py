"""The budget of one call: the tests of an object filter, and the time of the reply."""

from __future__ import annotations

import time

from vpnportal.api.faults import invalid_value, public_fault

# Each condition of a filter is tested on every object. A thousand tests take about a millisecond.
MAX_TESTS = 1_000_000
# From the end of the method on: what a method changed is never answered with this fault.
MAX_SECONDS = 10.0
TOO_MANY_TESTS = (
    f"This object filter needs more than {MAX_TESTS:,} tests: it has too many conditions for so "
    "large a list. Use fewer conditions, or ask for fewer objects."
)
TOO_SLOW = (
    f"The reply took longer than {MAX_SECONDS:.0f} seconds: name fewer properties in the mask, use "
    "a simpler filter, or page with a limit."
)


class Budget:
    """The tests that a filter may still make, and the time at which the reply must be complete."""

    def __init__(self, tests: int = MAX_TESTS, seconds: float = MAX_SECONDS) -> None:
        self._tests_left = tests
        self._deadline = time.monotonic() + seconds

    def spend(self, tests: int) -> None:
        """Take tests. Raises Fault if there are not as many left."""
        self._tests_left -= tests
        if self._tests_left < 0:
            raise invalid_value(TOO_MANY_TESTS)

    def check_time(self) -> None:
        """Raise Fault after the deadline."""
        if time.monotonic() > self._deadline:
            raise public_fault(TOO_SLOW, 503)
