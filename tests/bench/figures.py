"""Figures: a measured value, its floor, and a goal."""

from __future__ import annotations

import json
import math
import random
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
    """A line of the table; `floor` is in the unit of `value`, or None."""

    name: str
    value: float
    floor: float | None
    unit: str
    goal: str
    holds: bool

    @property
    def ratio(self) -> float | None:
        """Value divided by floor, or None."""
        return self.value / self.floor if self.floor else None


def at_most(name: str, value: float, times: float, floor: float, unit: str = "ms") -> Figure:
    """Return a figure whose goal is at most `times` the floor."""
    return Figure(name, value, floor, unit, f"ratio <= {times:g}", value <= times * floor)


def at_least(name: str, value: float, share: float, floor: float, unit: str) -> Figure:
    """Return a figure whose goal is at least a share of the floor; higher is better."""
    return Figure(name, value, floor, unit, f"ratio >= {share:g}", value >= share * floor)


def under(name: str, value: float, limit: float, unit: str, floor: float | None = None) -> Figure:
    """Return a figure whose goal is below a limit; the floor is information only."""
    return Figure(name, value, floor, unit, f"value < {limit:g} {unit}", value < limit)


def within(name: str, value: float, share: float, floor: float, unit: str) -> Figure:
    """Return a figure whose goal is a difference from the floor of at most a share of it."""
    goal = f"{1 - share:g} <= ratio <= {1 + share:g}"
    return Figure(name, value, floor, unit, goal, abs(value - floor) <= share * floor)


def without_goal(name: str, value: float, floor: float, unit: str) -> Figure:
    """Return a figure for comparison only."""
    return Figure(name, value, floor, unit, "", True)


def median(times: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(times)


def p95(times: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def milliseconds(action: Callable[[], object]) -> float:
    """Return the duration of an action."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def in_turn(rounds: int, *measures: Callable[[], T]) -> list[list[T]]:
    """Return the results of each measure, which alternate so that noise affects all of them.

    Each round has an order of its own: a busy charon slows whatever is measured after it. A round
    before the counted rounds warms up.
    """
    results: list[list[T]] = [[] for _ in measures]
    order = list(range(len(measures)))
    for number in range(rounds + 1):
        for index in order:
            result = measures[index]()
            if number:
                results[index].append(result)
        random.shuffle(order)
    return results


def heading() -> str:
    """Return the first line of the table."""
    return COLUMNS.format("what", "value", "floor", "unit", "ratio", "goal", "holds")


def line(figure: Figure) -> str:
    """Return the figure's line of the table."""
    floor = "" if figure.floor is None else f"{figure.floor:.2f}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    holds = "yes" if figure.holds else "NO"
    value = f"{figure.value:.2f}"
    return COLUMNS.format(figure.name, value, floor, figure.unit, ratio, figure.goal, holds)


def write(figures: Iterable[Figure], file: Path) -> None:
    """Write a JSON list of objects with the columns as keys."""
    rows = [{**asdict(figure), "ratio": figure.ratio} for figure in figures]
    file.write_text(json.dumps(rows, indent=2) + "\n")
