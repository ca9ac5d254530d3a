"""Object filters: every operator, compared loosely, along paths and through lists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnportal.api import object_filters
from vpnportal.api.faults import Fault

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
AT = "2012-03-05T14:07:34-06:00"


def read(struct, root=""):
    return object_filters.parse(struct, root, NOW)


def leaf(operation, **options):
    listed = [{"name": name, "value": value} for name, value in options.items()]
    return {"operation": operation, "options": listed} if listed else {"operation": operation}


@pytest.mark.parametrize(
    ("value", "leaf", "expected"),
    [
        (445, leaf(445), True),
        (445, leaf("445"), True),
        ("445", leaf(445), True),
        (445, leaf("= 445"), True),
        (445, leaf(44), False),
        (True, leaf(1), True),
        (1, leaf(True), True),
        (None, leaf(445), False),
        ("dal13", leaf("dal13"), True),
        ("dal13", leaf("DAL13"), False),
        ("dal13", leaf("_= DAL13"), True),
        ("dal13", leaf("!= dal13"), False),
        ("dal13", leaf("!= hou02"), True),
        ("dal13", leaf("^= dal"), True),
        ("dal13", leaf("!^= dal"), False),
        ("dal13", leaf("$= 13"), True),
        ("dal13", leaf("!$= 13"), False),
        ("dal13", leaf("*= l1"), True),
        ("dal13", leaf("!*= l1"), False),
        ("a.b", leaf("~ ."), True),
        ("ab", leaf("~ ."), False),
        ("ab", leaf("!~ ."), True),
        (9, leaf("> 10"), False),
        ("9", leaf(">= 9"), True),
        (9, leaf("< 10.5"), True),
        (9, leaf("<= 8"), False),
        ("b", leaf("> a"), True),
        (None, leaf("> 1"), False),
        ("x", leaf("not null"), True),
        (None, leaf("not null"), False),
        (None, leaf("is null"), True),
        (None, leaf(None), True),
        ("", leaf("is null"), False),
        (3, leaf("in", data=[1, "3"]), True),
        (3, leaf("in", data=3), True),
        (3, leaf("not in", data=[1, "3"]), False),
        (5, leaf("or", data=["< 3", "> 4"]), True),
        (5, leaf("and", data=["< 3", "> 4"]), False),
        (AT, leaf("isDate", date=["03/05/2012"]), True),
        (AT, leaf("isDate", date=["03/06/2012"]), False),
        (AT, leaf("lessThanDate", date=["2012-03-05T20:07:35+00:00"]), True),
        (AT, leaf("greaterThanDate", date=["03/05/2012 14:07:33"]), True),
        (AT, leaf("betweenDate", startDate=["03/05/2012"], endDate=["03/06/2012"]), True),
        (AT, leaf("betweenDate", startDate=["03/06/2012"], endDate=["03/07/2012"]), False),
        (AT, leaf("> sysdate - 30"), False),
        (AT, leaf("<= currentDate - 30"), True),
        ("2026-03-01T00:00:00+00:00", leaf(">= currentDate - 30"), True),
        ("no time", leaf("> sysdate"), False),
    ],
)
def test_operators(value, leaf, expected):
    assert read({"a": leaf}).matches({} if value is None else {"a": value}) is expected


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "text",
        [1],
        {"a": "b"},
        {"a": {"operation": [1]}},
        {"a": {"operation": "in"}},
        {"a": {"operation": "in", "options": "x"}},
        {"a": {"operation": "isDate", "options": [{"name": "date", "value": ["soon"]}]}},
        {"a": {"operation": "^= "}},
        {"a": {}},
    ],
)
def test_what_cannot_be_read_is_no_condition(malformed):
    assert read(malformed).matches({"a": 1})


def test_a_path_through_a_list_fits_if_one_element_fits_all_that_is_asked():
    wanted = read({"a": {"x": leaf(1), "y": leaf(2)}})

    assert wanted.matches({"a": [{"x": 0, "y": 0}, {"x": 1, "y": 2}]})
    assert not wanted.matches({"a": [{"x": 1, "y": 0}, {"x": 0, "y": 2}]})
    assert not wanted.matches({"a": []})
    assert not wanted.matches({})
    assert read({"a": {"x": leaf("is null")}}).matches({"a": []})


def test_the_filter_of_a_relation_begins_below_its_name_and_the_rest_is_for_nobody():
    struct = {"tunnels": {"id": leaf(445)}, "id": leaf("orderBy", sort=["ASC"]), "x": leaf(1)}

    wanted = read(struct, "tunnels")

    assert (wanted.id, wanted.orders) == (445, [])
    assert wanted.matches({"id": 445}) and not wanted.matches({"id": 446})


def test_orders_are_taken_in_their_rank_and_what_is_missing_comes_first():
    rows = [{"n": 10, "s": "b"}, {"n": 9, "s": "b"}, {"s": "a"}, {"n": 9, "s": "c"}]
    wanted = read(
        {
            "n": leaf("orderBy", sort=["DESC"], sortOrder=[2]),
            "s": leaf("orderBy", sort=["ASC"], sortOrder=[1]),
        }
    )

    ordered = [row for row, _ in wanted.sort([(row, row) for row in rows])]

    assert ordered == [rows[2], rows[0], rows[1], rows[3]]
    assert [row for row, _ in read({"n": leaf("orderBy")}).sort([(r, r) for r in rows[:2]])] == (
        rows[:2]
    ), "an order needs its options"


def test_what_has_to_be_known_is_no_more_than_what_is_asked():
    mask = read({"a": leaf(1), "b": {"c": leaf(1), "d": leaf("orderBy", sort=[])}}).mask()

    assert set(mask.properties) == {"id", "a", "b"}
    assert set(mask.properties["b"].properties) == {"id", "c", "d"}


def test_lists_behind_an_object_lose_what_is_not_asked_for():
    shown = {"a": [{"n": "x"}, {"n": "y"}], "b": {"c": [1, 2]}}
    known = {"a": [{"id": 1}, {"id": 2}], "b": {"c": [{"id": 3}, {"id": 4}]}}

    read({"a": {"id": leaf(2)}, "b": {"c": {"id": leaf(3)}}}).prune(shown, known)

    assert shown == {"a": [{"n": "y"}], "b": {"c": [1]}}


@pytest.mark.parametrize(
    "many",
    [
        {str(number): leaf(1) for number in range(101)},
        {"a": leaf("or", data=["> 1"] * 101)},
    ],
)
def test_more_conditions_than_anybody_needs_are_refused(many):
    with pytest.raises(Fault):
        read(many)


def test_what_says_nothing_costs_nothing():
    wanted = read({str(number): {"a": {}, "b": {"c": 1}} for number in range(10_000)})

    assert wanted.is_empty and wanted.relations == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=4), one, max_size=4),
    max_leaves=10,
)
OPERATIONS = st.sampled_from(
    ["in", "or", "and", "isDate", "betweenDate", "orderBy", "> ", "~ (a+)+"]
)
LEAVES = st.fixed_dictionaries(
    {"operation": JSON | OPERATIONS},
    optional={
        "options": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["data", "date", "sort", "startDate"]), "value": JSON}
            )
        )
    },
)


@given(
    st.dictionaries(st.sampled_from("ab"), LEAVES | st.dictionaries(st.sampled_from("cd"), LEAVES)),
    JSON,
)
def test_any_filter_is_read_and_tried_on_anything(struct, value):
    wanted = read(struct)

    row = {"a": value, "b": [{"c": value}]}
    assert wanted.matches(row) in (True, False)
    assert len(wanted.sort([(row, row), ({}, {})])) == 2
