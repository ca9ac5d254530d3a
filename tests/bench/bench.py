"""Laboratories that several benchmarks share, made at their first use."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property

from tests.bench.bench_lab import BenchLab

LARGE = 10_000


class Bench:
    """One run of bin/bench; closing its `stack` removes all laboratories."""

    def __init__(self) -> None:
        self._large_stack = ExitStack()
        self._large: BenchLab | None = None
        self._loaded: BenchLab | None = None
        self.stack = ExitStack()
        self.stack.callback(self.clear)

    @cached_property
    def small(self) -> BenchLab:
        """Ten tunnels, all up, with five mappings each."""
        return self.stack.enter_context(BenchLab("s", 10, 10, mappings=5).running())

    @property
    def large(self) -> BenchLab:
        """Ten thousand tunnels, a hundred of them up, with five mappings each; made only once."""
        if self._large is None:
            self._large = BenchLab("l", LARGE, 100, mappings=5)
            print(f"Loading and initiating {LARGE:,} tunnels, which takes minutes …", flush=True)
            self._loaded = self._large_stack.enter_context(self._large.running())
        if self._loaded is None:
            raise RuntimeError(
                f"The laboratory with {LARGE:,} tunnels was removed or could not be made"
            )
        return self._loaded

    def clear(self) -> None:
        """Remove the large laboratory, so that it does not disturb the next benchmarks."""
        self._large_stack.close()
