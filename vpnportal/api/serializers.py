"""Serialization of objects: data types with their properties, from which masks choose.

An object has local properties, which are values, and relations to other objects. A relation is
loaded for all objects together, so that the number of queries depends on the mask alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from vpnportal.api.budget import Budget
from vpnportal.api.calls import Caller
from vpnportal.api.faults import public_fault
from vpnportal.api.object_masks import Mask

# A mask may lead from an account to its tunnels and back again, and multiply objects each time.
MAX_OBJECTS = 100_000
CHECK_TIME_EVERY = 1_000
REPLY_TOO_LARGE = (
    f"The reply would have more than {MAX_OBJECTS:,} objects: name fewer properties in the mask, "
    "or page with a limit."
)


@dataclass(slots=True)
class SerializationContext:
    """State of one reply: the caller, the number of objects still allowed, and a cache of rows.

    `revealed_tunnel_ids` are the tunnels whose preshared key is in the reply. The time of `budget`
    begins with the context.
    """

    caller: Caller
    revealed_tunnel_ids: set[int] = field(default_factory=set)
    objects_left: int = MAX_OBJECTS
    budget: Budget = field(default_factory=Budget)
    cache: dict[Any, Any] = field(default_factory=dict)

    def check_room(self, count: int) -> None:
        """Raise a Fault if `count` more objects would exceed MAX_OBJECTS for the reply."""
        if count > self.objects_left:
            raise public_fault(REPLY_TOO_LARGE)

    def add_objects(self, count: int) -> None:
        """Add `count` to the objects of the reply. Raises Fault beyond MAX_OBJECTS, or too late."""
        self.budget.check_time()
        self.check_room(count)
        self.objects_left -= count


PropertyGetter = Callable[[SerializationContext, Any], Any]
# From objects to the related objects of each, in order: a list, or with many=False one or None.
RelationLoader = Callable[[SerializationContext, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Relation:
    """Relation to objects of data type `type_name`: a list if `many`, else one object or None."""

    type_name: str
    load: RelationLoader
    many: bool = True


@dataclass(frozen=True, slots=True)
class DataType:
    """Data type of the old API. A property that is None is omitted, unless it is in `nulls`."""

    name: str
    locals: Mapping[str, PropertyGetter]
    relations: Mapping[str, Relation] = field(default_factory=dict)
    nulls: frozenset[str] = frozenset()


DATA_TYPES: dict[str, DataType] = {}


def register_type(data_type: DataType) -> DataType:
    """Add a data type to DATA_TYPES, in which relations look it up by name."""
    DATA_TYPES[data_type.name] = data_type
    return data_type


def serialize(
    serialization: SerializationContext, data_type: DataType, objects: Sequence[Any], mask: Mask
) -> list[dict[str, Any]]:
    """Return the objects as structs with the properties that the mask names.

    A mask without a local property selects all local properties (SLDN article object-masks). Raises
    Fault for more than MAX_OBJECTS.
    """
    serialization.add_objects(len(objects))
    properties = mask.for_type(data_type.name)
    names = [name for name in data_type.locals if name in properties] or list(data_type.locals)
    structs = _local_structs(serialization, data_type, objects, names)
    for name, relation in data_type.relations.items():
        if name in properties or (relation.many and count_name(name) in properties):
            _add_relation(serialization, structs, objects, name, relation, properties)
    return structs


@cache
def count_name(relation: str) -> str:
    """Return the name of the count property, such as ipAddressCount of ipAddresses."""
    return re.sub(r"(?<=ss)es$|(?<!s)s$", "", relation) + "Count"


def _local_structs(
    serialization: SerializationContext,
    data_type: DataType,
    objects: Sequence[Any],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    getters = [(name, data_type.locals[name]) for name in names]
    structs: list[dict[str, Any]] = []
    for row in objects:
        values = [(name, get(serialization, row)) for name, get in getters]
        if not len(structs) % CHECK_TIME_EVERY:
            serialization.budget.check_time()
        structs.append(
            {name: value for name, value in values if value is not None or name in data_type.nulls}
        )
    return structs


def _add_relation(
    serialization: SerializationContext,
    structs: Sequence[dict[str, Any]],
    objects: Sequence[Any],
    name: str,
    relation: Relation,
    properties: Mapping[str, Mask],
) -> None:
    loaded = relation.load(serialization, objects)
    if relation.many and count_name(name) in properties:
        for struct, related in zip(structs, loaded, strict=True):
            struct[count_name(name)] = len(related)
    if name not in properties:
        return
    lists = loaded if relation.many else [[] if row is None else [row] for row in loaded]
    # Checked before the lists are expanded: the addresses of one subnet may be millions.
    serialization.check_room(sum(len(related) for related in lists))
    flat = [row for related in lists for row in related]
    related_type = DATA_TYPES[relation.type_name]
    children = iter(serialize(serialization, related_type, flat, properties[name]))
    for struct, related in zip(structs, lists, strict=True):
        own_children = [next(children) for _ in related]
        if relation.many:
            struct[name] = own_children
        elif own_children:
            struct[name] = own_children[0]
