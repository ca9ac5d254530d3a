"""From a call to its answer: a method is found and run, and what was asked for is written down.

The order is the old API's: filter, order, count, limit, and then the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.api import object_filters, object_masks
from vpnportal.api.calls import Answer, Call, Caller
from vpnportal.api.faults import Fault, public_fault
from vpnportal.api.methods import SERVICES
from vpnportal.api.object_filters import Filter
from vpnportal.api.object_masks import Mask
from vpnportal.api.registry import Method
from vpnportal.api.serializers import DataType, SerializationContext, serialize
from vpnportal.services import EditConflict, Refused
from vpnportal.services.preshared_keys import note_shown_keys
from vpnportal.services.tunnel_lock import is_lock

NO_METHOD = "-32601"
BAD_REQUEST, CONFLICT, LOCKED = 400, 409, 423


def dispatch(call: Call, caller: Caller) -> Answer:
    """What a call gives, or a Fault."""
    method = _method(call)
    # All that can be wrong with a call is found before anything is changed.
    mask, wanted = (
        object_masks.parse(call.mask),
        object_filters.read(call.filter, method.root, timezone.now()),
    )
    arguments = _arguments(method, call.arguments)
    if method.find:
        arguments = (method.find(caller, call.init), *arguments)
    if method.by_id and wanted.id is not None:
        result = method.by_id(caller, wanted.id)
        wanted = Filter() if wanted.only_id else wanted
    else:
        result = _run(method, caller, arguments)
    return _written(method, call, SerializationContext(caller), mask, wanted, result)


def _run(method: Method, caller: Caller, arguments: Sequence[Any]) -> Any:
    try:
        return method.run(caller, *arguments)
    except Refused as refused:
        raise public_fault(str(refused), _status_of(refused)) from refused


def _method(call: Call) -> Method:
    service = SERVICES.get(call.service)
    if service is None:
        raise public_fault(f"Service {call.service} does not exist.")
    if call.method not in service.methods:
        raise Fault(NO_METHOD, f"server error. requested method not found: {call.method}", 404)
    return service.methods[call.method]


def _arguments(method: Method, given: Sequence[Any]) -> tuple[Any, ...]:
    """Too many are ignored, as the old API did."""
    padded = (*given, *[None] * (len(method.takes) - len(given)))
    return tuple(take(value) for take, value in zip(method.takes, padded, strict=False))


def _status_of(refused: Refused) -> int:
    """Not 404, which to clients is a tunnel that is gone."""
    if isinstance(refused, EditConflict):
        return CONFLICT
    return LOCKED if is_lock(refused) else BAD_REQUEST


def _written(
    method: Method,
    call: Call,
    reader: SerializationContext,
    mask: Mask,
    wanted: Filter,
    result: Any,
) -> Answer:
    if method.data_type is None or result is None:
        return Answer(result)
    chosen, total = [result], None
    if method.many:
        chosen, total = _chosen(method.data_type, reader, wanted, call, result)
    rows = serialize(reader, method.data_type, chosen, mask)
    if mask.filtered and wanted.has_conditions:
        facts = serialize(reader, method.data_type, chosen, wanted.mask())
        for row, known in zip(rows, facts, strict=True):
            wanted.prune(row, known)
    note_shown_keys(reader.shown, reader.caller.user)
    return Answer(rows if method.many else rows[0], total)


def _chosen(
    shape: DataType, reader: SerializationContext, wanted: Filter, call: Call, result: Any
) -> tuple[list[Any], int]:
    """The objects of one page, and how many there are on all."""
    if not wanted.empty:
        result = _fitting(shape, reader, wanted, list(result))
    end = None if call.limit is None else call.offset + call.limit
    chosen = list(result[call.offset : end])
    if not isinstance(result, QuerySet):
        return chosen, len(result)
    return chosen, result.count() if call.offset or end else len(chosen)


def _fitting(
    shape: DataType, reader: SerializationContext, wanted: Filter, objects: Sequence[Any]
) -> list[Any]:
    """Whoever filters by a preshared key has asked for it: the reader notes it."""
    known = zip(objects, serialize(reader, shape, objects, wanted.mask()), strict=True)
    fitting = [(one, struct) for one, struct in known if wanted.matches(struct)]
    return [one for one, _ in wanted.sort(fitting)]
