"""Where programs come in: before sessions, cookies and pages, none of which they ever get."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError

from vpnportal.api import rest, xmlrpc
from vpnportal.api.authentication import Credentials, authenticate
from vpnportal.api.calls import Answer, Call
from vpnportal.api.dispatch import dispatch
from vpnportal.api.faults import Fault, bad_request, public_fault
from vpnportal.http import client_address, drained

log = logging.getLogger(__name__)

# Some thousand translations in one call.
BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """How calls are read, and what comes of them written."""

    read: Callable[[HttpRequest], tuple[Call, Credentials | None]]
    response: Callable[[Answer], HttpResponse]
    fault_response: Callable[[Fault], HttpResponse]


PROTOCOLS = {
    "rest": WireProtocol(rest.read, rest.response, rest.fault_response),
    "xmlrpc": WireProtocol(xmlrpc.read, xmlrpc.response, xmlrpc.fault_response),
}


class LegacyApiMiddleware:
    """The middleware that everything below /rest/ and /xmlrpc/ ends at."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        door = PROTOCOLS.get(request.path_info.removeprefix("/").partition("/")[0])
        return _answer(request, door) if door else self._get_response(request)


def _answer(request: HttpRequest, door: WireProtocol) -> HttpResponse:
    try:
        response = door.response(_answered(request, door))
    except Fault as fault:
        response = _refused(door, fault)
    except (SuspiciousOperation, UnreadablePostError) as error:
        response = _refused(door, bad_request(f"This request cannot be read: {error}"))
    except Exception:
        # A program is told in its own language; the page for people would be noise to it.
        log.exception("a call of the API failed")
        response = _refused(door, public_fault("Internal Error"))
    response["Cache-Control"] = "no-store"
    response["Content-Length"] = str(len(response.content))
    return response


def _answered(request: HttpRequest, door: WireProtocol) -> Answer:
    if drained(request, BODY_BYTES):
        raise bad_request(f"A body of {BODY_BYTES:,} bytes is the most that is read.", 413)
    if settings.HTTPS and not request.is_secure():
        raise public_fault("The key came unencrypted: use https, and revoke this key.", 403)
    call, credentials = door.read(request)
    return dispatch(call, authenticate(call, credentials, client_address(request)))


def _refused(door: WireProtocol, fault: Fault) -> HttpResponse:
    response = door.fault_response(fault)
    for name, value in fault.headers.items():
        response[name] = value
    return response
