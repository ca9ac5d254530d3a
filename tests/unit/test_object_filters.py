"""Object filters: operators, paths through lists, orders and limits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnportal.api import filter_operators, object_filters
from vpnportal.api.budget import Budget
from vpnportal.api.faults import Fault

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
AT = "2012-03-05T14:07:34-06:00"


def parse(struct, root=""):
    return object_filters.parse(struct, root, NOW)


def leaf(operation, **options):
    pairs = [{"name": name, "value": value} for name, value in options.items()]
    return {"operation": operation, "options": pairs} if pairs else {"operation": operation}


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
def test_an_operator_matches_or_not(value, leaf, expected):
    assert parse({"a": leaf}).matches({} if value is None else {"a": value}) is expected


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
def test_a_malformed_filter_has_no_condition(malformed):
    assert parse(malformed).matches({"a": 1})


def test_one_element_of_a_list_must_meet_all_conditions_on_it():
    object_filter = parse({"a": {"x": leaf(1), "y": leaf(2)}})

    assert object_filter.matches({"a": [{"x": 0, "y": 0}, {"x": 1, "y": 2}]})
    assert not object_filter.matches({"a": [{"x": 1, "y": 0}, {"x": 0, "y": 2}]})
    assert not object_filter.matches({"a": []})
    assert not object_filter.matches({})
    assert parse({"a": {"x": leaf("is null")}}).matches({"a": []})


def test_only_the_filter_below_the_relation_name_counts():
    struct = {"tunnels": {"id": leaf(445)}, "id": leaf("orderBy", sort=["ASC"]), "x": leaf(1)}

    object_filter = parse(struct, "tunnels")

    assert (object_filter.id, object_filter.orders) == (445, [])
    assert object_filter.matches({"id": 445}) and not object_filter.matches({"id": 446})


def test_orders_apply_by_rank_and_missing_values_come_first():
    rows = [{"n": 10, "s": "b"}, {"n": 9, "s": "b"}, {"s": "a"}, {"n": 9, "s": "c"}]
    object_filter = parse(
        {
            "n": leaf("orderBy", sort=["DESC"], sortOrder=[2]),
            "s": leaf("orderBy", sort=["ASC"], sortOrder=[1]),
        }
    )

    ordered = [row for row, _ in object_filter.sort([(row, row) for row in rows])]

    assert ordered == [rows[2], rows[0], rows[1], rows[3]]
    assert [row for row, _ in parse({"n": leaf("orderBy")}).sort([(r, r) for r in rows[:2]])] == (
        rows[:2]
    ), "an order needs its options"


def test_the_mask_has_only_the_properties_that_the_filter_reads():
    mask = parse({"a": leaf(1), "b": {"c": leaf(1), "d": leaf("orderBy", sort=[])}}).mask()

    assert set(mask.properties) == {"id", "a", "b"}
    assert set(mask.properties["b"].properties) == {"id", "c", "d"}


def test_pruning_removes_related_objects_that_do_not_match():
    struct = {"a": [{"n": "x"}, {"n": "y"}], "b": {"c": [1, 2]}}
    filter_struct = {"a": [{"id": 1}, {"id": 2}], "b": {"c": [{"id": 3}, {"id": 4}]}}

    parse({"a": {"id": leaf(2)}, "b": {"c": {"id": leaf(3)}}}).prune(struct, filter_struct)

    assert struct == {"a": [{"n": "y"}], "b": {"c": [1]}}


@pytest.mark.parametrize(
    "filter",
    [
        {str(number): leaf(1) for number in range(101)},
        {"a": leaf("or", data=["> 1"] * 101)},
    ],
)
def test_more_than_100_conditions_are_refused(filter):
    with pytest.raises(Fault):
        parse(filter)


def test_structs_without_an_operation_leave_an_empty_filter():
    object_filter = parse({str(number): {"a": {}, "b": {"c": 1}} for number in range(10_000)})

    assert object_filter.is_empty and object_filter.relations == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda value: (
        st.lists(value, max_size=4) | st.dictionaries(st.text(max_size=4), value, max_size=4)
    ),
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
def test_any_filter_can_be_parsed_and_applied_to_any_value(struct, value):
    object_filter = parse(struct)

    row = {"a": value, "b": [{"c": value}]}
    assert object_filter.matches(row) in (True, False)
    assert len(object_filter.sort([(row, row), ({}, {})])) == 2


def test_s7_the_time_of_a_value_is_read_once_for_all_conditions(monkeypatch):
    object_filter = parse(
        {
            "a": {
                "operation": "or",
                "options": [
                    {"name": "data", "value": [f"< 01/{day:02}/2001" for day in range(1, 29)]}
                ],
            }
        }
    )
    read = []
    monkeypatch.setattr(
        filter_operators, "_time", lambda value: read.append(value) or datetime(2026, 1, 1)
    )

    assert not object_filter.matches({"a": "2026-01-01T00:00:00Z"})

    assert read == ["2026-01-01T00:00:00Z"]


@pytest.mark.parametrize("text", ["2001", "01/01/2001x", "10.1.255.92", "x" * 100, "9" * 10_000])
def test_s7_no_other_text_is_tried_as_a_time(text):
    assert not parse({"a": leaf("> 01/01/1990")}).matches({"a": text})


@pytest.mark.parametrize(
    "text",
    [
        "2001-02-03",
        "20010203",
        "2001-W05-6",
        "2001-02-03T04:05:06+01:00",
        "2/3/2001",
        "02/03/2001 4:05",
    ],
)
def test_each_format_of_a_time_is_read(text):
    assert parse({"a": leaf("> 01/01/1990")}).matches({"a": text})


def test_s7_conditions_times_objects_are_limited_also_in_relations():
    leaf_of_ten = {"operation": "or", "options": [{"name": "data", "value": list(range(10))}]}
    objects = [{"a": "x"}] * 9
    budget = Budget(tests=100)

    for filter, struct in (
        (parse({"a": leaf_of_ten}), None),
        (parse({"many": {"a": leaf_of_ten}}), {"many": objects}),
    ):
        budget = Budget(tests=99)
        with pytest.raises(Fault, match="has too many conditions for so large a list"):
            for number in range(10):
                filter.matches(struct or objects[number % 9], budget)
