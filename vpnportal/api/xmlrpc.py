"""XML-RPC: the first parameter is a struct of headers that holds key, init id, mask and filter."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from vpnportal.api import xml_parser, xmlrpc_values
from vpnportal.api.authentication import Credentials
from vpnportal.api.calls import Call, Result, limit_and_offset
from vpnportal.api.faults import (
    Fault,
    bad_request,
    missing_parameters,
    not_well_formed,
    verb_not_allowed,
)
from vpnportal.api.xml_parser import Element

VERSIONS = ("v3", "v3.1")


def parse_request(request: HttpRequest) -> tuple[Call, Credentials | None]:
    """Return the call of a request and the credentials in its struct. Raises Fault."""
    if request.method != "POST":
        raise verb_not_allowed("POST")
    service = _service(request.path_info)
    try:
        method, parameters = _parse_call(xml_parser.parse(request.body))
    except ValueError as error:
        raise not_well_formed(error) from None
    headers, *arguments = parameters or [{"headers": {}}]
    headers = headers.get("headers") if isinstance(headers, dict) else None
    if not isinstance(headers, dict):
        raise missing_parameters()
    limits = _struct(headers, "resultLimit")
    limit, offset = limit_and_offset(limits.get("limit"), limits.get("offset"))
    call = Call(
        service,
        method,
        _struct(headers, f"{service}InitParameters").get("id"),
        tuple(arguments),
        _mask(headers, service),
        headers.get(f"{service}ObjectFilter"),
        limit,
        offset,
    )
    return call, _credentials(headers)


def result_response(result: Result) -> HttpResponse:
    """Return the value in a methodResponse."""
    value = xmlrpc_values.to_xml(result.value)
    response = _method_response(f"<params><param>{value}</param></params>")
    if result.total is not None:
        response["SoftLayer-Total-Items"] = str(result.total)
    return response


def fault_response(fault: Fault) -> HttpResponse:
    """Return a `<fault>` with status 200: softlayer-python parses no body of another status.

    `faultCode` is a string: softlayer-go panics on an integer.
    """
    value = xmlrpc_values.to_xml({"faultCode": fault.code, "faultString": fault.text})
    return _method_response(f"<fault>{value}</fault>")


def _method_response(content: str) -> HttpResponse:
    text = f'<?xml version="1.0" encoding="utf-8"?><methodResponse>{content}</methodResponse>'
    return HttpResponse(text.encode(), content_type="text/xml; charset=utf-8")


def _service(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    if len(parts) != 3 or parts[1] not in VERSIONS:
        raise bad_request("The path must be like /xmlrpc/v3.1/SERVICE.", 404)
    return parts[2]


def _parse_call(root: Element) -> tuple[str, list[Any]]:
    """Return the method's name and all parameters. Raises ValueError if `root` is no call."""
    if root.tag != "methodCall" or [child.tag for child in root.children] not in (
        ["methodName"],
        ["methodName", "params"],
    ):
        raise ValueError("a methodCall has a methodName and params")
    name, *params = root.children
    values = []
    for param in params[0].children if params else ():
        (value,) = param.children
        if (param.tag, value.tag) != ("param", "value"):
            raise ValueError("a param has one value")
        values.append(xmlrpc_values.parse_value(value))
    return name.text.strip(), values


def _struct(headers: dict[str, Any], name: str) -> dict[str, Any]:
    value = headers.get(name)
    return value if isinstance(value, dict) else {}


def _mask(headers: dict[str, Any], service: str) -> object:
    """Return the mask as a string, or as the struct that very old clients send by another name."""
    mask = _struct(headers, "SoftLayer_ObjectMask").get("mask")
    return mask if mask is not None else _struct(headers, f"{service}ObjectMask").get("mask")


def _credentials(headers: dict[str, Any]) -> Credentials | None:
    """Return the credentials in the headers struct, or None."""
    struct = _struct(headers, "authenticate")
    name, key = struct.get("username"), struct.get("apiKey")
    return Credentials(name, key) if isinstance(name, str) and isinstance(key, str) else None
