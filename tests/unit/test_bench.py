"""Figures of bin/bench: numbers, goals, and lines of the table."""

from __future__ import annotations

import json

import pytest

from tests.bench.figures import at_least, at_most, in_turn, line, p95, under, within, write


@pytest.mark.parametrize(
    ("figure", "ratio", "holds"),
    [
        (at_most("loading", 15.0, 1.5, 10.0), 1.5, True),
        (at_most("loading", 15.1, 1.5, 10.0), 1.51, False),
        (at_least("requests", 25.0, 0.25, 100.0, "1/s"), 0.25, True),
        (at_least("requests", 24.0, 0.25, 100.0, "1/s"), 0.24, False),
        (under("observing", 1.99, 2, "s"), None, True),
        (under("observing", 2.0, 2, "s", floor=1.0), 2.0, False),
        (within("ping", 95.0, 0.05, 100.0, "ms"), 0.95, True),
        (within("ping", 106.0, 0.05, 100.0, "ms"), 1.06, False),
        (within("ping", 94.0, 0.05, 100.0, "ms"), 0.94, False),
    ],
)
def test_a_goal_holds_up_to_its_limit_and_not_beyond(figure, ratio, holds, tmp_path):
    write([figure], tmp_path / "bench.json")

    (row,) = json.loads((tmp_path / "bench.json").read_text())
    assert set(row) == {"name", "value", "floor", "unit", "ratio", "goal", "holds"}
    assert row["ratio"] == (None if ratio is None else pytest.approx(ratio))
    assert row["holds"] is holds
    assert line(figure).split()[-1] == ("yes" if holds else "NO")


def test_p95_is_what_19_of_20_do_not_exceed():
    assert p95([*range(1, 20), 100]) == 19
    assert p95([*range(1, 21)]) == 19
    assert p95([*range(1, 41)]) == 38


def test_measures_alternate_and_the_first_round_does_not_count():
    order = []

    def measure(name, numbers):
        order.append(name)
        return next(numbers)

    ours, floor = iter((9, 1, 2)), iter((9, 3, 4))
    results = in_turn(2, lambda: measure("ours", ours), lambda: measure("floor", floor))

    assert results == [[1, 2], [3, 4]]
    for at in (0, 2, 4):
        assert {*order[at : at + 2]} == {"ours", "floor"}
