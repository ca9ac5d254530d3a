"""The page of an internal error, and that of a database that does not answer."""

from __future__ import annotations

import logging
import secrets
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.decorators.csrf import requires_csrf_token

log = logging.getLogger(__name__)

RETRY_SECONDS = "10"


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """Render the page for the exception that is being handled, and log it with an error ID.

    The status is 503 if the database does not answer, cannot write or has a lock for too long, else
    500. Django logs the traceback after it. Like Django's own view, this view uses no context
    processor: they could raise the error again.
    """
    error_id = secrets.token_hex(4)
    # %a escapes line breaks, which would forge lines of the log.
    log.error("Error ID %s: %s %a", error_id, request.method, request.path)
    is_database = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    status = 503 if is_database else 500
    page = loader.get_template(f"{status}.html").render({"error_id": error_id})
    headers = {"Retry-After": RETRY_SECONDS} if is_database else {}
    return HttpResponse(page, status=status, headers=headers)
