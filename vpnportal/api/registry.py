"""Registry of services and their methods.

A method's `find` is also its permission check: it finds nothing that the caller may not see,
change or cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vpnportal.api.arguments import ArgumentParser
from vpnportal.api.calls import Caller
from vpnportal.api.serializers import DATA_TYPES, DataType, Relation, SerializationContext
from vpnportal.models import Scope

# From a caller and the init id of a call to the object. Raises Fault if there is none.
ObjectFinder = Callable[[Caller, object], Any]


@dataclass(frozen=True, slots=True)
class Method:
    """Method of a service: `run(caller, *arguments)`, or with `find` `run(caller, object, …)`.

    `arguments` are the parsers of the arguments; an omitted argument is parsed from None.
    `data_type` is the type of the value, to which the mask applies. With `many` the value is a list
    or queryset, to which filter and limit apply. `filter_root` is the name at which filters begin,
    or "" if they begin at the properties. `find_by_id` replaces `run` for a filter by id, and reads
    a single row of thousands. `scope` is the least scope of a key that may call the method.
    """

    run: Callable[..., Any]
    find: ObjectFinder | None = None
    arguments: Sequence[ArgumentParser] = ()
    data_type: DataType | None = None
    many: bool = False
    filter_root: str = ""
    find_by_id: Callable[[Caller, int], Sequence[Any]] | None = None
    scope: Scope = Scope.ORDER


@dataclass(slots=True)
class Service:
    """Service of the old API, with its methods by name."""

    name: str
    methods: dict[str, Method] = field(default_factory=dict)

    def method(
        self, name: str, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that registers a function; `options` are the fields of `Method`."""

        def register(run: Callable[..., Any]) -> Callable[..., Any]:
            self.methods[name] = Method(run, **options)
            return run

        return register

    def add_getters(self, data_type: DataType, find: ObjectFinder) -> None:
        """Register `getObject`, and a getter for each relation of the type."""
        self.methods["getObject"] = Method(_get_object, find, data_type=data_type, scope=Scope.READ)
        for name, relation in data_type.relations.items():
            self.methods[getter_name(name)] = Method(
                _relation_getter(relation),
                find,
                data_type=DATA_TYPES[relation.type_name],
                many=relation.many,
                filter_root=name,
                scope=Scope.READ,
            )


def getter_name(relation: str) -> str:
    """Return the method of a relation, such as getAddressTranslations of addressTranslations."""
    return f"get{relation[0].upper()}{relation[1:]}"


def _get_object(caller: Caller, row: Any) -> Any:
    return row


def _relation_getter(relation: Relation) -> Callable[..., Any]:
    def run(caller: Caller, row: Any) -> Any:
        return relation.load(SerializationContext(caller), [row])[0]

    return run


# Every service by its name. The modules of `methods` add theirs when they are imported.
SERVICES: dict[str, Service] = {}


def register_service(name: str) -> Service:
    """Return the service of this name, and create it if there is none."""
    return SERVICES.setdefault(name, Service(name))
