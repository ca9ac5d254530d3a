"""The bare view of the figures: it sends the bytes of the file BENCH_BYTES."""

from __future__ import annotations

import os
from pathlib import Path

from django.http import HttpRequest, HttpResponse

RESPONSE = Path(os.environ["BENCH_BYTES"]).read_bytes()


def view(request: HttpRequest) -> HttpResponse:
    """Return the bytes; without middleware only the view can send their length."""
    length = {"Content-Length": str(len(RESPONSE))}
    return HttpResponse(RESPONSE, content_type="application/json", headers=length)
