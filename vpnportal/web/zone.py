"""Times in the zone of the person who reads them."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from vpnportal.models import Profile


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
