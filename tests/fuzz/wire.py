"""The same requests over a socket, to the portal's own web process: nothing is taken back."""

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

from tests.bench.served import served
from tests.fuzz.requests import Sent

PATIENCE = 10.0
# gunicorn itself answers a longer line, before it is a request; the verb is in it, too.
LONGEST = 8_000


@contextmanager
def portal() -> Iterator[Wire]:
    """gunicorn as Procfile starts it, with the database that is in use, and no limit on calls."""
    environment = {"VPNPORTAL_API_RATE": "1000000"}
    folder = Path(os.environ["VPNPORTAL_STATE"])
    with served("vpnportal.wsgi", folder / "fuzz.sock", **environment) as at:
        yield Wire(at)


class Wire(HTTPConnection):
    """To a Unix socket; opened again when the server has closed it."""

    def __init__(self, at: Path) -> None:
        super().__init__(settings.ALLOWED_HOSTS[0], timeout=PATIENCE)
        self._at = at

    def connect(self) -> None:
        """Where a name would be looked up otherwise."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._at))

    def send_one(self, sent: Sent) -> HttpResponse:
        """The answer as Django's tests have one; status 599 where none comes in time."""
        query = quote(sent.query, safe="%&=+/,:;[]{}().*~^$<>!@'-_", errors="replace")
        headers = {"Content-Type": "application/json", **sent.headers}
        try:
            self.request(sent.verb, f"{sent.target}?{query}"[:LONGEST], sent.body, headers)
            got = self.getresponse()
            answer = HttpResponse(got.read(), status=got.status, headers=dict(got.getheaders()))
        except (HTTPException, OSError) as error:
            self.close()
            return HttpResponse(repr(error), status=599)
        for cookie in got.headers.get_all("Set-Cookie", ()):
            answer.cookies.load(cookie)
        return answer
