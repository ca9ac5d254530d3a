"""The page of an internal error, and that of a database that does not answer."""

from __future__ import annotations

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.decorators.csrf import requires_csrf_token

from vpnportal.request_context import current

log = logging.getLogger(__name__)

RETRY_SECONDS = "10"


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """Render the page for the exception that is being handled, and log its request.

    The status is 503 if the database does not answer, cannot write or has a lock for too long, else
    500. Django logs the traceback after it. Like Django's own view, this view uses no context
    processor: they could raise the error again.
    """
    # %a escapes line breaks, which would forge lines of the log.
    log.error("Request %s: %s %a", current().request_id, request.method, request.path)
    is_database = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    status = 503 if is_database else 500
    page = loader.get_template(f"{status}.html").render()
    headers = {"Retry-After": RETRY_SECONDS} if is_database else {}
    return HttpResponse(page, status=status, headers=headers)
