"""IP address of a client, headers of all responses, and bodies that are too large."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# Maximum bytes read from a body that is too large: a browser reads the answer after sending.
DRAINED_BYTES = 32 << 20
FORWARDED_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")
NO_CLIENT_ADDRESS = (
    "The proxy in front of the portal sends no address of the client. "
    "Let it append the address to X-Forwarded-For.\n"
)
# An IPv4 address with a port, or an IPv6 address in brackets (RFC 7239, 6), which may have one.
_WITH_PORT = re.compile(r"(?:(\d+\.\d+\.\d+\.\d+):\d{1,5}|\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?)")


class CommonHeaders:
    """Middleware that adds limits for browsers to all responses, also to those of the API.

    Other sites can neither embed a response nor keep a handle of its window.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response


class ForwardedHeaders:
    """Middleware that removes the headers of proxies from requests of all others.

    Behind a proxy, a request must have the address of the client: failed sign-ins of all clients
    would count for the address of the proxy. Without it the answer is 400.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.BEHIND_PROXY or not _is_proxy(request.META.get("REMOTE_ADDR", "")):
            for name in FORWARDED_HEADERS:
                request.META.pop(name, None)
        elif not _forwarded_address(request):
            return HttpResponse(NO_CLIENT_ADDRESS, status=400, content_type="text/plain")
        return self._get_response(request)


def client_address(request: HttpRequest) -> str:
    """Return the IP address of the client.

    Behind the portal's own proxy, the last entry of X-Forwarded-For contains the IP address.
    """
    if settings.BEHIND_PROXY and (address := _forwarded_address(request)):
        return address
    return str(request.META.get("REMOTE_ADDR", ""))


def _forwarded_address(request: HttpRequest) -> str:
    """Return the address in the last entry of X-Forwarded-For, without its port, or ""."""
    entry = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    if match := _WITH_PORT.fullmatch(entry):
        entry = match[1] or match[2]
    try:
        address = ip_address(entry)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _is_proxy(peer: str) -> bool:
    """Return True for the configured proxies; a peer without an address came by a Unix socket."""
    try:
        address = ip_address(peer)
    except ValueError:
        return True
    return any(address in network for network in settings.PROXIES)


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
