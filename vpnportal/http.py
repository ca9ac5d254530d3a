"""What pages and programs both ask of a request before they read it: from where, and how large."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

# Of what is only a little too large, so much is read, because a browser listens when it has sent.
DRAINED_BYTES = 32 << 20


def client_address(request: HttpRequest) -> str:
    """Where a request comes from, by our own proxy if there is one; clients may say anything."""
    if settings.BEHIND_PROXY:
        said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            return str(ip_address(said))
        except ValueError:
            pass
    return str(request.META.get("REMOTE_ADDR", ""))


def drained(request: HttpRequest, most: int) -> bool:
    """Whether the body is beyond so many bytes: then it was thrown away, and is to be refused."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    size = int(length) if length.isascii() and length.isdigit() else 0
    if size <= most:
        return False
    left = min(size, DRAINED_BYTES)
    while left > 0 and (part := request.read(min(left, 1 << 16))):
        left -= len(part)
    return True
