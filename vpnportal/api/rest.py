"""The REST door: a call in path, query and JSON body, and JSON as the answer.

VERB /rest/v3.1/SERVICE[/ID][/METHOD[/ARGUMENT…]][.json]
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from vpnportal.api import json_codec
from vpnportal.api.authentication import Credentials, basic
from vpnportal.api.calls import Answer, Call, limit_and_offset
from vpnportal.api.faults import Fault, bad_request, wrong_method

DEFAULT_METHODS = {
    "GET": "getObject",
    "POST": "createObject",
    "PUT": "editObject",
    "DELETE": "deleteObject",
}
VERSIONS = ("v3", "v3.1")


def read(request: HttpRequest) -> tuple[Call, Credentials | None]:
    """The call of a request; a Fault for what cannot be read as one."""
    if request.method not in DEFAULT_METHODS:
        raise wrong_method(", ".join(DEFAULT_METHODS))
    service, init, method, in_path = _path(request.path_info)
    limit, offset = _limit(request.GET.get("resultLimit", ""))
    call = Call(
        service,
        method or DEFAULT_METHODS[request.method],
        init,
        _arguments(request.body) or in_path,
        request.GET.get("objectMask"),
        _filter(request.GET.get("objectFilter", "")),
        limit,
        offset,
    )
    return call, basic(request.META.get("HTTP_AUTHORIZATION", ""))


def response(answer: Answer) -> HttpResponse:
    """The bare value."""
    response = HttpResponse(json_codec.to_json(answer.value), content_type="application/json")
    if answer.total is not None:
        response["SoftLayer-Total-Items"] = str(answer.total)
    return response


def fault_response(fault: Fault) -> HttpResponse:
    """Text and code under a status that says no, too."""
    body = json_codec.to_json({"error": fault.text, "code": fault.code})
    return HttpResponse(body, status=fault.status, content_type="application/json")


def _path(path: str) -> tuple[str, str | None, str, tuple[str, ...]]:
    """Service, id, method and arguments; "" for the method where there is none."""
    _, _, version, *parts = [*path.removesuffix("/").removesuffix(".json").split("/"), "", ""]
    parts = [part for part in parts if part]
    if version not in VERSIONS or not parts:
        raise bad_request("A path is /rest/v3.1/SERVICE/ID/METHOD.json.", 404)
    service, *rest = parts
    init = rest.pop(0) if rest and rest[0].removeprefix("-").isdecimal() else None
    method = rest.pop(0) if rest else ""
    return service, init, method, tuple(rest)


def _arguments(body: bytes) -> tuple[Any, ...]:
    """Clients say anything or nothing of the type of a body: it is JSON."""
    if not body.strip():
        return ()
    try:
        read = json_codec.parse(body)
    except ValueError as error:
        raise bad_request(f"The body is not JSON that can be read: {error}.") from None
    given = (read.get("parameters") or []) if isinstance(read, dict) else None
    if not isinstance(given, list):
        raise bad_request('The body is an object like {"parameters": [1, 2]}.')
    return tuple(given)


def _filter(text: str) -> object:
    """A filter that cannot be read is none, as it was with the old API."""
    try:
        return json_codec.parse(text.encode())
    except ValueError:
        return None


def _limit(text: str) -> tuple[int | None, int]:
    """LIMIT, or OFFSET,LIMIT."""
    offset, _, limit = text.rpartition(",")
    return limit_and_offset(limit or 0, offset or 0)
