"""What the figures share: stages that take long to make, made when they are first asked for."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property

from tests.bench.stage import Stage

LARGE = 10_000


class Bench:
    """One run of the benchmark; everything is gone when its `stack` is closed."""

    def __init__(self) -> None:
        self._with_large = ExitStack()
        self._large: Stage | None = None
        self._loaded: Stage | None = None
        self.stack = ExitStack()
        self.stack.callback(self.clear)

    @cached_property
    def small(self) -> Stage:
        """Ten tunnels, all up, five mappings each."""
        return self.stack.enter_context(Stage("s", 10, 10, mappings=5).running())

    @property
    def large(self) -> Stage:
        """Ten thousand tunnels, a hundred of them up, five mappings each; made once only."""
        if self._large is None:
            self._large = Stage("l", LARGE, 100, mappings=5)
            print(f"Loading and starting {LARGE:,} tunnels, which takes minutes …", flush=True)
            self._loaded = self._with_large.enter_context(self._large.running())
        if self._loaded is None:
            raise RuntimeError(f"The stage with {LARGE:,} tunnels could not be made")
        return self._loaded

    def clear(self) -> None:
        """Takes the large stage away, so that it disturbs nothing that comes after it."""
        self._with_large.close()
