"""What the figures share: stages that take long to make, made when they are first asked for."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property

from tests.bench.stage import Stage

LARGE = 10_000


class Bench:
    """One run of the benchmark; everything is gone when its `stack` is closed."""

    def __init__(self) -> None:
        self._large = ExitStack()
        self.stack = ExitStack()
        self.stack.callback(self.clear)

    @cached_property
    def small(self) -> Stage:
        """Ten tunnels, all up, five mappings each."""
        return self.stack.enter_context(Stage("s", 10, 10, mappings=5).running())

    @cached_property
    def large(self) -> Stage:
        """Ten thousand tunnels, a hundred of them up, five mappings each."""
        print(f"Loading and starting {LARGE:,} tunnels with {5 * LARGE:,} mappings …", flush=True)
        return self._large.enter_context(Stage("l", LARGE, 100, mappings=5).running())

    def clear(self) -> None:
        """Takes the large stage away, so that it disturbs nothing that comes after it."""
        self._large.close()
        self.__dict__.pop("large", None)
