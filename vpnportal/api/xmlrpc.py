"""The XML-RPC door: the first parameter is a struct of headers, of which one is the key."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from vpnportal.api import xml_parser, xmlrpc_codec
from vpnportal.api.authentication import Credentials, basic
from vpnportal.api.calls import Answer, Call, limit_and_offset
from vpnportal.api.faults import Fault, bad_request, wrong_method
from vpnportal.api.xml_parser import Element
from vpnportal.api.xmlrpc_codec import value_of

NOT_WELL_FORMED, NO_PARAMETERS = "-32700", "-32602"
VERSIONS = ("v3", "v3.1")


def read(request: HttpRequest) -> tuple[Call, Credentials | None]:
    """The call of a request; a Fault for what cannot be read as one."""
    if request.method != "POST":
        raise wrong_method("POST")
    service = _service(request.path_info)
    try:
        method, parameters = _read(xml_parser.parse(request.body))
    except ValueError as error:
        raise Fault(NOT_WELL_FORMED, f"parse error. not well formed: {error}", 400) from None
    headers, *arguments = parameters or [{"headers": {}}]
    headers = headers.get("headers") if isinstance(headers, dict) else None
    if not isinstance(headers, dict):
        raise Fault(NO_PARAMETERS, "server error. invalid method init parameters", 400)
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
    return call, _credentials(headers, request)


def response(answer: Answer) -> HttpResponse:
    """One value."""
    value = xmlrpc_codec.to_xml(answer.value)
    response = _response(f"<params><param>{value}</param></params>")
    if answer.total is not None:
        response["SoftLayer-Total-Items"] = str(answer.total)
    return response


def fault_response(fault: Fault) -> HttpResponse:
    """Always with status 200: clients look at the fault only then."""
    value = xmlrpc_codec.to_xml({"faultCode": fault.code, "faultString": fault.text})
    return _response(f"<fault>{value}</fault>")


def _response(inside: str) -> HttpResponse:
    text = f'<?xml version="1.0" encoding="utf-8"?><methodResponse>{inside}</methodResponse>'
    return HttpResponse(text.encode(), content_type="text/xml; charset=utf-8")


def _service(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    if len(parts) != 3 or parts[1] not in VERSIONS:
        raise bad_request("A path is /xmlrpc/v3.1/SERVICE.", 404)
    return parts[2]


def _read(call: Element) -> tuple[str, list[Any]]:
    """The method's name and all parameters; ValueError where the call is none."""
    if call.tag != "methodCall" or [one.tag for one in call.children] not in (
        ["methodName"],
        ["methodName", "params"],
    ):
        raise ValueError("a call is a method's name and its parameters")
    name, *params = call.children
    values = []
    for param in params[0].children if params else ():
        (value,) = param.children
        if (param.tag, value.tag) != ("param", "value"):
            raise ValueError("a parameter is one value")
        values.append(value_of(value))
    return name.text.strip(), values


def _struct(headers: dict[str, Any], name: str) -> dict[str, Any]:
    found = headers.get(name)
    return found if isinstance(found, dict) else {}


def _mask(headers: dict[str, Any], service: str) -> object:
    """A text, or the struct of very old clients under another name."""
    mask = _struct(headers, "SoftLayer_ObjectMask").get("mask")
    return mask if mask is not None else _struct(headers, f"{service}ObjectMask").get("mask")


def _credentials(headers: dict[str, Any], request: HttpRequest) -> Credentials | None:
    """Those in the headers struct, or those of HTTP."""
    if "authenticate" not in headers:
        return basic(request.META.get("HTTP_AUTHORIZATION", ""))
    given = _struct(headers, "authenticate")
    name, key = given.get("username"), given.get("apiKey")
    return Credentials(name, key) if isinstance(name, str) and isinstance(key, str) else None
