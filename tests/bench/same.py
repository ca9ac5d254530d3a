"""The bare view of the figures: it sends the bytes of the file that BENCH_BYTES names."""

from __future__ import annotations

import os
from pathlib import Path

from django.http import HttpRequest, HttpResponse

SAME = Path(os.environ["BENCH_BYTES"]).read_bytes()


def view(request: HttpRequest) -> HttpResponse:
    """Always the same; where no middleware does it, nobody else tells the length."""
    length = {"Content-Length": str(len(SAME))}
    return HttpResponse(SAME, content_type="application/json", headers=length)
