"""How much one request may bring: more is refused before anything of it is read."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

FILE_BYTES = 4 << 20
# Of what is only a little too large, so much is read, because a browser listens when it has sent.
DRAINED_BYTES = 32 << 20


class BoundedRequests:
    """Answers 413 (RFC 9110) to a body beyond the limit; nothing of it reaches memory or disk."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        size = int(length) if length.isascii() and length.isdigit() else 0
        if size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return self._get_response(request)
        left = min(size, DRAINED_BYTES)
        while left > 0 and (part := request.read(min(left, 1 << 16))):
            left -= len(part)
        return render(request, "413.html", {"most": FILE_BYTES >> 20}, status=413)
