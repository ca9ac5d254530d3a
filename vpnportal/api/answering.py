"""From a call to its answer: the method is found and run, and a mask, a filter and a limit chosen by.

The order is the old API's: filter, order, count, limit, and then the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from vpnportal.api import filters, masks
from vpnportal.api.calls import Answer, Call, Caller
from vpnportal.api.faults import Fault, public
from vpnportal.api.methods import SERVICES, Method
from vpnportal.api.shapes import Reader, Shape, written
from vpnportal.services import Refused

NO_METHOD = "-32601"


def answer(call: Call, caller: Caller) -> Answer:
    """What a call gives, or a Fault."""
    method = _method(call)
    arguments = _arguments(method, call.arguments)
    if method.find:
        arguments = (method.find(caller, call.init), *arguments)
    try:
        result = method.run(caller, *arguments)
    except Refused as refused:
        raise public(str(refused)) from refused
    return _written(method, call, caller, result)


def _method(call: Call) -> Method:
    service = SERVICES.get(call.service)
    if service is None:
        raise public(f"Service {call.service} does not exist.")
    if call.method not in service.methods:
        raise Fault(NO_METHOD, f"server error. requested method not found: {call.method}", 404)
    return service.methods[call.method]


def _arguments(method: Method, given: Sequence[Any]) -> tuple[Any, ...]:
    """Too many are ignored, as the old API did."""
    padded = (*given, *[None] * (len(method.takes) - len(given)))
    return tuple(take(value) for take, value in zip(method.takes, padded, strict=False))


def _written(method: Method, call: Call, caller: Caller, result: Any) -> Answer:
    if method.shape is None or result is None:
        return Answer(result)
    reader, mask = Reader(caller), masks.parse(call.mask)
    if method.many:
        chosen, total = _chosen(method, method.shape, reader, call, result)
        return Answer(_recorded(reader, written(reader, method.shape, chosen, mask)), total)
    return Answer(_recorded(reader, written(reader, method.shape, [result], mask))[0])
