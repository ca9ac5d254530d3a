"""The portal with one view more, which asks nobody who they are, for gunicorn to serve.

It sends the bytes of the file that BENCH_BYTES names.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import path

from vpnportal.wsgi import application

__all__ = ["application"]
SAME = Path(os.environ["BENCH_BYTES"]).read_bytes()


@login_not_required
def view(request: HttpRequest) -> HttpResponse:
    """Always the same."""
    return HttpResponse(SAME, content_type="application/json")


urlpatterns = [path("bare/", view)]
settings.ROOT_URLCONF = __name__
