"""REST: the call is in the path, the query and a JSON body; the result is JSON.

VERB /rest/v3.1/SERVICE[/ID][/METHOD[/ARGUMENT…]][.json]
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from vpnportal.api import json_values
from vpnportal.api.authentication import Credentials
from vpnportal.api.calls import Call, Result, limit_and_offset
from vpnportal.api.faults import Fault, bad_request, verb_not_allowed

DEFAULT_METHODS = {
    "GET": "getObject",
    "POST": "createObject",
    "PUT": "editObject",
    "DELETE": "deleteObject",
}
VERSIONS = ("v3", "v3.1")


def parse_request(request: HttpRequest) -> tuple[Call, Credentials | None]:
    """Return the call of a request, which has no credentials beside the headers. Raises Fault."""
    if request.method not in DEFAULT_METHODS:
        raise verb_not_allowed(", ".join(DEFAULT_METHODS))
    service, object_id, method, path_arguments = _path_parts(request.path_info)
    limit, offset = _limit(request.GET.get("resultLimit", ""))
    call = Call(
        service,
        method or DEFAULT_METHODS[request.method],
        object_id,
        _body_arguments(request.body) or path_arguments,
        request.GET.get("objectMask"),
        _filter(request.GET.get("objectFilter", "")),
        limit,
        offset,
    )
    return call, None


def result_response(result: Result) -> HttpResponse:
    """Return a response with the result's value as JSON, without an envelope."""
    response = HttpResponse(json_values.to_json(result.value), content_type="application/json")
    if result.total is not None:
        response["SoftLayer-Total-Items"] = str(result.total)
    return response


def fault_response(fault: Fault) -> HttpResponse:
    """Return the fault as `{"error": text, "code": code}` with its HTTP status."""
    body = json_values.to_json({"error": fault.text, "code": fault.code})
    return HttpResponse(body, status=fault.status, content_type="application/json")


def _path_parts(path: str) -> tuple[str, str | None, str, tuple[str, ...]]:
    """Return service, id, method and arguments; the method is "" if the path has none."""
    _, _, version, *parts = [*path.removesuffix("/").removesuffix(".json").split("/"), "", ""]
    parts = [part for part in parts if part]
    if version not in VERSIONS or not parts:
        raise bad_request("The path must be like /rest/v3.1/SERVICE/ID/METHOD.json.", 404)
    service, *rest = parts
    object_id = rest.pop(0) if rest and rest[0].removeprefix("-").isdecimal() else None
    method = rest.pop(0) if rest else ""
    return service, object_id, method, tuple(rest)


def _body_arguments(body: bytes) -> tuple[Any, ...]:
    """Return the arguments from `parameters` of a JSON body, or () if the body is empty.

    The Content-Type is ignored, because softlayer-go sends none.
    """
    if not body.strip():
        return ()
    try:
        value = json_values.parse(body)
    except ValueError as error:
        raise bad_request(f"The request body is not valid JSON: {error}.") from None
    arguments = (value.get("parameters") or []) if isinstance(value, dict) else None
    if not isinstance(arguments, list):
        raise bad_request('The request body must be an object like {"parameters": [1, 2]}.')
    return tuple(arguments)


def _filter(text: str) -> object:
    """Parse an object filter; return None for invalid JSON, which the old API ignored."""
    try:
        return json_values.parse(text.encode())
    except ValueError:
        return None


def _limit(text: str) -> tuple[int | None, int]:
    """Return the limit and the offset of `resultLimit`, which is LIMIT or OFFSET,LIMIT."""
    offset, _, limit = text.rpartition(",")
    return limit_and_offset(limit or 0, offset or 0)
