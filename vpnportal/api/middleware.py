"""Django middleware for every request below /rest/ and /xmlrpc/.

It comes before the middleware of sessions, cookies and pages: programs must get none of
them (docs/decisions/022-legacy-api-middleware.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError

from vpnportal.api import rest, xmlrpc
from vpnportal.api.authentication import (
    Credentials,
    authenticate,
    authenticate_body,
    await_turn,
    basic_credentials,
    count_wrong,
)
from vpnportal.api.calls import Call, Result
from vpnportal.api.dispatch import dispatch
from vpnportal.api.faults import Fault, bad_request, database_fault, public_fault
from vpnportal.http import client_address, discard_if_too_large

log = logging.getLogger(__name__)

# Room for some thousand translations in one call.
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """Parser of requests and encoder of results and faults.

    `parse_request` also returns the credentials in the body, if the protocol has such.
    """

    parse_request: Callable[[HttpRequest], tuple[Call, Credentials | None]]
    result_response: Callable[[Result], HttpResponse]
    fault_response: Callable[[Fault], HttpResponse]


PROTOCOLS = {
    "rest": WireProtocol(rest.parse_request, rest.result_response, rest.fault_response),
    "xmlrpc": WireProtocol(xmlrpc.parse_request, xmlrpc.result_response, xmlrpc.fault_response),
}


class LegacyApiMiddleware:
    """Middleware that answers API requests itself and passes on all others."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        protocol = PROTOCOLS.get(request.path_info.removeprefix("/").partition("/")[0])
        return _respond(request, protocol) if protocol else self._get_response(request)


def _respond(request: HttpRequest, protocol: WireProtocol) -> HttpResponse:
    try:
        response = protocol.result_response(_result(request, protocol))
    except Fault as fault:
        response = _fault_response(protocol, fault)
    except (SuspiciousOperation, UnreadablePostError) as error:
        response = _fault_response(protocol, bad_request(f"This request cannot be read: {error}"))
    except (OperationalError, InterfaceError):
        log.exception("the database failed in a call of the API")
        response = _fault_response(protocol, database_fault())
    except Exception:
        # A client can parse a fault of its protocol, and not Django's error page.
        log.exception("a call of the API failed")
        response = _fault_response(protocol, public_fault("Internal Error"))
    response["Cache-Control"] = "no-store"
    response["Content-Length"] = str(len(response.content))
    return response


def _result(request: HttpRequest, protocol: WireProtocol) -> Result:
    """Return the result of a request. Credentials in the headers come first, and are the only ones.

    A body is parsed only for a caller, or if its address may still send wrong keys.
    """
    if discard_if_too_large(request, MAX_BODY_BYTES):
        raise bad_request(f"The request body is larger than {MAX_BODY_BYTES:,} bytes.", 413)
    if settings.HTTPS and not request.is_secure():
        raise public_fault("The API key was sent unencrypted: revoke it, and use https.", 403)
    address = client_address(request)
    if credentials := basic_credentials(request.META.get("HTTP_AUTHORIZATION", "")):
        caller = authenticate(credentials, address)
        call, _ = protocol.parse_request(request)
        return dispatch(call, caller)
    await_turn(address)
    try:
        call, credentials = protocol.parse_request(request)
    except Fault:
        count_wrong(address)
        raise
    return dispatch(call, authenticate_body(call, credentials, address))


def _fault_response(protocol: WireProtocol, fault: Fault) -> HttpResponse:
    response = protocol.fault_response(fault)
    for name, value in fault.headers.items():
        response[name] = value
    return response
