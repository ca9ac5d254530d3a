"""Object masks: whatever the grammar makes is answered with exactly what it names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnportal.api import object_masks, serializers
from vpnportal.api.faults import Fault
from vpnportal.api.serializers import DataType, Relation, SerializationContext, serialize

LOCALS = {"Car": ("id", "name", "mask"), "Wheel": ("id", "size")}
RELATIONS = {
    "Car": {"wheels": ("Wheel", True), "spare": ("Wheel", False)},
    "Wheel": {"car": ("Car", False), "tests": ("Car", True)},
}


def loads(many: bool):
    return lambda reader, objects: [[one, one] if many else one for one in objects]


def says(name: str):
    return lambda reader, one: name


@pytest.fixture(autouse=True)
def _cars(monkeypatch):
    for name, known in RELATIONS.items():
        relations = {one: Relation(to, loads(many), many) for one, (to, many) in known.items()}
        shape = DataType(name, {one: says(one) for one in LOCALS[name]}, relations)
        monkeypatch.setitem(serializers.DATA_TYPES, name, shape)


def trees(shape: str, depth: int = 2):
    """What may be asked of a shape: names, each with what is asked of it."""
    leaf = st.just({})
    known = {name: leaf for name in LOCALS[shape]}
    for name, (to, many) in RELATIONS[shape].items():
        known[name] = trees(to, depth - 1) if depth else leaf
        if many:
            known[f"{name.removesuffix('s')}Count"] = leaf
    return st.fixed_dictionaries({}, optional=known)


BLANKS = st.sampled_from(["", "", " ", "\n\t"])


def paths(draw, tree) -> list[str]:
    """One of the ways to write a tree down: brackets or dotted paths, and blanks anywhere."""
    written = []
    for name, below in tree.items():
        if below and draw(st.booleans()):
            written += [f"{name}{draw(BLANKS)}.{draw(BLANKS)}{one}" for one in paths(draw, below)]
        elif below or draw(st.booleans()):
            written.append(f"{name}{draw(BLANKS)}[{joined(draw, paths(draw, below))}]")
        else:
            written.append(name)
    return draw(st.permutations(written))


def joined(draw, several: list[str]) -> str:
    return draw(BLANKS) + f"{draw(BLANKS)},{draw(BLANKS)}".join(several)


@st.composite
def texts(draw, tree) -> str:
    """The same with what may be around it."""
    root = draw(st.sampled_from(["mask", "filteredMask", "mask(Car)"]))
    form = draw(st.sampled_from(["paths", "roots", "brackets", "more brackets"]))
    written = paths(draw, tree)
    if form == "paths" and "mask" not in tree:
        return joined(draw, written)
    if form == "roots" and tree:
        return joined(draw, [f"{root}.{path}" for path in written])
    text = f"{root}[{joined(draw, written)}]"
    return f"[{text}]" if form == "more brackets" else text


def expected(shape: str, tree) -> dict[str, object]:
    """Local properties that are named, or all of them; relations and counts only if named."""
    named = [name for name in LOCALS[shape] if name in tree]
    told: dict[str, object] = {name: name for name in named or LOCALS[shape]}
    for name, (to, many) in RELATIONS[shape].items():
        if name in tree:
            one = expected(to, tree[name])
            told[name] = [one, one] if many else one
        if many and f"{name.removesuffix('s')}Count" in tree:
            told[f"{name.removesuffix('s')}Count"] = 2
    return told


def answered(text: object) -> dict[str, object]:
    return serialize(
        SerializationContext(None),
        serializers.DATA_TYPES["Car"],
        ["a car"],
        object_masks.parse(text),
    )[0]


@given(st.data())
def test_exactly_those_properties_come_back_however_the_mask_is_written(data):
    tree = data.draw(trees("Car"))
    text = data.draw(texts(tree))

    assert answered(text) == expected("Car", tree)


@given(st.data())
def test_the_struct_of_very_old_clients_asks_the_same(data):
    tree = data.draw(trees("Car"))

    assert answered(tree) == expected("Car", tree)


@given(st.text(alphabet="maskfilterdM[](),.; aZ_9é\n", max_size=60))
def test_any_text_is_a_mask_or_a_fault_that_says_why(text):
    try:
        assert isinstance(object_masks.parse(text), object_masks.Mask)
    except Fault as fault:
        assert fault.status == 400


@pytest.mark.parametrize("nothing", [None, "", "mask[]", "[mask[]]", "mask", 5, [], {}, True])
def test_a_mask_that_names_nothing_asks_for_all_local_properties(nothing):
    if nothing == "mask":
        assert answered(nothing) == {"mask": "mask"}, "it is also a name"
    else:
        assert answered(nothing) == expected("Car", {})


@pytest.mark.parametrize(
    "text",
    [
        "mask[wheels.size,wheels.id]",
        "mask[wheels[size],wheels[id]]",
        "mask.wheels.size,mask.wheels.id",
        "[mask[wheels[size, id]]]",
        "wheels.size;wheels.id",
        "mask[wheels(Wheel)[size],wheels.id,]",
        "mask(Car)[wheels(Wheel).size,wheels.id]",
    ],
)
def test_paths_with_the_same_beginning_meet(text):
    assert answered(text) == expected("Car", {"wheels": {"size": {}, "id": {}}})


def test_what_is_asked_of_another_type_is_not_asked():
    told = answered("mask(Bus)[name],mask[wheels(Door)[size]]")

    assert told == expected("Car", {"wheels": {}})


@pytest.mark.parametrize(
    "text",
    [
        "mask[id",
        "mask[id]]]",
        "mask[[id]]",
        "mask[.id]",
        "mask[id name]",
        "mask(Car[id]",
        "mask[id-name]",
        "é",
        "[" * 10_000,
        "a[" * 1_000,
        ".".join(["wheels"] * 21),
        ",".join(["id"] * 501),
        "x" * 20_000,
    ],
)
def test_what_is_no_mask_or_too_much_is_refused(text):
    with pytest.raises(Fault):
        object_masks.parse(text)


def test_a_struct_that_is_too_deep_is_refused():
    deep: dict[str, object] = {}
    for _ in range(30):
        deep = {"wheels": deep}

    with pytest.raises(Fault):
        object_masks.parse(deep)
