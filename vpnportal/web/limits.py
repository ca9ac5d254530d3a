"""How much one request may bring: more is refused before anything of it is read."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from vpnportal.incoming import drained

FILE_BYTES = 4 << 20


class BoundedRequests:
    """Answers 413 (RFC 9110) to a body beyond the limit; nothing of it reaches memory or disk."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if drained(request, settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            return render(request, "413.html", {"most": FILE_BYTES >> 20}, status=413)
        return self._get_response(request)
