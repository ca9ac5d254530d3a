"""The request that is being answered: its random id, the client's address and the actor.

Log lines, error pages and events name the same id.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse

from vpnportal.http import client_address

REQUEST_ID_BYTES = 12
HEADER = "X-Request-ID"


@dataclass(slots=True)
class RequestContext:
    """Data of a request. `actor` is an API key that authenticated the call, or None."""

    request_id: str = ""
    client_address: str = ""
    request: HttpRequest | None = field(default=None, repr=False)
    actor: Any = None

    def acting(self) -> Any:
        """Return the API key, the signed-in user or the name of a process, or None."""
        user = getattr(self.request, "user", None)
        return self.actor or (user if user is not None and user.is_authenticated else None)


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext:
    """Return the context of the current request; outside of a request, an empty one."""
    return _current.get() or RequestContext()


def set_actor(actor: Any) -> None:
    """Note who authenticated the current request without a session. Nothing outside a request."""
    if (context := _current.get()) is not None:
        context.actor = actor


@contextmanager
def acting_as(process: str) -> Iterator[None]:
    """Name a process, such as `vpnportal operator`, as the actor of changes in the block."""
    token = _current.set(RequestContext(actor=process))
    try:
        yield
    finally:
        _current.reset(token)


class RequestIds:
    """Middleware that gives each request a random id of 96 bits, and returns it in X-Request-ID.

    An id that the client or a proxy sent is not used: it could be that of another request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = secrets.token_hex(REQUEST_ID_BYTES)
        token = _current.set(RequestContext(request_id, client_address(request), request))
        try:
            response = self._get_response(request)
        finally:
            _current.reset(token)
        response[HEADER] = request_id
        return response
