"""IP address of a client, and refusal of request bodies that are too large."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

# Maximum bytes read from a body that is too large: a browser reads the answer after sending.
DRAINED_BYTES = 32 << 20


def client_address(request: HttpRequest) -> str:
    """Return the IP address of the client.

    Behind the portal's own proxy, the last entry of X-Forwarded-For contains the IP address.
    """
    if settings.BEHIND_PROXY:
        forwarded_for = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            return str(ip_address(forwarded_for))
        except ValueError:
            pass
    return str(request.META.get("REMOTE_ADDR", ""))


def discard_if_too_large(request: HttpRequest, max_bytes: int) -> bool:
    """Return True if Content-Length exceeds `max_bytes`, after discarding the body.

    Reads at most DRAINED_BYTES of the body.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    size = int(length) if length.isascii() and length.isdigit() else 0
    if size <= max_bytes:
        return False
    left = min(size, DRAINED_BYTES)
    while left > 0 and (part := request.read(min(left, 1 << 16))):
        left -= len(part)
    return True
