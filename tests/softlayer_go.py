"""REST requests of softlayer-go 1.1.3, the library of the Terraform provider, byte by byte.

Go's HTTP client writes the headers in this order, without Content-Type, and Content-Length only for
POST and PUT. Its JSON has no blanks and sorts the fields of a struct by name.
"""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote_plus

AGENT = "softlayer-go/v1.1.3 terraform-provider-ibm/1.60.0"
# The path does not name these methods.
VERBS = {"deleteObject": "DELETE", "editObject": "PUT", "createObject": "POST"}


class SoftLayerError(Exception):
    """sl.Error: the provider decides by its `status`."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        fault = json.loads(body)
        self.code, self.text = fault["code"], fault["error"]


class Session:
    """session.New(user, key, endpoint), with the endpoint as host, port and base path."""

    def __init__(self, host: str, port: int, user: str, key: str, base: str = "/rest/v3") -> None:
        self._host, self._port, self._base = host, port, base
        self._authorization = b64encode(f"{user}:{key}".encode()).decode()

    def call(
        self,
        service: str,
        method: str,
        *arguments: Any,
        **options: Any,
    ) -> bytes:
        """Send `request` and return the body. Raises SoftLayerError for any status but 2xx."""
        request = self.request(service, method, *arguments, **options)
        with socket.create_connection((self._host, self._port), timeout=30) as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            body = response.read()
        if not 200 <= response.status <= 299:
            raise SoftLayerError(response.status, body)
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
        """Return the bytes of a request; `on` is the init id."""
        body = dumps({"parameters": list(arguments)}) if arguments else b""
        verb = VERBS.get(method, "POST" if arguments else "GET")
        path = f"{self._base}/SoftLayer_{service}" + ("" if on is None else f"/{on}")
        path += ".json" if method == "getObject" or method in VERBS else f"/{method}.json"
        options = {"objectFilter": dumps(filter) if filter else b"", "objectMask": mask.encode()}
        query = "&".join(f"{name}={quote_plus(value)}" for name, value in options.items() if value)
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
    """Return JSON as encoding/json writes it: it escapes characters that HTML interprets."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def parse_bool(body: bytes) -> bool:
    """Return strconv.ParseBool of the whole body."""
    return {b"true": True, b"false": False}[body]


def require_int(value: Any) -> int:
    """Return a value for a Go *int, which holds only a number without a fraction."""
    assert type(value) is int, value
    return value
