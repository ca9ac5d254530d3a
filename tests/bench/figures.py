"""Figures: what was measured, what it is measured against, and whether the goal holds."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
COLUMNS = "{:<52} {:>10} {:>10} {:<7} {:>7}  {:<28} {}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `floor` is in the same unit as `value`, or None; so is `ratio`."""

    name: str
    value: float
    floor: float | None
    unit: str
    goal: str
    holds: bool

    @property
    def ratio(self) -> float | None:
        """The value against its floor."""
        return self.value / self.floor if self.floor else None


def at_most(name: str, value: float, times: float, floor: float, unit: str = "ms") -> Figure:
    """Good while the value is at most so many times its floor."""
    return Figure(name, value, floor, unit, f"ratio <= {times:g}", value <= times * floor)


def at_least(name: str, value: float, share: float, floor: float, unit: str) -> Figure:
    """Good while the value is at least such a share of its floor: both are better when higher."""
    return Figure(name, value, floor, unit, f"ratio >= {share:g}", value >= share * floor)


def under(name: str, value: float, limit: float, unit: str, floor: float | None = None) -> Figure:
    """Good while the value is less than a limit; its floor is only told."""
    return Figure(name, value, floor, unit, f"value < {limit:g} {unit}", value < limit)


def within(name: str, value: float, share: float, floor: float, unit: str) -> Figure:
    """Good while the value differs from its floor by at most such a share of it."""
    goal = f"{1 - share:g} <= ratio <= {1 + share:g}"
    return Figure(name, value, floor, unit, goal, abs(value - floor) <= share * floor)


def told(name: str, value: float, floor: float, unit: str) -> Figure:
    """Without a goal: for whoever wants to compare with something else."""
    return Figure(name, value, floor, unit, "", True)


def median(times: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(times)


def p95(times: Sequence[float]) -> float:
    """The smallest that at least 95 of 100 do not exceed (nearest rank)."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def milliseconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def in_turn(rounds: int, *measures: Callable[[], T]) -> list[list[T]]:
    """What each measure says in so many rounds, one after the other so that noise meets them all.

    A round before those warms up and does not count.
    """
    for measure in measures:
        measure()
    said = [[measure() for measure in measures] for _ in range(rounds)]
    return [list(one) for one in zip(*said, strict=True)]


def heading() -> str:
    """The first line of the table."""
    return COLUMNS.format("what", "value", "floor", "unit", "ratio", "goal", "holds")


def line(figure: Figure) -> str:
    """One line of the table."""
    floor = "" if figure.floor is None else f"{figure.floor:.2f}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    holds = "yes" if figure.holds else "NO"
    value = f"{figure.value:.2f}"
    return COLUMNS.format(figure.name, value, floor, figure.unit, ratio, figure.goal, holds)


def write(figures: Iterable[Figure], file: Path) -> None:
    """The same for programs: a list of objects with the columns as names."""
    rows = [{**asdict(figure), "ratio": figure.ratio} for figure in figures]
    file.write_text(json.dumps(rows, indent=2) + "\n")
