"""The page of an internal error."""

from __future__ import annotations

import logging
import secrets

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.decorators.csrf import requires_csrf_token

log = logging.getLogger(__name__)


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """Render the page with an error ID, and log the ID; Django logs the traceback after it.

    Like Django's own view, this view uses no context processor: they could raise the error again.
    """
    error_id = secrets.token_hex(4)
    # %a escapes line breaks, which would forge lines of the log.
    log.error("Error ID %s: %s %a", error_id, request.method, request.path)
    page = loader.get_template("500.html").render({"error_id": error_id})
    return HttpResponse(page, status=500)
