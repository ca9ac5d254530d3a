"""What came of a request, and what of it must never be."""

from __future__ import annotations

import json
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.http import HttpResponse

from tests.fuzz.requests import Sent
from tests.fuzz.world import CANARY, CANARY_ADDRESSES

SECONDS = 2.0
INTERNAL = "Internal Error"
FORBIDDEN = (CANARY.encode(), *(one.encode() for one in CANARY_ADDRESSES), b"<html", b"Traceback")


@dataclass(slots=True)
class Findings:
    """Counts of all, and what should not have been with the request that brought it about."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    found: list[tuple[str, Sent]] = field(default_factory=list)

    def judge(self, sent: Sent, answer: HttpResponse, seconds: float) -> None:
        """Count one answer."""
        self.slowest = max(self.slowest, seconds)
        if sent.verb == "HEAD":
            # It has no body to look at.
            return
        self.outcomes[_outcome(answer)] += 1
        self.found += [(what, sent) for what in _wrong(sent, answer, seconds)]


def _outcome(answer: HttpResponse) -> str:
    """ "ok", or the code of the fault."""
    try:
        if answer["Content-Type"].startswith("application/json"):
            told = json.loads(answer.content)
            return "ok" if answer.status_code == 200 else f"{answer.status_code} {told['code']}"
        xmlrpc.client.loads(answer.content)
    except xmlrpc.client.Fault as fault:
        return f"fault {fault.faultCode}"
    except Exception as error:
        return f"unreadable: {error!r}"
    return "ok"


def _wrong(sent: Sent, answer: HttpResponse, seconds: float) -> Iterator[str]:
    outcome = _outcome(answer)
    if outcome.startswith("unreadable"):
        yield outcome
    if INTERNAL.encode() in answer.content:
        yield "an internal error"
    if answer.status_code not in (200, 400, 401, 403, 404, 405, 409, 413, 423, 429, 500, 501):
        yield f"status {answer.status_code}"
    if answer.cookies or "Location" in answer or answer.get("Cache-Control") != "no-store":
        yield "a cookie, a redirect, or something for a cache"
    if seconds > SECONDS:
        yield f"{seconds:.1f} seconds"
    given = sent.path.encode(errors="replace") + sent.query.encode(errors="replace") + sent.body
    for word in FORBIDDEN:
        if word in answer.content and word not in given:
            yield f"{word.decode()} in an answer"
