"""The probes of a service manager: /healthz and /readyz.

They come before all other middleware, because a program on the same machine has no host name of the
site, no TLS and no session. A proxy adds X-Forwarded-For, so no other machine reaches them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

from vpnportal.schema import pending_migrations

log = logging.getLogger(__name__)

HEALTHY, READY = "/healthz", "/readyz"


class Probes:
    """Middleware that answers both probes and passes on all other requests.

    /healthz is 200 while the process answers. /readyz is 200 while it can serve pages, and 503 with
    the reason if the database does not answer or has an older schema than the code.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._schema_is_current = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info not in (HEALTHY, READY) or "X-Forwarded-For" in request.headers:
            return self._get_response(request)
        reason = "" if request.path_info == HEALTHY else self._obstacle()
        text = f"{reason or 'ok'}\n"
        return HttpResponse(text, status=503 if reason else 200, content_type="text/plain")

    def _obstacle(self) -> str:
        """Return why no page can be served, or ""."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            self._schema_is_current = self._schema_is_current or not pending_migrations(
                connection.alias
            )
        except DatabaseError as error:
            log.warning("The database cannot be reached: %s", error)
            return "The database does not answer."
        if self._schema_is_current:
            return ""
        return "The database has an older schema than the code: run `manage.py migrate`."
