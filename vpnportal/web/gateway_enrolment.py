"""The requests of gateways: /gateway/join and /gateway/renew, JSON without a session.

The signer decides. This process holds neither the authority's key nor the right to make roles, and
passes on what it was sent.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.enrolment import client
from vpnportal.enrolment.messages import MAX_BYTES
from vpnportal.http import client_address, discard_if_too_large
from vpnportal.rate_limit import TokenBuckets
from vpnportal.services import Refused

log = logging.getLogger(__name__)

OK, BAD, CONFLICT, TOO_LARGE, TOO_MANY, AWAY = 200, 400, 409, 413, 429, 503
# Of each address: ten requests at once, then one in six seconds.
REQUESTS = TokenBuckets(burst=10, per_second=1 / 6)


@login_not_required
@csrf_exempt
@require_POST
@never_cache
def join(request: HttpRequest) -> JsonResponse:
    """Answer with the certificate and the addresses of a gateway that has a token."""
    return _pass_on(request, "join")


@login_not_required
@csrf_exempt
@require_POST
@never_cache
def renew(request: HttpRequest) -> JsonResponse:
    """Answer with a new certificate for the one that signed the request."""
    return _pass_on(request, "renew")


@sensitive_variables()
def _pass_on(request: HttpRequest, operation: str) -> JsonResponse:
    if REQUESTS.take_token(client_address(request)):
        return _error(TOO_MANY, "Too many requests from this address: try again in a minute.")
    if discard_if_too_large(request, MAX_BYTES):
        return _error(TOO_LARGE, f"A request has at most {MAX_BYTES} bytes.")
    values = _values(request.read(MAX_BYTES + 1))
    if not isinstance(values, dict):
        return _error(BAD, "A request is one JSON object.")
    try:
        answer = client.ask(operation, values)
    except client.SignerAway as away:
        return _error(AWAY, str(away))
    status = answer.pop("status", AWAY)
    if status == OK:
        try:
            _note(operation, values, answer)
        except Refused as refused:
            return _error(CONFLICT, str(refused))
        except DatabaseError:
            log.exception("An accepted gateway could not be recorded.")
            return _error(AWAY, "The database of the portal does not answer. Repeat `gateway add`.")
    return JsonResponse(answer, status=status)


def _values(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _note(operation: str, values: dict[str, Any], answer: dict[str, Any]) -> None:
    """Record what the signer has accepted."""
    until = datetime.fromtimestamp(answer["certificate_until"], UTC)
    if operation == "join":
        services.note_joined(values["name"], values["envelope_key"], until)
    else:
        services.note_certificate(values["name"], until)


def _error(status: int, text: str) -> JsonResponse:
    return JsonResponse({"error": text}, status=status)
