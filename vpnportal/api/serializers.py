"""What objects look like to a client: their properties, and how masks choose among them.

An object of a shape has local properties, which are values, and relations to others, which are
asked for all objects at once: the queries of a mask do not depend on how much there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from vpnportal.api.calls import Caller
from vpnportal.api.faults import public_fault
from vpnportal.api.object_masks import Mask

# A mask may lead from an account to its tunnels and back again: so many objects in one answer.
MOST_OBJECTS = 100_000
TOO_MUCH = "This object mask asks for too much at once: ask for less, or page with a limit."


@dataclass(slots=True)
class SerializationContext:
    """One answer in the making: for whom, and what came up on the way.

    `shown` are the ids of the tunnels whose preshared key is in the answer.
    """

    caller: Caller
    shown: set[int] = field(default_factory=set)
    left: int = MOST_OBJECTS
    kept: dict[Any, Any] = field(default_factory=dict)

    def allow(self, count: int) -> None:
        """A fault if so many objects more are too many."""
        if count > self.left:
            raise public_fault(TOO_MUCH)

    def take(self, count: int) -> None:
        """Count objects that are written down; a fault once they are too many."""
        self.allow(count)
        self.left -= count


Local = Callable[[SerializationContext, Any], Any]
# For each object, in order: its list, or the one other object, or None.
Load = Callable[[SerializationContext, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Relation:
    """Leads to objects of the shape with this name; `many` of them are a list."""

    shape: str
    load: Load
    many: bool = True


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of the old API. Properties that are None are left out, except for `nulls`."""

    name: str
    locals: Mapping[str, Local]
    relations: Mapping[str, Relation] = field(default_factory=dict)
    nulls: frozenset[str] = frozenset()


DATA_TYPES: dict[str, DataType] = {}


def register_type(described: DataType) -> DataType:
    """Make a shape known by its name, by which relations lead to it."""
    DATA_TYPES[described.name] = described
    return described


def serialize(
    reader: SerializationContext, shape: DataType, objects: Sequence[Any], mask: Mask
) -> list[dict[str, Any]]:
    """The objects as structs with what the mask asks for.

    Whoever names a local property gets only those that are named, and otherwise all of them.
    """
    reader.take(len(objects))
    asked = mask.of(shape.name)
    names = [name for name in shape.locals if name in asked] or list(shape.locals)
    rows = _locals(reader, shape, objects, names)
    for name, relation in shape.relations.items():
        if name in asked or (relation.many and counter(name) in asked):
            _relate(reader, rows, objects, name, relation, asked)
    return rows


@cache
def counter(relation: str) -> str:
    """The property that tells how many there are: ipAddressCount of ipAddresses."""
    return re.sub(r"(?<=ss)es$|(?<!s)s$", "", relation) + "Count"


def _locals(
    reader: SerializationContext, shape: DataType, objects: Sequence[Any], names: Sequence[str]
) -> list[dict[str, Any]]:
    wanted = [(name, shape.locals[name]) for name in names]
    rows = []
    for one in objects:
        values = [(name, local(reader, one)) for name, local in wanted]
        rows.append(
            {name: value for name, value in values if value is not None or name in shape.nulls}
        )
    return rows


def _relate(
    reader: SerializationContext,
    rows: Sequence[dict[str, Any]],
    objects: Sequence[Any],
    name: str,
    relation: Relation,
    asked: Mapping[str, Mask],
) -> None:
    loaded = relation.load(reader, objects)
    if relation.many and counter(name) in asked:
        for row, several in zip(rows, loaded, strict=True):
            row[counter(name)] = len(several)
    if name not in asked:
        return
    lists = loaded if relation.many else [[] if one is None else [one] for one in loaded]
    # A subnet tells its addresses one by one when they are asked for: they may be too many.
    reader.allow(sum(len(several) for several in lists))
    flat = [one for several in lists for one in several]
    children = iter(serialize(reader, DATA_TYPES[relation.shape], flat, asked[name]))
    for row, several in zip(rows, lists, strict=True):
        found = [next(children) for _ in several]
        if relation.many:
            row[name] = found
        elif found:
            row[name] = found[0]
