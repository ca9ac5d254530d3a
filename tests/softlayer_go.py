"""The REST calls of softlayer-go 1.1.3, on which the Terraform provider stands, byte by byte.

Go's own HTTP client writes the headers in this order, no Content-Type, and a length for POST and
PUT only; its JSON has no blanks and the fields of a struct in the order of their names.
"""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote_plus

AGENT = "softlayer-go/v1.1.3 terraform-provider-ibm/1.60.0"
# The names of these methods are not in the path.
VERBS = {"deleteObject": "DELETE", "editObject": "PUT", "createObject": "POST"}


class Refused(Exception):
    """sl.Error: `status` is what the provider looks at."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        answer = json.loads(body)
        self.code, self.text = answer["code"], answer["error"]


class Session:
    """session.New(user, key, endpoint) with `endpoint` at a host and a port."""

    def __init__(self, host: str, port: int, user: str, key: str, base: str = "/rest/v3") -> None:
        self._host, self._port, self._base = host, port, base
        self._authorization = b64encode(f"{user}:{key}".encode()).decode()

    def call(
        self,
        service: str,
        method: str,
        *arguments: Any,
        **chosen: Any,
    ) -> bytes:
        """What is answered to `request`, unread; Refused for any status but 2xx."""
        request = self.request(service, method, *arguments, **chosen)
        with socket.create_connection((self._host, self._port), timeout=30) as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            body = response.read()
        if not 200 <= response.status <= 299:
            raise Refused(response.status, body)
        return body

    def request(
        self,
        service: str,
        method: str,
        *arguments: Any,
        on: int | None = None,
        mask: str = "",
        filter: dict[str, Any] | None = None,
    ) -> bytes:
        """The bytes that go out."""
        body = dumps({"parameters": list(arguments)}) if arguments else b""
        verb = VERBS.get(method, "POST" if arguments else "GET")
        path = f"{self._base}/SoftLayer_{service}" + ("" if on is None else f"/{on}")
        path += ".json" if method == "getObject" or method in VERBS else f"/{method}.json"
        asked = {"objectFilter": dumps(filter) if filter else b"", "objectMask": mask.encode()}
        query = "&".join(f"{name}={quote_plus(value)}" for name, value in asked.items() if value)
        lines = [
            f"{verb} {path}{'?' * bool(query)}{query} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            f"User-Agent: {AGENT}",
            *([f"Content-Length: {len(body)}"] if verb in ("POST", "PUT") else []),
            f"Authorization: Basic {self._authorization}",
            "Accept-Encoding: gzip",
        ]
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body


def dumps(value: Any) -> bytes:
    """As encoding/json writes it, which is wary of HTML."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for one in "<>&":
        text = text.replace(one, f"\\u{ord(one):04x}")
    return text.encode()


def boolean(body: bytes) -> bool:
    """strconv.ParseBool on the whole body."""
    return {b"true": True, b"false": False}[body]


def integer(value: Any) -> int:
    """A *int: nothing else than a number without a fraction can be read into one."""
    assert type(value) is int, value
    return value
