"""A client of the portal behind gunicorn, over a Unix socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponse

from tests.bench.gunicorn_server import served
from tests.fuzz.malformed_requests import Request

TIMEOUT_SECONDS = 10.0
# gunicorn refuses a longer request line, which includes the verb, before Django has the request.
MAX_TARGET_LENGTH = 8_000


@contextmanager
def portal() -> Iterator[GunicornClient]:
    """Run gunicorn with the Procfile's options, the current database and no rate limit."""
    environment = {"VPNPORTAL_API_RATE": "1000000"}
    folder = Path(os.environ["VPNPORTAL_STATE"])
    with served("vpnportal.wsgi", folder / "fuzz.sock", **environment) as at:
        yield GunicornClient(at)


class GunicornClient(HTTPConnection):
    """A connection to a Unix socket, which opens again after the server closed it."""

    def __init__(self, at: Path) -> None:
        super().__init__(settings.ALLOWED_HOSTS[0], timeout=TIMEOUT_SECONDS)
        self._at = at

    def connect(self) -> None:
        """Connect to the Unix socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._at))

    def send_request(self, request: Request) -> HttpResponse:
        """Return the response as Django's test client does; its status is 599 after a timeout."""
        query = quote(request.query, safe="%&=+/,:;[]{}().*~^$<>!@'-_", errors="replace")
        headers = {"Content-Type": "application/json", **request.headers}
        try:
            self.request(
                request.verb, f"{request.target}?{query}"[:MAX_TARGET_LENGTH], request.body, headers
            )
            reply = self.getresponse()
            response = HttpResponse(
                reply.read(), status=reply.status, headers=dict(reply.getheaders())
            )
        except (HTTPException, OSError) as error:
            self.close()
            return HttpResponse(repr(error), status=599)
        for cookie in reply.headers.get_all("Set-Cookie", ()):
            response.cookies.load(cookie)
        return response
