"""Object masks: every text of the grammar selects exactly the properties that it names."""

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


def loader(many: bool):
    return lambda serialization, objects: [[row, row] if many else row for row in objects]


def getter(name: str):
    return lambda serialization, row: name


@pytest.fixture(autouse=True)
def _cars(monkeypatch):
    for type_name, targets in RELATIONS.items():
        relations = {
            name: Relation(target, loader(many), many) for name, (target, many) in targets.items()
        }
        getters = {name: getter(name) for name in LOCALS[type_name]}
        data_type = DataType(type_name, getters, relations)
        monkeypatch.setitem(serializers.DATA_TYPES, type_name, data_type)


def trees(type_name: str, depth: int = 2):
    """Return a strategy for requested properties: names, each with the names behind it."""
    leaf = st.just({})
    names = {name: leaf for name in LOCALS[type_name]}
    for name, (target, many) in RELATIONS[type_name].items():
        names[name] = trees(target, depth - 1) if depth else leaf
        if many:
            names[f"{name.removesuffix('s')}Count"] = leaf
    return st.fixed_dictionaries({}, optional=names)


BLANKS = st.sampled_from(["", "", " ", "\n\t"])


def paths(draw, tree) -> list[str]:
    """Return a tree as brackets or dotted paths, with blanks between tokens."""
    parts = []
    for name, subtree in tree.items():
        if subtree and draw(st.booleans()):
            separator = f"{draw(BLANKS)}.{draw(BLANKS)}"
            parts += [f"{name}{separator}{path}" for path in paths(draw, subtree)]
        elif subtree or draw(st.booleans()):
            parts.append(f"{name}{draw(BLANKS)}[{joined(draw, paths(draw, subtree))}]")
        else:
            parts.append(name)
    return draw(st.permutations(parts))


def joined(draw, parts: list[str]) -> str:
    return draw(BLANKS) + f"{draw(BLANKS)},{draw(BLANKS)}".join(parts)


@st.composite
def texts(draw, tree) -> str:
    """Return a tree as a whole mask, with or without roots and outer brackets."""
    root = draw(st.sampled_from(["mask", "filteredMask", "mask(Car)"]))
    form = draw(st.sampled_from(["paths", "roots", "brackets", "more brackets"]))
    parts = paths(draw, tree)
    if form == "paths" and "mask" not in tree:
        return joined(draw, parts)
    if form == "roots" and tree:
        return joined(draw, [f"{root}.{path}" for path in parts])
    text = f"{root}[{joined(draw, parts)}]"
    return f"[{text}]" if form == "more brackets" else text


def expected(type_name: str, tree) -> dict[str, object]:
    """Return the named local properties, or all if none is named; the rest only if named."""
    names = [name for name in LOCALS[type_name] if name in tree]
    struct: dict[str, object] = {name: name for name in names or LOCALS[type_name]}
    for name, (target, many) in RELATIONS[type_name].items():
        if name in tree:
            related = expected(target, tree[name])
            struct[name] = [related, related] if many else related
        if many and f"{name.removesuffix('s')}Count" in tree:
            struct[f"{name.removesuffix('s')}Count"] = 2
    return struct


def serialized(mask: object) -> dict[str, object]:
    return serialize(
        SerializationContext(None),
        serializers.DATA_TYPES["Car"],
        ["a car"],
        object_masks.parse(mask),
    )[0]


@given(st.data())
def test_every_spelling_of_a_mask_selects_exactly_the_named_properties(data):
    tree = data.draw(trees("Car"))
    text = data.draw(texts(tree))

    assert serialized(text) == expected("Car", tree)


@given(st.data())
def test_the_struct_of_very_old_clients_selects_exactly_the_named_properties(data):
    tree = data.draw(trees("Car"))

    assert serialized(tree) == expected("Car", tree)


@given(st.text(alphabet="maskfilterdM[](),.; aZ_9é\n", max_size=60))
def test_any_text_is_a_mask_or_a_fault(text):
    try:
        assert isinstance(object_masks.parse(text), object_masks.Mask)
    except Fault as fault:
        assert fault.status == 400


@pytest.mark.parametrize("mask", [None, "", "mask[]", "[mask[]]", "mask", 5, [], {}, True])
def test_a_mask_without_names_selects_all_local_properties(mask):
    if mask == "mask":
        assert serialized(mask) == {"mask": "mask"}, "a bare root is the name of a property"
    else:
        assert serialized(mask) == expected("Car", {})


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
def test_paths_with_a_common_prefix_merge(text):
    assert serialized(text) == expected("Car", {"wheels": {"size": {}, "id": {}}})


def test_names_for_another_data_type_are_ignored():
    struct = serialized("mask(Bus)[name],mask[wheels(Door)[size]]")

    assert struct == expected("Car", {"wheels": {}})


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
def test_an_invalid_mask_or_one_beyond_a_limit_is_refused(text):
    with pytest.raises(Fault):
        object_masks.parse(text)


def test_a_struct_that_is_too_deep_is_refused():
    deep: dict[str, object] = {}
    for _ in range(30):
        deep = {"wheels": deep}

    with pytest.raises(Fault):
        object_masks.parse(deep)
