"""Services and their methods: what can be called, on what, with which arguments.

A method finds the object it is called on in one queryset, which is the permission too: what a
caller may not see, change or cancel is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vpnportal.api.calls import Caller
from vpnportal.api.serializers import DATA_TYPES, DataType, Relation, SerializationContext

# From the caller and the init id of a call to the object; a fault where there is none.
Find = Callable[[Caller, object], Any]
# From an argument as it came to the value that a method takes; a fault where it is none.
Take = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Method:
    """Called as `run(caller, *arguments)`, or `run(caller, object, *arguments)` with a `find`.

    `takes` has one reader for each argument; those that are left out are read from None. With a
    `shape` the answer is an object of it, or with `many` a list or queryset, which masks, filters
    and limits choose from; `root` is where filters of it begin, "" for the object's properties.
    With `by_id` one of thousands need not be looked for when a filter asks for an id.
    """

    run: Callable[..., Any]
    find: Find | None = None
    takes: Sequence[Take] = ()
    data_type: DataType | None = None
    many: bool = False
    root: str = ""
    by_id: Callable[[Caller, int], Sequence[Any]] | None = None


@dataclass(slots=True)
class Service:
    """A service by its name on the wire, with its methods by theirs."""

    name: str
    methods: dict[str, Method] = field(default_factory=dict)

    def method(self, name: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Make a function a method of this service; `how` are the fields of `Method`."""

        def known(run: Callable[..., Any]) -> Callable[..., Any]:
            self.methods[name] = Method(run, **how)
            return run

        return known

    def getters(self, shape: DataType, find: Find) -> None:
        """`getObject` for what `find` finds, and one for each relation: getAddressTranslations."""
        self.methods["getObject"] = Method(_itself, find, data_type=shape)
        for name, relation in shape.relations.items():
            self.methods[getter(name)] = Method(
                _getter(relation),
                find,
                data_type=DATA_TYPES[relation.shape],
                many=relation.many,
                root=name,
            )


def getter(relation: str) -> str:
    """getAddressTranslations of addressTranslations."""
    return f"get{relation[0].upper()}{relation[1:]}"


def _itself(caller: Caller, one: Any) -> Any:
    return one


def _getter(relation: Relation) -> Callable[..., Any]:
    def run(caller: Caller, one: Any) -> Any:
        return relation.load(SerializationContext(caller), [one])[0]

    return run


# Every service by its name; the modules below `operations` fill it when they are imported.
SERVICES: dict[str, Service] = {}


def service(name: str) -> Service:
    """A new service, known by its name."""
    return SERVICES.setdefault(name, Service(name))
