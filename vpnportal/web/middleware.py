"""How much one request may bring: more is refused before anything of it is read."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from vpnportal.http import drained
from vpnportal.models import Profile

FILE_BYTES = 4 << 20


class BoundedRequests:
    """Answers 413 (RFC 9110) to a body beyond the limit; nothing of it reaches memory or disk."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if drained(request, settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            return render(request, "413.html", {"most": FILE_BYTES >> 20}, status=413)
        return self._get_response(request)


class PersonalTimeZone:
    """Activates the zone of the signed-in person's profile for the time of a request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(self._zone(request)):
            return self._get_response(request)

    def _zone(self, request: HttpRequest) -> ZoneInfo | None:
        """None is the setting's own."""
        if not request.user.is_authenticated:
            return None
        profiles = Profile.objects.filter(user=request.user)
        name = profiles.values_list("time_zone", flat=True).first()
        return ZoneInfo(name) if name else None
