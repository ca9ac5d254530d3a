"""Object filters: which objects of a list a client asks for, and in which order.

A filter is a struct along the paths of properties; at its ends are conditions. What cannot be read
as one is no condition, as it was with the old API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from vpnportal.api import filter_operators
from vpnportal.api.faults import invalid
from vpnportal.api.filter_operators import Condition, Malformed, loose_text
from vpnportal.api.object_masks import Mask

# Each of them is tried on every object.
MOST_CONDITIONS = 100
MOST_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Order:
    """By the property at the end of a path; `rank` tells which of several orders comes first."""

    path: tuple[str, ...]
    descending: bool
    rank: int


@dataclass
class Filter:
    """What is asked of one level: conditions on properties, and filters behind relations."""

    conditions: dict[str, Condition] = field(default_factory=dict)
    below: dict[str, Filter] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    # What `id` has to equal, where that is asked: it can be looked up.
    id: int | None = None

    @cached_property
    def has_conditions(self) -> bool:
        """Whether some object might not be asked for."""
        return bool(self.conditions) or any(one.has_conditions for one in self.below.values())

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all; what is below it says something."""
        return not (self.conditions or self.orders or self.below)

    @property
    def only_id(self) -> bool:
        """Whether it says nothing but what `id` has to equal."""
        return self.id is not None and len(self.conditions) == 1 and not (self.orders or self.below)

    def mask(self) -> Mask:
        """What has to be known of an object, and no more: an empty mask would be everything."""
        named = {name: one.mask() for name, one in self.below.items()}
        names = ("id", *self.conditions, *(order.path[0] for order in self.orders))
        return Mask({**{name: Mask() for name in names}, **named})

    def matches(self, value: Any) -> bool:
        """Whether an object, or any of a list, is asked for; None is an object without properties.

        All that is asked of related objects has to be true of the same one.
        """
        if isinstance(value, list):
            return any(self._fits(one) for one in value) if value else self._fits(None)
        return self._fits(value)

    def _fits(self, one: Any) -> bool:
        struct = one if isinstance(one, dict) else {}
        return all(test(struct.get(name)) for name, test in self.conditions.items()) and all(
            below.matches(struct.get(name))
            for name, below in self.below.items()
            if below.has_conditions
        )

    def prune(self, shown: dict[str, Any], known: dict[str, Any]) -> None:
        """Take out of lists behind an object what is not asked for (`filteredMask`).

        `known` is the same object, written with this filter's mask.
        """
        for name, below in self.below.items():
            before, facts = shown.get(name), known.get(name)
            if isinstance(before, list) and isinstance(facts, list):
                pairs = list(zip(before, facts, strict=True))
                kept = [(one, fact) for one, fact in pairs if below.matches(fact)]
                shown[name] = [one for one, _ in kept]
            else:
                kept = [(before, facts)]
            for one, fact in kept:
                if isinstance(one, dict) and isinstance(fact, dict):
                    below.prune(one, fact)

    def sort(self, rows: Sequence[tuple[Any, dict[str, Any]]]) -> list[tuple[Any, dict[str, Any]]]:
        """Pairs of an object and its struct, in the order that is asked for."""
        ordered = list(rows)
        for order in sorted(self._all_orders(), key=lambda one: one.rank, reverse=True):
            ordered.sort(key=partial(_key, order.path), reverse=order.descending)
        return ordered

    def _all_orders(self) -> Iterator[Order]:
        yield from self.orders
        for name, below in self.below.items():
            for order in below._all_orders():
                yield Order((name, *order.path), order.descending, order.rank)


def read(filter: object, root: str, now: datetime) -> Filter:
    """The filter of a method's objects: below the name of its relation, if `root` is one."""
    below = filter.get(root) if root and isinstance(filter, dict) else filter
    read = Filter()
    if isinstance(below, dict):
        _Reading(now).read(read, below, MOST_LEVELS)
    return read


class _Reading:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._left = MOST_CONDITIONS

    def read(self, into: Filter, struct: Mapping[str, Any], levels: int) -> None:
        if not levels:
            return
        for name, value in struct.items():
            if not isinstance(value, dict):
                continue
            if "operation" in value and not isinstance(value["operation"], dict):
                self._leaf(into, name, value)
            else:
                below = Filter()
                self.read(below, value, levels - 1)
                if not below.empty:
                    into.below[name] = below

    def _leaf(self, into: Filter, name: str, leaf: Mapping[str, Any]) -> None:
        operation, options = leaf["operation"], leaf.get("options")
        try:
            self._spend(_conditions_in(operation, options))
            if operation == "orderBy":
                into.orders.append(_order(name, filter_operators.by_name(options)))
            else:
                into.conditions[name] = filter_operators.read(operation, options, self._now)
        except Malformed:
            return
        if name == "id" and loose_text(operation) == str(_number(operation)):
            into.id = _number(operation)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise invalid(f"This object filter has more than {MOST_CONDITIONS} conditions.")


def _conditions_in(operation: object, options: object) -> int:
    """`or` and `and` have one in each of their data, and the others are one."""
    if operation not in ("or", "and"):
        return 1
    return sum(map(len, filter_operators.by_name(options).values()))


def _order(name: str, options: filter_operators.Options) -> Order:
    (way, *_) = options.get("sort") or ["ASC"]
    (rank, *_) = options.get("sortOrder") or [0]
    return Order((name,), str(way).upper() == "DESC", _number(rank) or 0)


def _number(value: object) -> int | None:
    text = str(value).strip()
    digits = text.isascii() and text.isdigit() and len(text) <= 18
    return int(text) if digits and not isinstance(value, bool) else None


def _key(path: Sequence[str], row: tuple[Any, dict[str, Any]]) -> tuple[int, float, str]:
    return filter_operators.order_key(_at(row[1], path))


def _at(struct: Any, path: Sequence[str]) -> Any:
    for name in path:
        struct = struct[0] if isinstance(struct, list) and struct else struct
        struct = struct.get(name) if isinstance(struct, dict) else None
    return struct
