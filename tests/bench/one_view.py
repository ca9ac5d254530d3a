"""A Django project of one view, with no middleware and no database, for gunicorn to serve.

It sends the bytes of the file that BENCH_BYTES names.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

SAME = Path(os.environ["BENCH_BYTES"]).read_bytes()

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost"], MIDDLEWARE=[])


def view(request: HttpRequest) -> HttpResponse:
    """Always the same."""
    length = {"Content-Length": str(len(SAME))}
    return HttpResponse(SAME, content_type="application/json", headers=length)


urlpatterns = [path("bare/", view)]
application = get_wsgi_application()
