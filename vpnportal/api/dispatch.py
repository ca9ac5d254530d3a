"""Dispatch of a call: look up its method, run it, and serialize the value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.api import object_filters, object_masks
from vpnportal.api.calls import Call, Caller, Result
from vpnportal.api.faults import (
    method_not_found,
    out_of_scope,
    public_fault,
    service_not_found,
)
from vpnportal.api.methods import SERVICES
from vpnportal.api.object_filters import Filter
from vpnportal.api.object_masks import Mask
from vpnportal.api.registry import Method
from vpnportal.api.serializers import CHECK_TIME_EVERY, DataType, SerializationContext, serialize
from vpnportal.models import Scope
from vpnportal.services import EditConflict, Refused, TunnelLocked, record_key_reveals

BAD_REQUEST, CONFLICT, LOCKED = 400, 409, 423


def dispatch(call: Call, caller: Caller) -> Result:
    """Run the method of a call and return its serialized value.

    A list is filtered, sorted, counted and limited before the mask applies, as in the old API.
    Raises Fault.
    """
    method = _method(call)
    if not Scope(caller.key.scope).includes(method.scope):
        raise out_of_scope(method.scope.label)
    # Everything is parsed before the method runs: a faulty call must change nothing.
    mask, object_filter = (
        object_masks.parse(call.mask),
        object_filters.parse(call.filter, method.filter_root, timezone.now()),
    )
    arguments = _arguments(method, call.arguments)
    if method.find:
        arguments = (method.find(caller, call.object_id), *arguments)
    if method.find_by_id and object_filter.id is not None:
        value = method.find_by_id(caller, object_filter.id)
        object_filter = Filter() if object_filter.is_id_only else object_filter
    else:
        value = _run(method, caller, arguments)
    return _result(method, call, SerializationContext(caller), mask, object_filter, value)


def _run(method: Method, caller: Caller, arguments: Sequence[Any]) -> Any:
    try:
        return method.run(caller, *arguments)
    except Refused as refused:
        raise public_fault(str(refused), _status_of(refused)) from refused


def _method(call: Call) -> Method:
    service = SERVICES.get(call.service)
    if service is None:
        raise service_not_found(call.service)
    if call.method not in service.methods:
        raise method_not_found(call.method)
    return service.methods[call.method]


def _arguments(method: Method, sent: Sequence[Any]) -> tuple[Any, ...]:
    """Parse the arguments that the method has; ignore the rest, as the old API did."""
    padded = (*sent, *[None] * (len(method.arguments) - len(sent)))
    return tuple(parse(value) for parse, value in zip(method.arguments, padded, strict=False))


def _status_of(refused: Refused) -> int:
    """Return the HTTP status of a refusal; never 404, which Terraform takes for a deletion."""
    if isinstance(refused, EditConflict):
        return CONFLICT
    return LOCKED if isinstance(refused, TunnelLocked) else BAD_REQUEST


def _result(
    method: Method,
    call: Call,
    serialization: SerializationContext,
    mask: Mask,
    object_filter: Filter,
    value: Any,
) -> Result:
    if method.data_type is None or value is None:
        return Result(value)
    objects, total = [value], None
    if method.many:
        objects, total = _page(method.data_type, serialization, object_filter, call, value)
    structs = serialize(serialization, method.data_type, objects, mask)
    if mask.is_filtered and object_filter.has_conditions:
        filter_structs = serialize(serialization, method.data_type, objects, object_filter.mask())
        for struct, filter_struct in zip(structs, filter_structs, strict=True):
            object_filter.prune(struct, filter_struct, serialization.budget)
    record_key_reveals(serialization.revealed_tunnel_ids, serialization.caller.user)
    return Result(structs if method.many else structs[0], total)


def _page(
    data_type: DataType,
    serialization: SerializationContext,
    object_filter: Filter,
    call: Call,
    objects: Any,
) -> tuple[list[Any], int]:
    """Return the objects that the call's limit and offset select, and the total number."""
    if not object_filter.is_empty:
        objects = _matching(data_type, serialization, object_filter, list(objects))
    end = None if call.limit is None else call.offset + call.limit
    page = list(objects[call.offset : end])
    if not isinstance(objects, QuerySet):
        return page, len(objects)
    return page, objects.count() if call.offset or end else len(page)


def _matching(
    data_type: DataType,
    serialization: SerializationContext,
    object_filter: Filter,
    objects: Sequence[Any],
) -> list[Any]:
    """Return the objects that match the filter, in the order that the filter requests.

    A filter on the preshared key reveals the key, so `serialization` records the tunnels.
    """
    structs = serialize(serialization, data_type, objects, object_filter.mask())
    pairs = zip(objects, structs, strict=True)
    budget = serialization.budget
    matching = []
    for number, (row, struct) in enumerate(pairs):
        if not number % CHECK_TIME_EVERY:
            budget.check_time()
        if object_filter.matches(struct, budget):
            matching.append((row, struct))
    return [row for row, _ in object_filter.sort(matching)]
