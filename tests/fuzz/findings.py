"""Outcomes of requests, and failures: replies that the API must never send."""

from __future__ import annotations

import json
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.http import HttpResponse

from tests.fuzz.malformed_requests import Request
from tests.fuzz.sample_accounts import CANARY, CANARY_ADDRESSES

MAX_SECONDS = 2.0
INTERNAL_ERROR = "Internal Error"
FORBIDDEN = (
    CANARY.encode(),
    *(address.encode() for address in CANARY_ADDRESSES),
    b"<html",
    b"Traceback",
)


@dataclass(slots=True)
class Findings:
    """The number of replies by outcome, and each failure with the request that caused it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    failures: list[tuple[str, Request]] = field(default_factory=list)

    def add(self, request: Request, response: HttpResponse, seconds: float) -> None:
        """Count a response and record its failures."""
        self.slowest = max(self.slowest, seconds)
        if request.verb == "HEAD":
            # The response has no body.
            return
        self.outcomes[_outcome(response)] += 1
        self.failures += [(failure, request) for failure in _failures(request, response, seconds)]


def _outcome(response: HttpResponse) -> str:
    """Return "ok", or the code of the fault."""
    try:
        if response["Content-Type"].startswith("application/json"):
            body = json.loads(response.content)
            status = response.status_code
            return "ok" if status == 200 else f"{status} {body['code']}"
        xmlrpc.client.loads(response.content)
    except xmlrpc.client.Fault as fault:
        return f"fault {fault.faultCode}"
    except Exception as error:
        return f"unreadable: {error!r}"
    return "ok"


def _failures(request: Request, response: HttpResponse, seconds: float) -> Iterator[str]:
    outcome = _outcome(response)
    if outcome.startswith("unreadable"):
        yield outcome
    if INTERNAL_ERROR.encode() in response.content:
        yield "an internal error"
    if response.status_code not in (200, 400, 401, 403, 404, 405, 409, 413, 423, 429, 500, 501):
        yield f"status {response.status_code}"
    if response.cookies or "Location" in response or response.get("Cache-Control") != "no-store":
        yield "a cookie, a redirect, or a cacheable response"
    if seconds > MAX_SECONDS:
        yield f"{seconds:.1f} seconds"
    sent = request.path.encode(errors="replace") + request.query.encode(errors="replace")
    sent += request.body
    for text in FORBIDDEN:
        if text in response.content and text not in sent:
            yield f"{text.decode()} in a response"
