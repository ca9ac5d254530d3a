"""Middleware of the pages: a limit on the request body, and the time zone of the user."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from vpnportal.http import discard_if_too_large
from vpnportal.models import Profile

# The largest CSV file of an import. A form may be larger: DATA_UPLOAD_MAX_MEMORY_SIZE.
FILE_BYTES = 4 << 20


class BoundedRequests:
    """Middleware that answers 413 (RFC 9110) to a body that is too large, without storing it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if discard_if_too_large(request, settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            return render(request, "413.html", {"max_mib": FILE_BYTES >> 20}, status=413)
        return self._get_response(request)


class PersonalTimeZone:
    """Middleware that activates the signed-in user's time zone during a request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(self._zone(request)):
            return self._get_response(request)

    def _zone(self, request: HttpRequest) -> ZoneInfo | None:
        """Return the user's time zone, or None for the time zone of the settings."""
        if not request.user.is_authenticated:
            return None
        profiles = Profile.objects.filter(user=request.user)
        name = profiles.values_list("time_zone", flat=True).first()
        return ZoneInfo(name) if name else None
