"""The page /.well-known/security.txt (RFC 9116), by which a finder of a fault finds its reader."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

# RFC 9116 recommends less than a year. Each answer is new.
VALID_FOR = timedelta(days=90)


@login_not_required
@require_safe
def security_txt(request: HttpRequest) -> HttpResponse:
    """Answer with the contact of the settings, valid for VALID_FOR from today; 404 without one."""
    if not settings.SECURITY_CONTACTS:
        raise Http404("There is no contact.")
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        *(f"Contact: {contact}" for contact in settings.SECURITY_CONTACTS),
        f"Expires: {today + VALID_FOR:%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: en",
        f"Canonical: {request.build_absolute_uri(request.path)}",
    ]
    text = "".join(f"{line}\r\n" for line in lines)
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
