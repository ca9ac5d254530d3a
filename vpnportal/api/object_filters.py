"""Object filters: conditions that select objects of a list, and the order of the objects.

A filter is a nested struct along the paths of properties, with `{operation, options}` at its
leaves. A malformed leaf is ignored, as the old API did (SLDN article object-filters).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from vpnportal.api import filter_operators
from vpnportal.api.budget import Budget
from vpnportal.api.faults import invalid_value
from vpnportal.api.filter_operators import Condition, Malformed, Operand, loose_text
from vpnportal.api.object_masks import Mask

# Each condition is tested on every object.
MAX_CONDITIONS = 100
MAX_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Order:
    """Order by the property at the end of a path; the lowest `rank` is the first criterion."""

    path: tuple[str, ...]
    descending: bool
    rank: int


@dataclass
class Filter:
    """Conditions on the properties of an object, and filters on its relations."""

    conditions: dict[str, Condition] = field(default_factory=dict)
    relations: dict[str, Filter] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    # The tests of one object, without those of its relations: a condition may have several.
    tests: int = 0
    # The value that `id` must equal, if there is such a condition: it allows a lookup by id.
    id: int | None = None

    @cached_property
    def has_conditions(self) -> bool:
        """True if the filter, or the filter of any relation, has a condition."""
        return bool(self.conditions) or any(
            related.has_conditions for related in self.relations.values()
        )

    @property
    def is_empty(self) -> bool:
        """True if the filter has no condition, no order and no filter of a relation."""
        return not (self.conditions or self.orders or self.relations)

    @property
    def is_id_only(self) -> bool:
        """True if the only condition is on `id`, without an order or a filter of a relation."""
        return (
            self.id is not None
            and len(self.conditions) == 1
            and not (self.orders or self.relations)
        )

    def mask(self) -> Mask:
        """Return the mask of the properties that the filter reads.

        It always has `id`, because an empty mask would mean all local properties.
        """
        related = {name: related.mask() for name, related in self.relations.items()}
        names = ("id", *self.conditions, *(order.path[0] for order in self.orders))
        return Mask({**{name: Mask() for name in names}, **related})

    def matches(self, value: Any, budget: Budget | None = None) -> bool:
        """Return True if an object, or any object of a list, meets all conditions.

        All conditions on a relation must hold for the same related object. None, and an empty
        list, count as an object without properties. Raises Fault beyond the budget, which is a
        new one without the argument.
        """
        budget = budget or Budget()
        if isinstance(value, list):
            return any(self._matches_object(item, budget) for item in value or [None])
        return self._matches_object(value, budget)

    def _matches_object(self, value: Any, budget: Budget) -> bool:
        budget.spend(self.tests + 1)
        struct = value if isinstance(value, dict) else {}
        return all(
            condition(Operand(struct.get(name))) for name, condition in self.conditions.items()
        ) and all(
            related.matches(struct.get(name), budget)
            for name, related in self.relations.items()
            if related.has_conditions
        )

    def prune(
        self, struct: dict[str, Any], filter_struct: dict[str, Any], budget: Budget | None = None
    ) -> None:
        """Remove related objects that do not match from `struct` (`filteredMask`).

        `filter_struct` is the same object, serialized with this filter's mask.
        """
        for name, related in self.relations.items():
            value, filter_value = struct.get(name), filter_struct.get(name)
            pairs = [(value, filter_value)]
            if isinstance(value, list) and isinstance(filter_value, list):
                pairs = [
                    (item, filter_item)
                    for item, filter_item in zip(value, filter_value, strict=True)
                    if related.matches(filter_item, budget)
                ]
                struct[name] = [item for item, _ in pairs]
            for item, filter_item in pairs:
                if isinstance(item, dict) and isinstance(filter_item, dict):
                    related.prune(item, filter_item, budget)

    def sort(self, pairs: Sequence[tuple[Any, dict[str, Any]]]) -> list[tuple[Any, dict[str, Any]]]:
        """Return the pairs (object, struct) sorted by the orders of the filter and relations."""
        ordered = list(pairs)
        for order in sorted(self._all_orders(), key=lambda order: order.rank, reverse=True):
            ordered.sort(key=partial(_sort_key, order.path), reverse=order.descending)
        return ordered

    def _all_orders(self) -> Iterator[Order]:
        yield from self.orders
        for name, related in self.relations.items():
            for order in related._all_orders():
                yield Order((name, *order.path), order.descending, order.rank)


def parse(filter: object, root: str, now: datetime) -> Filter:
    """Return the filter below the name `root`, or the whole filter if `root` is "".

    `now` is the time of `sysdate`. Raises Fault for more than MAX_CONDITIONS.
    """
    struct = filter.get(root) if root and isinstance(filter, dict) else filter
    parsed = Filter()
    if isinstance(struct, dict):
        _Parser(now).parse(parsed, struct, MAX_LEVELS)
    return parsed


class _Parser:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._conditions_left = MAX_CONDITIONS

    def parse(self, parsed: Filter, struct: Mapping[str, Any], levels_left: int) -> None:
        if not levels_left:
            return
        for name, value in struct.items():
            if not isinstance(value, dict):
                continue
            if "operation" in value and not isinstance(value["operation"], dict):
                self._parse_leaf(parsed, name, value)
            else:
                related = Filter()
                self.parse(related, value, levels_left - 1)
                if not related.is_empty:
                    parsed.relations[name] = related

    def _parse_leaf(self, parsed: Filter, name: str, leaf: Mapping[str, Any]) -> None:
        operation, options = leaf["operation"], leaf.get("options")
        try:
            tests = _conditions_in(operation, options)
            self._count(tests)
            if operation == "orderBy":
                parsed.orders.append(_order(name, filter_operators.options_by_name(options)))
            else:
                parsed.tests += tests
                parsed.conditions[name] = filter_operators.parse(operation, options, self._now)
        except Malformed:
            return
        if name == "id" and loose_text(operation) == str(_number(operation)):
            parsed.id = _number(operation)

    def _count(self, conditions: int) -> None:
        self._conditions_left -= conditions
        if self._conditions_left < 0:
            raise invalid_value(f"This object filter has more than {MAX_CONDITIONS} conditions.")


def _conditions_in(operation: object, options: object) -> int:
    """Return the number of conditions of a leaf: `or` and `and` have one for each datum."""
    if operation not in ("or", "and"):
        return 1
    return sum(map(len, filter_operators.options_by_name(options).values()))


def _order(name: str, options: filter_operators.Options) -> Order:
    (direction, *_) = options.get("sort") or ["ASC"]
    (rank, *_) = options.get("sortOrder") or [0]
    return Order((name,), str(direction).upper() == "DESC", _number(rank) or 0)


def _number(value: object) -> int | None:
    text = str(value).strip()
    is_digits = text.isascii() and text.isdigit() and len(text) <= 18
    return int(text) if is_digits and not isinstance(value, bool) else None


def _sort_key(path: Sequence[str], pair: tuple[Any, dict[str, Any]]) -> tuple[int, float, str]:
    return filter_operators.sort_key(_value_at(pair[1], path))


def _value_at(struct: Any, path: Sequence[str]) -> Any:
    for name in path:
        struct = struct[0] if isinstance(struct, list) and struct else struct
        struct = struct.get(name) if isinstance(struct, dict) else None
    return struct
